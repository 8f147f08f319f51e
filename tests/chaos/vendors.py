"""What each of three vendors does with each request: drawn from the seed, and known beforehand."""

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tests.fakes.scripted_server import Script, answer, error, hang, raw, stream
from tests.fakes.stream_faults import DONE, FINISH, ROLE, chunk

CHANNELS = ("c0", "c1", "c2")
FAULTY = 0.3  # of all answers

# Before the first word: another channel can be asked. "late" ones only a stream survives not.
EARLY = ("500", "503", "429", "401", "closed", "reset", "hang", "html", "garbage", "half", "error")
LATE = ("closed", "reset", "stalled", "error", "garbage", "ended", "half an event", "no chunk")
_WORDS = ("toll", " gate", " keeper", " road", " bridge", ",", " and", " so", " on", ".")

type Kind = Literal["sound", "early", "late"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One channel's answer to one request. `text`: all that it says; `usage`: whether it counts."""

    kind: Kind
    fault: str
    text: tuple[str, ...]
    has_usage: bool


def draw_turn(seed: int, index: int, channel: str, *, is_stream: bool) -> Turn:
    """Return what `channel` does with request `index`, however often it is asked."""
    dice = random.Random(f"{seed}/{index}/{channel}")
    words = tuple(dice.choice(_WORDS) for _ in range(dice.randint(1, 30)))
    is_late = is_stream and dice.random() < 0.4
    fault = dice.choice(LATE if is_late else EARLY)
    if dice.random() >= FAULTY:
        return Turn(kind="sound", fault="", text=words, has_usage=dice.random() < 0.7)
    kind: Kind = "late" if is_late else "early"
    return Turn(kind=kind, fault=fault, text=words, has_usage=False)


def make_choice(seed: int) -> Any:
    """Return the vendors' behaviour, for `choosing_server`: `/<channel>/chat/completions`."""

    def choose(path: str, body: Mapping[str, Any]) -> Script:
        index, is_stream = int(body["messages"][0]["content"]), bool(body.get("stream"))
        turn = draw_turn(seed, index, path.split("/")[1], is_stream=is_stream)
        return _stream(turn) if is_stream else _whole(turn)

    return choose


def _stream(turn: Turn) -> Script:
    said = [ROLE, *(chunk({"content": word}) for word in turn.text)]
    if turn.kind == "early":
        return _early(turn, said=[ROLE])
    if turn.kind == "late":
        return _late(turn, said)
    usage = [_usage_chunk(turn)] if turn.has_usage else []
    return stream(*said, FINISH, *usage, DONE)


def _whole(turn: Turn) -> Script:
    choice = {"index": 0, "message": {"content": "".join(turn.text)}, "finish_reason": "stop"}
    body: dict[str, Any] = {"choices": [choice]}
    if turn.has_usage:
        body["usage"] = usage_of(turn)
    encoded = json.dumps(body).encode()
    return _early(turn, said=[encoded[:20]]) if turn.kind == "early" else answer(encoded)


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
        "no chunk": raw(head + b"\r\n" + framed + b"ZZ\r\n"),
    }
    return faults[turn.fault]


def usage_of(turn: Turn) -> dict[str, int]:
    """Return what a sound answer reports, of which the prompt is made up."""
    completion = len(turn.text)
    return {"prompt_tokens": 9, "completion_tokens": completion, "total_tokens": 9 + completion}


def _usage_chunk(turn: Turn) -> bytes:
    return b"data: %b\n\n" % json.dumps({"choices": [], "usage": usage_of(turn)}).encode()
