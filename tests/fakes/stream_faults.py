"""The ways in which an answer goes wrong that had begun well, or under a good status.

`BROKEN_STREAMS` have said `WORDS` before; `FAILED_STREAMS` and `FAILED_ANSWERS` nothing that could
be shown; `SOUND_*` look odd and are whole.
"""

import gzip
import json
import zlib

from tests.fakes.scripted_server import PAUSE, Script, answer, raw, stream

WORDS = ("one ", "two ", "three ")
BIG = "x" * 10_000_000


def chunk(delta: dict[str, object], **fields: object) -> bytes:
    """Return a chunk's event."""
    payload = {"choices": [{"index": 0, "delta": delta, **fields}]}
    return b"data: %b\n\n" % json.dumps(payload).encode()


ROLE = chunk({"role": "assistant", "content": ""})
SAID = (ROLE, *(chunk({"content": word}) for word in WORDS))
FINISH = chunk({}, finish_reason="stop")
DONE = b"data: [DONE]\n\n"
USAGE = (  # as many as WORDS are when they are counted
    b'data: {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4,'
    b' "total_tokens": 13}}\n\n'
)
ERROR = b'data: {"error": {"message": "The engine is overloaded.", "code": "overloaded"}}\n\n'
CHOICE_ERROR = chunk({}, finish_reason="error", error={"message": "no", "code": "overloaded"})


def gzipped(*pieces: bytes, cut: int | None = None) -> list[bytes]:
    """Return pieces as a server flushes them; `cut`: only so many bytes of all."""
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    packed = [packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH) for piece in pieces]
    return packed if cut is not None else [*packed, packer.flush()]


def _said_then(*pieces: bytes, ending: str = "whole", head: str = "") -> Script:
    return stream(*SAID, *pieces, ending=ending, head=head)


GZIP = "content-encoding: gzip\r\n"
_PLAIN_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"

BROKEN_STREAMS: dict[str, Script] = {
    "closed": _said_then(ending="close"),
    "reset": _said_then(ending="reset"),
    "stalled": _said_then(ending="hang"),
    "ended": _said_then(),
    "closed after its usage": _said_then(USAGE, ending="close"),
    "ended after its usage": _said_then(USAGE),
    "usage before its words": stream(ROLE, USAGE, *SAID[1:]),
    "half an event, closed": _said_then(FINISH[:40], ending="close"),
    "half an event, ended": _said_then(FINISH[:40]),
    "half a done": _said_then(DONE[:10]),
    "garbage": _said_then(b"data: {oops}\n\n", FINISH, DONE),
    "no json object": _said_then(b"data: [1]\n\n", FINISH, DONE),
    "bytes": _said_then(bytes(range(256)) * 40, ending="close"),
    "error": _said_then(ERROR, FINISH, DONE),
    "error event": _said_then(b'event: error\ndata: {"message": "overloaded"}\n\n', DONE),
    "error line": _said_then(b'error: {"message": "overloaded"}\n\n'),
    "error in a choice": _said_then(CHOICE_ERROR, DONE),
    "error of a choice's finish": _said_then(chunk({}, finish_reason="error"), DONE),
    "no more resources": _said_then(
        chunk({"content": ""}, finish_reason="insufficient_system_resource"), DONE
    ),
    "flat error": _said_then(b'data: {"object": "error", "message": "overloaded"}\n\n', DONE),
    "html": _said_then(b"<html><body>502 Bad Gateway</body></html>"),
    "no chunk": raw(
        _PLAIN_HEAD
        + b"transfer-encoding: chunked\r\n\r\n"
        + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in SAID),
        PAUSE,
        b"ZZ\r\n",
    ),
    "too short": raw(_PLAIN_HEAD + b"content-length: 90000\r\n\r\n" + b"".join(SAID)),
    "gzip, cut off": stream(*gzipped(*SAID, cut=1), head=GZIP, ending="close"),
    "gzip, spoiled": stream(*gzipped(*SAID, cut=1), PAUSE, b"\xff" * 400, head=GZIP),
    "gzip, ended": stream(*gzipped(*SAID), head=GZIP),
    "line of 10 MB": _said_then(b"data: " + BIG.encode() + b"\n\n", FINISH, DONE),
    "endless line": _said_then(*[b"x" * 1_000_000] * 20),
}
FAILED_STREAMS: dict[str, Script] = {
    "closed after a role": stream(ROLE, ending="close"),
    "error after a role": stream(ROLE, ERROR),
    "error in a choice after a role": stream(ROLE, CHOICE_ERROR, DONE),
    "html": answer(b"<html>\n<body>data: x</body></html>", content_type="text/html"),
    "json without an answer": answer(b'{"choices": []}'),
    "json, cut off": answer(b'{"choices": [{"index": 0, "message": {"content": "one two'),
    "json without a message": answer(b'{"choices": [{"index": 0, "text": "one two three "}]}'),
    "blanks": stream(*[b" " * 10_000] * 10, content_type="application/json"),
    "json that is an error": answer(b'{"error": {"message": "overloaded", "code": 503}}'),
    "empty": stream(),
    "done": stream(DONE),
    "spoiled gzip": stream(*SAID, FINISH, DONE, head=GZIP),
    "unknown encoding": stream(b"\x28\xb5\x2f\xfd" * 9, head="content-encoding: zstd\r\n"),
    "line of 10 MB": stream(b": " + BIG.encode() + b"\n\n"),
    "endless line": stream(*[b"x" * 1_000_000] * 20),
    "stalled": stream(ending="hang"),
    "stalled after a role": stream(ROLE, ending="hang"),
}


