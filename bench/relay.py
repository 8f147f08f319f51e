"""What a streamed chunk costs between upstream and caller, without any socket.

Baseline: the least that a gateway in Python does to add a field, json.loads and json.dumps.
"""

import json
from dataclasses import replace
from pathlib import Path

from tollgate.core.catalog_toml import parse_catalog
from tollgate.core.json_text import parse_object
from tollgate.core.quotes import Quote
from tollgate.core.stream_form import StreamForm
from tollgate.core.units import Micropoints, Tokens
from tollgate.metering.relay import Relay, choose_view
from tollgate.upstream.sse import SseParser

from bench.measure import interleave, print_ratios

_CHUNKS = 5_000
_CATALOG = Path(__file__).parent.parent / "layers" / "common" / "tollgate" / "catalog.toml"
_CHUNK = {
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
_EVENT = json.dumps(_CHUNK, separators=(",", ":"))
_EVENTS = [
    _EVENT.replace(" word", f" w{n % 97}").replace("4wBVe1zO", "x" * (n % 11))
    for n in range(_CHUNKS)
]


def make_relay(*, is_official: bool) -> Relay:
    """Return a relay as a chat job makes it."""
    model = parse_catalog(_CATALOG.read_text()).models["gpt-4o-mini"]
    assert model.price is not None  # noqa: S101 - the packaged catalog has one
    quote = Quote(
        price=replace(model.price),
        prompt_tokens=Tokens(10),
        output_tokens_max=Tokens(16384),
        choices=1,
        tier_percent=100,
        has_audio_input=False,
        has_audio_output=False,
    )
    return Relay(
        form=StreamForm(completion_id="chatcmpl-x", model="gpt-4o-mini", now=1780066942),
        view=choose_view(is_official=is_official, has_usage_chunk=False),
        quote=quote,
        quota_max=Micropoints(10**12),
    )


def load_and_dump() -> None:
    """Do the baseline's work."""
    for _ in range(_CHUNKS):
        chunk = json.loads(_EVENT)
        chunk["quota"] = 0.1
        json.dumps(chunk).encode()


def relay_parsed(*, is_official: bool) -> None:
    """Do a chat job's work on each event, none of which is like another."""
    running = make_relay(is_official=is_official)
    for _ in range(_CHUNKS):
        running.take(parse_object(_EVENT))


def relay_spliced(*, is_official: bool) -> None:
    """Do it on events that are alike but for their texts, as a chat job does."""
    running = make_relay(is_official=is_official)
    for data in _EVENTS:
        if running.splice(data) is None:
            running.take(parse_object(data), data)


def parse_sse(*, line_end: bytes) -> None:
    """Find the events in the upstream's bytes, as they come in reads of 64 KB."""
    body = b"".join(b"data: %b%b" % (data.encode(), 2 * line_end) for data in _EVENTS)
    parser = SseParser()
    for at in range(0, len(body), 65536):
        parser.feed(body[at : at + 65536])


def main() -> None:
    """Print each step's ratio."""
    found = interleave(
        {
            "json.loads and json.dumps": load_and_dump,
            "SSE events from bytes": lambda: parse_sse(line_end=b"\n"),
            "SSE events that are read line by line": lambda: parse_sse(line_end=b"\r\n"),
            "relay, plain name, parsed": lambda: relay_parsed(is_official=False),
            "relay, plain name, spliced": lambda: relay_spliced(is_official=False),
            "relay, -official, parsed": lambda: relay_parsed(is_official=True),
            "relay, -official, spliced": lambda: relay_spliced(is_official=True),
        }
    )
    print_ratios(f"{_CHUNKS} streamed chunks", found, "json.loads and json.dumps")


if __name__ == "__main__":
    main()
