"""What each of three vendors does with each request: drawn from the seed, and known beforehand."""

import gzip
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tests.fakes.scripted_server import PAUSE, Script, answer, error, hang, raw, stream
from tests.fakes.stream_faults import DONE, FINISH, GZIP, ROLE, chunk, gzipped

CHANNELS = ("c0", "c1", "c2")
FAULTY = 0.3  # of all answers

# Before the first word: another channel can be asked. "late" ones only a stream survives not.
EARLY = (
    *("500", "503", "429", "401", "closed", "reset", "hang", "html", "garbage", "half", "error"),
    "spoiled gzip",
)
LATE = (
    *("closed", "reset", "stalled", "error", "garbage", "ended", "half an event", "no chunk"),
    "cut gzip",
)
TOOL = "toll"
DROPPED = 0.2  # of the requests on a kept connection
_WORDS = ("toll", " gate", " keeper", " road", " bridge", ",", " and", " so", " on", ".")

type Kind = Literal["sound", "early", "late"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One channel's answer to one request.

    `text`: all that it says, as words or as the arguments of a call of `TOOL`; `has_usage`: whether
    it counts. `is_packed`: a sound one comes as gzip.
    """

    kind: Kind
    fault: str
    text: tuple[str, ...]
    has_usage: bool
    has_call: bool
    is_packed: bool

    @property
    def said(self) -> str:
        """All that a client has of it."""
        return "".join([TOOL if self.has_call else "", *self.text])


def draw_turn(
    seed: int, index: int, channel: str, *, is_stream: bool, early: Sequence[str] = EARLY
) -> Turn:
    """Return what `channel` does with request `index`, however often it is asked.

    `early`: the faults before the first word.
    """
    dice = random.Random(f"{seed}/{index}/{channel}")
    words = tuple(dice.choice(_WORDS) for _ in range(dice.randint(1, 30)))
    is_late = is_stream and dice.random() < 0.4
    fault = dice.choice(LATE if is_late else early)
    faulty: Kind = "late" if is_late else "early"
    kind: Kind = "sound" if dice.random() >= FAULTY else faulty
    return Turn(
        kind=kind,
        fault="" if kind == "sound" else fault,
        text=words,
        has_usage=kind == "sound" and dice.random() < 0.7,
        has_call=dice.random() < 0.25,
        is_packed=dice.random() < 0.25,
    )


def make_choice(seed: int, early: Sequence[str] = EARLY) -> Any:
    """Return the vendors' behaviour, for `choosing_server`: `/<channel>/chat/completions`."""

    def choose(path: str, body: Mapping[str, Any]) -> Script:
        index, is_stream = int(body["messages"][0]["content"]), bool(body.get("stream"))
        turn = draw_turn(seed, index, path.split("/")[1], is_stream=is_stream, early=early)
        return _stream(turn) if is_stream else _whole(turn)

    return choose


def make_drops(seed: int, dropped: set[tuple[str, int]]) -> Any:
    """Return which requests find their kept connection closed, each once; noted in `dropped`."""

    def drops(path: str, body: Mapping[str, Any]) -> bool:
        request = path, int(body["messages"][0]["content"])
        dice = random.Random(f"{seed}/{request}/drop")
        if request in dropped or dice.random() >= DROPPED:
            return False
        dropped.add(request)
        return True

    return drops


def _stream(turn: Turn) -> Script:
    said = [ROLE, *_chunks(turn)]
    if turn.kind == "early":
        return _early(turn, said=[ROLE])
    if turn.kind == "late":
        return _late(turn, said)
    usage = [_usage_chunk(turn)] if turn.has_usage else []
    whole = [*said, chunk({}, finish_reason=_reason(turn)), *usage, DONE]
    return stream(*gzipped(*whole), head=GZIP) if turn.is_packed else stream(*whole)


def _chunks(turn: Turn) -> list[bytes]:
    if not turn.has_call:
        return [chunk({"content": word}) for word in turn.text]
    call = {"index": 0, "id": "call_1", "type": "function"}
    first = chunk({"tool_calls": [call | {"function": {"name": TOOL, "arguments": ""}}]})
    rest = ({"index": 0, "function": {"arguments": word}} for word in turn.text)
    return [first, *(chunk({"tool_calls": [fragment]}) for fragment in rest)]


def _reason(turn: Turn) -> str:
    return "tool_calls" if turn.has_call else "stop"


def _whole(turn: Turn) -> Script:
    message: dict[str, Any] = {"content": "".join(turn.text)}
    if turn.has_call:
        function = {"name": TOOL, "arguments": message["content"]}
        call = {"id": "call_1", "type": "function", "function": function}
        message = {"content": None, "tool_calls": [call]}
    choice = {"index": 0, "message": message, "finish_reason": _reason(turn)}
    body: dict[str, Any] = {"choices": [choice]}
    if turn.has_usage:
        body["usage"] = usage_of(turn)
    encoded = json.dumps(body).encode()
    if turn.kind == "early":
        return _early(turn, said=[encoded[:20]])
    return answer(gzip.compress(encoded), head=GZIP) if turn.is_packed else answer(encoded)


def _early(turn: Turn, said: list[bytes]) -> Script:
    faults: dict[str, Script] = {
        "500": error(500),
        "503": error(503, head="retry-after: 1\r\n"),
        "429": error(429, head="retry-after-ms: 200\r\n"),
        "401": error(401),
        "closed": raw(b""),
        "reset": raw(b"", ending="reset"),
        "hang": hang,
        "html": answer(b"<html>\n<body>data: x</body></html>", content_type="text/html"),
        "garbage": stream(b"data: {oops\n\n"),
        "half": stream(*said, ending="close"),
        "error": stream(*said, b'data: {"error": {"message": "overloaded"}}\n\n'),
        "spoiled gzip": stream(*said, FINISH, DONE, head=GZIP),
    }
    return faults[turn.fault]


def _late(turn: Turn, said: list[bytes]) -> Script:
    framed = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in said)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"
    faults: dict[str, Script] = {
        "closed": stream(*said, ending="close"),
        "reset": stream(*said, ending="reset"),
        "stalled": stream(*said, ending="hang"),
        "error": stream(*said, b'data: {"error": {"message": "overloaded"}}\n\n', FINISH, DONE),
        "garbage": stream(*said, b"data: {oops\n\n", FINISH, DONE),
        "ended": stream(*said),
        "half an event": stream(*said, FINISH[:40], ending="close"),
        "no chunk": raw(head + b"\r\n" + framed, PAUSE, b"ZZ\r\n"),
        "cut gzip": stream(*gzipped(*said, cut=1), head=GZIP, ending="close"),
    }
    return faults[turn.fault]


def usage_of(turn: Turn) -> dict[str, int]:
    """Return what a sound answer reports, of which the prompt is made up."""
    completion = len(turn.text)
    return {"prompt_tokens": 9, "completion_tokens": completion, "total_tokens": 9 + completion}


def _usage_chunk(turn: Turn) -> bytes:
    return b"data: %b\n\n" % json.dumps({"choices": [], "usage": usage_of(turn)}).encode()
