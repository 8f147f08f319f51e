"""Vendors' answers made worse: bytes cut, doubled and swapped, JSON values replaced by odd ones.

A mutation is drawn from the dice that it is given, and from nothing else.
"""

import json
import random
from collections.abc import Iterator, Sequence

from tests.recordings import Recording, find_image_recordings, find_recordings

KEY = "Zq81Lw04Tn77Rb29Xc53Md60"  # the operator's, of no known form; vendors quote it now and then
DEEP = '{"a":' * 600 + "1" + "}" * 600
_TOKENS = (
    *(
        b"\r",
        b"\n",
        b"\n\n",
        b"\r\n\r\n",
        b"\x00",
        b"\xff",
        b"\xf0\x9f",
        b"\xed\xa0\xbd",
        b"\x1b[2J",
    ),
    *(
        b"data:",
        b"data: [DONE]\n\n",
        b"event: error\n",
        b"error: ",
        b": ",
        b"id: 1\n",
        b"retry: 1\n",
    ),
    *(b'{"error":', b"null", b"NaN", b"1e999", b"-1", b"9" * 5000, b'"\\ud83d"', b"[", b"}", b'"'),
    *(b"\xe2\x80\xa8", b"\xef\xbb\xbf", b"\\u0000", DEEP.encode(), KEY.encode()),
    b'data: {"error": {"message": "bad key %b", "code": "%b"}}\n\n' % (KEY.encode(), KEY.encode()),
    b'data: {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}\n\n',
)
_REFUSAL = {"message": f"deployment-7 has no {KEY[:20]}", "type": KEY, "param": KEY, "code": KEY}
_NESTED, _TOO_DEEP = (
    json.loads('{"type":"text","text":[' * depth + '"x"' + "]}" * depth) for depth in (200, 3000)
)
_DEEPEST = json.loads("[" * 450 + "]" * 450)
_VALUES: Sequence[object] = (
    *([_NESTED], [_TOO_DEEP], {"content": [_NESTED]}, {"content": [_TOO_DEEP]}, _DEEPEST),
    *(None, True, False, 0, -1, 2**31, 2**53, -(2**63), 10**400, 0.5, 1e308, "", "x", "[DONE]"),
    *("\ud83d", "\x00\x1b[31m", "a\nb\rdata: x", [], {}, [[]], [None], {"": None}, ["text"]),
    *(
        {"error": None},
        {"error": {"message": KEY}},
        {"error": _REFUSAL},
        {"type": "text", "text": [{"text": "x"}]},
    ),
    *({"index": -1, "delta": 5}, {"prompt_tokens": 1e300, "completion_tokens": -5}, f"my {KEY}"),
)
_EVENTS: Sequence[object] = (
    *({"error": _REFUSAL}, {"error": {"message": f"over {KEY[4:20]}"}}, {"error": f"no {KEY}"}),
    *({"detail": KEY, "error": True}, {"error": {"code": 429}}, {"choices": []}, {}, [], "x", 5),
    {"choices": [{"index": 0, "delta": {"content": [_TOO_DEEP]}}]},
    {"choices": [{"index": 1, "delta": {"content": "x"}, "finish_reason": "stop"}]},
    {"choices": [], "usage": {"prompt_tokens": 10**15, "completion_tokens": 10**15}},
    {"choices": [{"index": 0, "delta": {}, "error": _REFUSAL, "finish_reason": "error"}]},
    {"object": "error", **_REFUSAL},
    {"choices": [{"delta": {"tool_calls": [{"index": 0, "id": "d", "function": {"name": "g"}}]}}]},
)
_FIELDS = (
    *("audio", "b64_json", "choices", "code", "completion_tokens", "content", "created", "data"),
    *("delta", "error", "finish_reason", "function", "id", "index", "input_tokens", "message"),
    *("name", "output_tokens", "prompt_tokens_details", "reasoning_details", "role", "text"),
    *("tool_calls", "type", "url", "usage", "x_groq"),
)
_LOOKED_AT = 20  # levels of JSON
_GRAMMAR = (
    b'data: {"id":"1","created":1795435200,"choices":[{"index":0,"delta":{"role":"assistant",'
    b'"content":"Hi"}}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{"content":[{"type":"thinking","thinking":[{"text":"a"}]'
    b'},{"type":"text","text":"b"}]}}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":'
    b'"f","arguments":"{}"}}]}}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}}\n\n'
    b"data: [DONE]\n\n"
)
_WHOLE = (
    b'{"id":"1","choices":[{"index":0,"message":{"role":"assistant","content":"Hi","tool_calls":'
    b'[{"id":"c","function":{"name":"f","arguments":{"a":1}}}]},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}}'
)
_IMAGE_STREAM = (
    b'event: image_generation.partial_image\ndata: {"type":"image_generation.partial_image",'
    b'"b64_json":"aGk=","partial_image_index":0}\n\n'
    b'event: image_generation.completed\ndata: {"type":"image_generation.completed","b64_json":'
    b'"aGk=","usage":{"input_tokens":5,"output_tokens":20,"total_tokens":25}}\n\n'
)
_IMAGE_WHOLE = (
    b'{"created":1,"data":[{"b64_json":"aGk="}],"usage":{"input_tokens":5,"output_tokens":20}}'
)
_LARGE = 20_000  # bytes; of a larger recording a beginning is enough


