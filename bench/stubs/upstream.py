"""A vendor that emits chunks as the prompt says: `plan=<chunks>@<a second>`, and `,no-usage`.

`plan=1000@0`: a thousand at once, each its own HTTP chunk, all in one write. `plan=300@1000`: one
a millisecond, each a write of its own. A stream begins with the role, then come so many chunks with
a word each, the finish chunk, usage (unless `no-usage`) and `[DONE]`.

    python -m bench.stubs.upstream PORT
"""

import json
import re
import socket
import sys
import time
from dataclasses import dataclass

from bench.stubs.http_server import Request, serve

_PLAN = re.compile(rb"plan=(\d+)@(\d+)(,no-usage)?")
_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
PROMPT_TOKENS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How an answer is to come. `rate`: chunks a second; 0: all at once."""

    chunks: int
    rate: int = 0
    has_usage: bool = True

    @classmethod
    def read(cls, prompt: bytes) -> "Plan":
        """Return the plan in a request's body; ten chunks at once where there is none."""
        found = _PLAN.search(prompt)
        if found is None:
            return cls(chunks=10)
        return cls(chunks=int(found[1]), rate=int(found[2]), has_usage=not found[3])

    def __str__(self) -> str:
        return f"plan={self.chunks}@{self.rate}{'' if self.has_usage else ',no-usage'}"


def make_chunk(
    delta: dict[str, str] | None, *, finish: str | None = None, usage: object = None
) -> bytes:
    """Return one event as OpenAI's servers write it today; `delta` None: of usage alone.

    Source: a recorded stream of gpt-4o-mini with include_usage, 2026.
    """
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    chunk = {
        "id": "chatcmpl-CcH2hL0bL8cVpRyTqXWzB3nKdJfSg",
        "object": "chat.completion.chunk",
        "created": 1_795_435_200,
        "model": "gpt-4o-mini-2024-07-18",
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
        "choices": [] if delta is None else [choice],
        "usage": usage,
        "obfuscation": "4wBVe1zO",
    }
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"


def _frame(event: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(event), event)


_FIRST = _frame(make_chunk({"role": "assistant", "content": ""}))
# Different ones: LiteLLM takes a hundred equal chunks for a model that has gone astray.
_TEXT = (" toll", " gate", " road", " coin", " cart", " ox's", " mile", " post")
_WORDS = [_frame(make_chunk({"content": word})) for word in _TEXT]
_END = _frame(b"data: [DONE]\n\n") + b"0\r\n\r\n"


def _tail(plan: Plan) -> bytes:
    usage = {
        "prompt_tokens": PROMPT_TOKENS,
        "completion_tokens": plan.chunks,
        "total_tokens": PROMPT_TOKENS + plan.chunks,
    }
    last = _frame(make_chunk(None, usage=usage)) if plan.has_usage else b""
    return _frame(make_chunk({}, finish="stop")) + last + _END


def answer(request: Request, connection: socket.socket) -> None:
    """Write one stream."""
    plan = Plan.read(request.body)
    if plan.rate == 0:
        rounds, rest = divmod(plan.chunks, len(_WORDS))
        words = b"".join(_WORDS) * rounds + b"".join(_WORDS[:rest])
        connection.sendall(_HEAD + _FIRST + words + _tail(plan))
        return
    connection.sendall(_HEAD + _FIRST)
    began = time.perf_counter()
    for number in range(1, plan.chunks + 1):
        wait_s = began + number / plan.rate - time.perf_counter()
        if wait_s > 0:
            time.sleep(wait_s)
        connection.sendall(_WORDS[number % len(_WORDS)])
    connection.sendall(_tail(plan))


def main() -> None:
    """Serve until killed."""
    serve(socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128), answer)


if __name__ == "__main__":
    main()
