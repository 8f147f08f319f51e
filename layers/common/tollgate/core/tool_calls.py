"""The tool calls of one streamed choice, each fragment as OpenAI sends it.

    {"index", "id", "type", "function": {"name", "arguments": ""}}   a call's first fragment
    {"index", "function": {"arguments": "…"}}                        every later one

Vendors leave the index out, count from 1 where a text came before (the calls are then the second
block of the answer), or give all calls of an answer the index 0, or one id; repeat id and name with
every fragment, or make up another id for each; or send no arguments at all. The clients' own
helpers put a call where its index says and fail on a gap, and put ids and names together as they do
arguments.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tollgate.core.call_arguments import CallArguments
from tollgate.core.message_parts import arguments_text, fallback_call_id

_NO_ARGUMENTS = "{}"


@dataclass(slots=True, kw_only=True)
class _Call:
    """One call so far.

    `vendor_id`: empty where the vendor gave none. `has_loose_ids`: later fragments came with
    others, which say nothing then.
    """

    vendor_id: str
    is_custom: bool
    name: str = ""
    arguments: CallArguments = field(default_factory=CallArguments)
    has_loose_ids: bool = False


class StreamedCalls:
    """The calls of one choice, counted from 0 in the order in which they begin."""

    def __init__(self, completion_id: str, choice_index: int) -> None:
        """Both are what the id of a call is made of whose vendor sends none."""
        self._completion_id = completion_id
        self._choice_index = choice_index
        self._calls: list[_Call] = []
        # By the vendor's index and id; no id: the newest call of that index; no index: any.
        self._positions: dict[tuple[int | None, str], int] = {}

    def reshape(self, raw: Mapping[str, object]) -> dict[str, object]:
        """Return a fragment in OpenAI's form, with what the first of a call lacked."""
        position = self._find(raw)
        head: dict[str, object] = {"index": position}
        if position == len(self._calls):
            head |= self._begin(raw, position)
        call = self._calls[position]
        call.has_loose_ids |= _has_other_id(call, _text(raw.get("id")))
        rest = {
            name: value
            for name, value in raw.items()
            if value is not None and name not in ("index", "id", "type")
        }
        inner = "custom" if call.is_custom else "function"
        return head | rest | {inner: _reshape_inner(call, raw.get(inner))}

    def end(self, last: list[dict[str, object]]) -> list[dict[str, object]]:
        """Return the last chunk's fragments, with an empty object for calls without any argument.

        A call that is among `last` gets it there: LangChain takes two fragments of one call in its
        first chunk for two calls.
        """
        places = {fragment["index"]: fragment for fragment in last}
        added: list[dict[str, object]] = []
        for position, call in enumerate(self._calls):
            if call.is_custom or call.arguments.has_begun:
                continue
            call.arguments.add(_NO_ARGUMENTS)
            function = {"arguments": _NO_ARGUMENTS}
            begun = places.get(position, {}).get("function")
            if isinstance(begun, dict):
                begun |= function
            else:
                added.append({"index": position, "function": function})
        return last + added

    def _begin(self, raw: Mapping[str, object], position: int) -> dict[str, object]:
        """Note a new call; return its id and type.

        An id is made up where the vendor sends none, or that of an earlier call.
        """
        vendor_id = _text(raw.get("id"))
        kind = raw.get("type") or ("custom" if raw.get("custom") else "function")
        is_known = any(call.vendor_id == vendor_id for call in self._calls)
        self._calls.append(_Call(vendor_id=vendor_id, is_custom=kind == "custom"))
        given = _given_index(raw)
        for key in {(given, ""), (given, vendor_id), (None, vendor_id)} - {(None, "")}:
            self._positions[key] = position
        if is_known or not vendor_id:
            vendor_id = fallback_call_id(self._completion_id, self._choice_index, position)
        return {"id": vendor_id, "type": kind}

    def _find(self, raw: Mapping[str, object]) -> int:
        """Return the position of the fragment's call: one past the last where it begins one."""
        given, vendor_id, name = _given_index(raw), _text(raw.get("id")), _name(raw)
        new = len(self._calls)
        known = self._positions.get((given, vendor_id)) if vendor_id else None
        if known is None and given is None:
            return new if vendor_id or name else max(0, new - 1)
        found = self._positions.get((given, "")) if known is None else known
        if found is None or _is_another(self._calls[found], raw):
            return new
        return found


def _is_another(call: _Call, raw: Mapping[str, object]) -> bool:
    """Whether a fragment with the call's index or id begins another call all the same.

    Only one with a name does. A name is whole before the arguments begin, so that a different one
    after them is another call's; the same one is where the call's object is closed and another is
    opened. Another id alone is no sign while the object is open: vLLM (to 0.7) makes up one for
    each fragment of a tool that was asked for by name, also for the empty one of the finish.
    """
    name, has_other_id = _name(raw), _has_other_id(call, _text(raw.get("id")))
    if not name:
        return False
    if name != call.name:
        return has_other_id or call.arguments.has_begun
    if not call.is_custom and not call.arguments.is_whole():
        return False
    return _arguments(raw).lstrip().startswith("{") or (has_other_id and not call.has_loose_ids)


def _has_other_id(call: _Call, vendor_id: str) -> bool:
    return bool(call.vendor_id) and vendor_id not in ("", call.vendor_id)


def _reshape_inner(call: _Call, raw: object) -> dict[str, object]:
    """Return what a fragment says of name and arguments, without a name that was said before."""
    inner = dict(raw) if isinstance(raw, Mapping) else {}
    name = _text(inner.get("name"))
    if not name or name == call.name:
        inner.pop("name", None)
    else:
        inner["name"] = name
        call.name += name
    if call.is_custom:
        return {key: value for key, value in inner.items() if value is not None}
    arguments = arguments_text(inner.get("arguments"))
    call.arguments.add(arguments)
    return {key: value for key, value in inner.items() if value is not None} | {
        "arguments": arguments
    }


def _given_index(raw: Mapping[str, object]) -> int | None:
    given = raw.get("index")
    return given if isinstance(given, int) and given >= 0 else None


def _name(raw: Mapping[str, object]) -> str:
    inner = raw.get("function") or raw.get("custom")
    return _text(inner.get("name")) if isinstance(inner, Mapping) else ""


def _arguments(raw: Mapping[str, object]) -> str:
    inner = raw.get("function")
    return arguments_text(inner.get("arguments")) if isinstance(inner, Mapping) else ""


def _text(value: object) -> str:
    return str(value) if value else ""
