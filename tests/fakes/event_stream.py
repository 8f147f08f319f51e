"""Frames of Amazon's event stream, written from its description and not from botocore's decoder.

    length of all (4) | length of headers (4) | CRC-32 of these 8 (4) | headers | payload | CRC-32
    of all before (4); a header: length of name (1), name, 7 for text, length (2), text

Source: "Amazon event stream specification", https://smithy.io/2.0/aws/amazon-eventstream.html
"""

import json
import struct
import zlib

CONTENT_TYPE = "application/vnd.amazon.eventstream"


def encode_frame(headers: dict[str, str], payload: bytes) -> bytes:
    """Return one frame."""
    head = b"".join(_encode_header(name, value) for name, value in headers.items())
    lengths = struct.pack(">II", 16 + len(head) + len(payload), len(head))
    frame = lengths + struct.pack(">I", zlib.crc32(lengths)) + head + payload
    return frame + struct.pack(">I", zlib.crc32(frame))


def _encode_header(name: str, value: str) -> bytes:
    text = value.encode()
    return bytes([len(name)]) + name.encode() + struct.pack(">BH", 7, len(text)) + text


def event(kind: str, **fields: object) -> bytes:
    """Return an event as ConverseStream sends it, with its padding."""
    headers = {
        ":event-type": kind,
        ":content-type": "application/json",
        ":message-type": "event",
    }
    return encode_frame(headers, json.dumps(fields | {"p": "abcdefgh"}).encode())


def exception(kind: str, message: str) -> bytes:
    """Return an exception within a stream."""
    headers = {
        ":exception-type": kind,
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    return encode_frame(headers, json.dumps({"message": message}).encode())


def text(content: str, block: int = 0) -> bytes:
    """Return a piece of the answer's text."""
    return event("contentBlockDelta", contentBlockIndex=block, delta={"text": content})


def usage(prompt: int, completion: int, **counts: int) -> bytes:
    """Return the last event of a stream. `counts`: cacheReadInputTokens and the like."""
    tokens = {"inputTokens": prompt, "outputTokens": completion} | counts
    total = {"totalTokens": sum(tokens.values())}
    return event("metadata", usage=tokens | total, metrics={"latencyMs": 391})


START = event("messageStart", role="assistant")
STOP = event("messageStop", stopReason="end_turn")


def call(block: int, call_id: str, name: str, *pieces: str) -> bytes:
    """Return the events of a tool's call, `pieces` being its arguments."""
    start = {"toolUse": {"toolUseId": call_id, "name": name}}
    return b"".join(
        [
            event("contentBlockStart", contentBlockIndex=block, start=start),
            *(
                event(
                    "contentBlockDelta",
                    contentBlockIndex=block,
                    delta={"toolUse": {"input": piece}},
                )
                for piece in pieces
            ),
            event("contentBlockStop", contentBlockIndex=block),
        ]
    )
