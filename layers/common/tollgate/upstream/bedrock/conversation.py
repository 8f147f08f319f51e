"""OpenAI's messages as Converse's system prompt and turns. Pure.

    system, developer    a block of `system`, wherever it stood
    user                 a user turn
    assistant            an assistant turn, its calls as toolUse blocks
    tool                 a toolResult block of a user turn

Turns alternate, as Converse wants them: messages of one side that follow one another are one turn,
so parallel calls' results are answered together. What a model has thought (`reasoning_content`)
and who spoke (`name`) is not sent back: Converse has no place for either.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from tollgate.core.json_text import parse_object
from tollgate.upstream.bedrock.content import CACHE_POINT, Block, read_content
from tollgate.upstream.failures import RequestUnsupportedError

_TOOL_USE_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")


@dataclass(slots=True)
class Conversation:
    """What was said, as Converse takes it. `called`: names of the tools whose calls are in it."""

    system: list[Block] = field(default_factory=list)
    turns: list[Block] = field(default_factory=list)
    called: list[str] = field(default_factory=list)

    def add(self, role: str, blocks: list[Block]) -> None:
        """Append `blocks` to the last turn if it is `role`'s, else as a new one."""
        if not blocks:
            return
        last = self.turns[-1] if self.turns else {}
        content = last.get("content")
        if last.get("role") == role and isinstance(content, list):
            content.extend(blocks)
        else:
            self.turns.append({"role": role, "content": blocks})


def read_conversation(messages: object) -> Conversation:
    """Return the conversation in a request's `messages`.

    Raises: RequestUnsupportedError: something in it that Converse cannot be told.
    """
    conversation = Conversation()
    for position, message in enumerate(messages if isinstance(messages, list) else []):
        fields = message if isinstance(message, Mapping) else {}
        _add_message(conversation, fields, f"messages[{position}]")
    return conversation


def _add_message(conversation: Conversation, message: Mapping[str, object], place: str) -> None:
    content, path = message.get("content"), f"{place}.content"
    match message.get("role"):
        case "system" | "developer":
            conversation.system += read_content(content, path, has_images=False)
        case "user":
            conversation.add("user", read_content(content, path, has_images=True))
        case "assistant":
            blocks = read_content(content, path, has_images=False)
            calls = _read_calls(message, place, conversation.called)
            conversation.add("assistant", blocks + calls)
        case "tool":
            blocks = read_content(content, path, has_images=True)
            conversation.add("user", _tool_result(message, blocks))
        case _:
            raise RequestUnsupportedError(
                "This model takes messages of the roles system, developer, user, assistant and"
                " tool.",
                param=f"{place}.role",
            )


def _read_calls(message: Mapping[str, object], place: str, called: list[str]) -> list[Block]:
    if message.get("function_call"):
        raise RequestUnsupportedError(
            "'function_call' is not available for this model: use 'tool_calls'.",
            param=f"{place}.function_call",
        )
    calls = message.get("tool_calls")
    blocks: list[Block] = []
    for position, call in enumerate(calls if isinstance(calls, list) else []):
        name, arguments, call_id = _read_call(call, f"{place}.tool_calls[{position}]")
        called.append(name)
        blocks.append({"toolUse": {"toolUseId": call_id, "name": name, "input": arguments}})
    return blocks


def _read_call(call: object, place: str) -> tuple[str, dict[str, object], str]:
    fields = call if isinstance(call, Mapping) else {}
    function = fields.get("function")
    if not isinstance(function, Mapping):
        raise RequestUnsupportedError("Only function calls are available here.", param=place)
    path = f"{place}.function.arguments"
    arguments = _read_arguments(function.get("arguments"), path)
    return str(function.get("name")), arguments, _tool_use_id(fields.get("id"))


def _read_arguments(arguments: object, place: str) -> dict[str, object]:
    """Return the arguments as the object that Converse wants; some clients send none as ''."""
    if not arguments:
        return {}
    try:
        return parse_object(arguments if isinstance(arguments, str) else "")
    except ValueError as error:
        raise RequestUnsupportedError(
            "The arguments are not a JSON object.", param=place
        ) from error


def _tool_result(message: Mapping[str, object], blocks: list[Block]) -> list[Block]:
    """Return the result as a block; a cache point cannot be inside of it, so it comes after."""
    content = [block for block in blocks if block != CACHE_POINT]
    cached = [dict(CACHE_POINT)] if len(content) < len(blocks) else []
    call_id = _tool_use_id(message.get("tool_call_id"))
    return [{"toolResult": {"toolUseId": call_id, "content": content}}, *cached]


def _tool_use_id(call_id: object) -> str:
    """Return the id as it is, or where Bedrock would refuse it (another vendor's) a digest."""
    text = str(call_id)
    if _TOOL_USE_ID.fullmatch(text):
        return text
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