def load_seeds(*, is_image: bool, is_stream: bool) -> list[bytes]:
    """Return the answers that are mutated: one of each shape, and the recorded ones at hand."""
    written = {
        (False, True): _GRAMMAR,
        (False, False): _WHOLE,
        (True, True): _IMAGE_STREAM,
        (True, False): _IMAGE_WHOLE,
    }[is_image, is_stream]
    recorded = _find(is_image=is_image, is_stream=is_stream)
    return [written, *(recording.body[:_LARGE] for recording in recorded)]


def _find(*, is_image: bool, is_stream: bool) -> Sequence[Recording]:
    if not is_image:
        return find_recordings(is_stream=is_stream)
    return [one for one in find_image_recordings() if one.is_stream is is_stream]


def mutate(dice: random.Random, seeds: Sequence[bytes]) -> bytes:
    """Return one of `seeds` after one to five mutations."""
    body = dice.choice(seeds)
    for _ in range(dice.randint(1, 5)):
        body = dice.choice(_MUTATIONS)(dice, body, seeds)
    return body


def cut(dice: random.Random, body: bytes) -> list[bytes]:
    """Return `body` in pieces as a network might deliver it, some of them a byte."""
    pieces, at = [], 0
    while at < len(body):
        size = dice.choice((1, 2, 7, 64, 1000, 5000))
        pieces.append(body[at : at + size])
        at += size
    return pieces


def _range(dice: random.Random, body: bytes) -> tuple[int, int]:
    start = dice.randint(0, len(body))
    return start, min(len(body), start + dice.choice((1, 2, 10, 100, 1000)))


def _flip(dice: random.Random, body: bytes, _: Sequence[bytes]) -> bytes:
    start, _end = _range(dice, body)
    return body[:start] + bytes([dice.randrange(256)]) + body[start + 1 :]


def _delete(dice: random.Random, body: bytes, _: Sequence[bytes]) -> bytes:
    start, end = _range(dice, body)
    return body[:start] + body[end:]


def _double(dice: random.Random, body: bytes, _: Sequence[bytes]) -> bytes:
    start, end = _range(dice, body)
    return body[:end] + body[start:end] * dice.choice((1, 1, 20)) + body[end:]


def _insert(dice: random.Random, body: bytes, _: Sequence[bytes]) -> bytes:
    start, _end = _range(dice, body)
    return body[:start] + dice.choice(_TOKENS) + body[start:]


def _splice(dice: random.Random, body: bytes, seeds: Sequence[bytes]) -> bytes:
    other = dice.choice(seeds)
    return body[: _range(dice, body)[0]] + other[_range(dice, other)[0] :]


def _truncate(dice: random.Random, body: bytes, _: Sequence[bytes]) -> bytes:
    return body[: _range(dice, body)[0]]


def _shuffle(dice: random.Random, body: bytes, _: Sequence[bytes]) -> bytes:
    events = body.split(b"\n\n")
    one, other = dice.randrange(len(events)), dice.randrange(len(events))
    events[one], events[other] = events[other], events[one]
    return b"\n\n".join(events)


def _change_ends(dice: random.Random, body: bytes, _: Sequence[bytes]) -> bytes:
    return body.replace(b"\n", dice.choice((b"\r", b"\r\n", b"\n\n")))


def _insert_event(dice: random.Random, body: bytes, _: Sequence[bytes]) -> bytes:
    """Put an event, some of them errors, between two others."""
    events = body.split(b"\n\n")
    place = dice.randint(0, len(events))
    data = json.dumps(dice.choice(_EVENTS)).encode()
    return b"\n\n".join([*events[:place], b"data: " + data, *events[place:]])


def _change_json(dice: random.Random, body: bytes, _: Sequence[bytes]) -> bytes:
    """Change a value in some event's JSON, or in the whole answer's."""
    lines = body.split(b"\n")
    at = dice.randrange(len(lines))
    data = lines[at].rpartition(b"data: ")[2]
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return body
    changed = _replace(dice, value) if dice.random() < 0.5 else _set_field(dice, value)
    lines[at] = lines[at][: len(lines[at]) - len(data)] + json.dumps(changed).encode()
    return b"\n".join(lines)


def _replace(dice: random.Random, value: object, depth: int = 0) -> object:
    """Return `value` with an odd one in the place of something in it."""
    if not isinstance(value, dict | list) or not value or dice.random() < 0.1 * depth:
        return dice.choice(_VALUES)
    if isinstance(value, list):
        place = dice.randrange(len(value))
        return [*value[:place], _replace(dice, value[place], depth + 1), *value[place + 1 :]]
    name = dice.choice(list(value))
    return {**value, name: _replace(dice, value[name], depth + 1)}


def _set_field(dice: random.Random, value: object) -> object:
    """Give some object in `value` a field that the gateway reads, with an odd value."""
    objects = list(_find_objects(value))
    if objects:
        dice.choice(objects)[dice.choice(_FIELDS)] = dice.choice(_VALUES)
    return value


def _find_objects(value: object, depth: int = 0) -> Iterator[dict[str, object]]:
    if isinstance(value, dict):
        yield value
    inner = value.values() if isinstance(value, dict) else value
    for one in inner if isinstance(value, dict | list) and depth < _LOOKED_AT else ():
        yield from _find_objects(one, depth + 1)


_MUTATIONS = (
    *(_flip, _delete, _double, _insert, _insert, _splice, _truncate, _shuffle, _change_ends),
    *(_insert_event, _insert_event),
    *(_change_json,) * 8,
)
