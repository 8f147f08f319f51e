"""A vendor that does nothing but send chunks, in a process of its own.

    POST /<chunks>/<microseconds between two>      one HTTP chunk an event, then usage and [DONE]

Blocking sockets, a thread a connection: the pace is the kernel's sleep, not an event loop's.
"""

import json
import os
import re
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

CHUNK = {
    "id": "chatcmpl-0123456789abcdefghijklmnopqrs",
    "object": "chat.completion.chunk",
    "created": 1780066942,
    "model": "gpt-4o-mini-2024-07-18",
    "service_tier": "default",
    "system_fingerprint": "fp_0123456789",
    "choices": [
        {"index": 0, "delta": {"content": " word"}, "logprobs": None, "finish_reason": None}
    ],
    "usage": None,
    "obfuscation": "4wBVe1zO",
}
_ROLE = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
_LAST = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}
_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
_TARGET = re.compile(rb"POST /(\d+)/(\d+)")
_LENGTH = re.compile(rb"(?i)content-length: *(\d+)")
_BURST_BYTES = 65536


def make_event(**fields: object) -> bytes:
    """Return one event, a chunk with these fields in place of its own."""
    return b"data: %b\n\n" % json.dumps(CHUNK | fields, separators=(",", ":")).encode()


def make_stream(chunks: int) -> list[bytes]:
    """Return the events of an answer of so many chunks: role, words, finish, usage, [DONE]."""
    usage = {"prompt_tokens": 10, "completion_tokens": chunks, "total_tokens": 10 + chunks}
    return [
        make_event(choices=[_ROLE]),
        *[make_event()] * chunks,
        make_event(choices=[_LAST]),
        make_event(choices=[], usage=usage),
        b"data: [DONE]\n\n",
    ]


def frame(event: bytes) -> bytes:
    """Return an event as a chunk of HTTP's."""
    return b"%x\r\n%b\r\n" % (len(event), event)


class _Handler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ahead = b""
        while True:
            while b"\r\n\r\n" not in ahead:
                received = self.request.recv(65536)
                if not received:
                    return
                ahead += received
            head, _, ahead = ahead.partition(b"\r\n\r\n")
            length = _LENGTH.search(head)
            while length and len(ahead) < int(length[1]):
                ahead += self.request.recv(65536)
            ahead = ahead[int(length[1]) if length else 0 :]
            target = _TARGET.match(head)
            if target is None:
                return
            self._answer(int(target[1]), int(target[2]) / 1_000_000)

    def _answer(self, chunks: int, pace_s: float) -> None:
        self.request.sendall(_HEAD)
        if pace_s:
            due_s = time.perf_counter()
            for event in make_stream(chunks):
                time.sleep(max(0.0, due_s - time.perf_counter()))
                self.request.sendall(frame(event))
                due_s += pace_s
        else:
            for piece in _pieces(b"".join(map(frame, make_stream(chunks)))):
                self.request.sendall(piece)
        self.request.sendall(b"0\r\n\r\n")


def _pieces(body: bytes) -> Iterator[bytes]:
    for at in range(0, len(body), _BURST_BYTES):
        yield body[at : at + _BURST_BYTES]


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


@contextmanager
def running() -> Iterator[int]:
    """Run one on this process's first core; yield its port."""
    core = min(os.sched_getaffinity(0))
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.chunk_server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),  # noqa: PLW1509 - no threads here
    )
    assert process.stdin and process.stdout  # noqa: S101, PT018 - both are pipes
    try:
        yield int(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait()


def main() -> None:
    """Print the port, and serve until standard input ends."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        print(server.server_address[1], flush=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdin.read()
        server.shutdown()


if __name__ == "__main__":
    main()