def _whole(**fields: object) -> bytes:
    choice = {"index": 0, "message": {"content": "".join(WORDS)}, **fields}
    return json.dumps({"choices": [choice]}).encode()


_WHOLE = _whole(finish_reason="stop")
SOUND_STREAMS: dict[str, Script] = {
    "wrong content type": stream(*SAID, FINISH, DONE, content_type="text/html"),
    "events that are called json": stream(*SAID, FINISH, DONE, content_type="application/json"),
    "json": answer(_WHOLE),
    "json that is called text": answer(_WHOLE, content_type="text/plain"),
    "json behind blank space": answer(b"\n \n" + _WHOLE),
    "gzip": stream(*gzipped(*SAID, FINISH, DONE), head=GZIP),
    "no done": _said_then(FINISH),
    "closed after its finish": _said_then(FINISH, ending="close"),
    "reset after its finish": _said_then(FINISH, b"data: {oo", ending="reset"),
    "garbage after its finish": _said_then(FINISH, b"data: {oops}\n\n"),
    "error after its finish": _said_then(FINISH, ERROR),
    "error after its finish, then done": _said_then(FINISH, ERROR, DONE),
    "error of a choice after its finish": _said_then(FINISH, CHOICE_ERROR, DONE),
    "json that is called events": answer(_WHOLE, content_type="text/event-stream"),
    "json behind a byte order mark": answer(b"\xef\xbb\xbf" + _WHOLE),
}
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n"

FAILED_ANSWERS: dict[str, Script] = {
    "closed": raw(_HEAD + _WHOLE),
    "reset": raw(_HEAD + _WHOLE, ending="reset"),
    "stalled": raw(_HEAD + _WHOLE, ending="hang"),
    "half": answer(_WHOLE[:50]),
    "garbage": answer(b"\x00\xff" * 50),
    "html": answer(b"<html>502 Bad Gateway</html>", content_type="text/html"),
    "events": stream(*SAID, FINISH, DONE),
    "error": answer(b'{"error": {"message": "overloaded", "code": 503}}'),
    "error in a choice": answer(_whole(finish_reason="error", error={"message": "x", "code": 502})),
    "no more resources": answer(_whole(finish_reason="insufficient_system_resource")),
    "flat error": answer(b'{"object": "error", "message": "overloaded", "code": 503}'),
    "no choices": answer(b'{"choices": []}'),
    "no message": answer(b'{"choices": [{"index": 0, "text": "one two three "}]}'),
    "empty": answer(b""),
    "spoiled gzip": answer(_WHOLE, head=GZIP),
    "cut gzip": answer(gzip.compress(_WHOLE)[:40], head=GZIP),
    "unknown encoding": answer(b"\x28\xb5\x2f\xfd" * 9, head="content-encoding: zstd\r\n"),
    "10 MB of nothing": answer(BIG.encode()),
    "no chunk": raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n"),
}
SOUND_ANSWERS: dict[str, Script] = {
    "wrong content type": answer(_WHOLE, content_type="text/html"),
    "gzip": answer(gzip.compress(_WHOLE), head=GZIP),
    "blank space": answer(b"\n \n" + _WHOLE),
    "byte order mark": answer(b"\xef\xbb\xbf" + _WHOLE),
}
