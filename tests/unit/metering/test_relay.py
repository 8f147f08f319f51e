"""What leaves for which upstream chunk, and when."""

import json
from typing import Any

import pytest
from tollgate.core.catalog import Catalog
from tollgate.core.prices import Usage
from tollgate.core.quotes import Quote
from tollgate.core.stream_form import StreamForm
from tollgate.core.units import Micropoints, Tokens
from tollgate.metering.relay import Relay, choose_view

EXACT = Usage(prompt=Tokens(9), completion=Tokens(2))


def chunk(delta: dict[str, Any], finish: str | None = None, index: int = 0, **top: Any) -> Any:
    return {"choices": [{"index": index, "delta": delta, "finish_reason": finish}], **top}


def usage(completion: int) -> dict[str, Any]:
    return {"usage": {"prompt_tokens": 9, "completion_tokens": completion}}


@pytest.fixture
def make(catalog: Catalog) -> Any:
    """Return a function that makes a relay for one of the four callers."""
    price = catalog.models["m"].price
    assert price is not None

    def make(*, official: bool = False, usage_chunk: bool = False, quota_max: int = 10**9) -> Relay:
        quote = Quote(
            price=price,
            prompt_tokens=Tokens(10),
            output_tokens_max=Tokens(100),
            choices=1,
            tier_percent=100,
            has_audio_input=False,
            has_audio_output=False,
        )
        form = StreamForm(completion_id="chatcmpl-1", model="m", now=1)
        view = choose_view(is_official=official, has_usage_chunk=usage_chunk)
        return Relay(form=form, view=view, quote=quote, quota_max=Micropoints(quota_max))

    return make


def read(frames: list[bytes]) -> list[dict[str, Any]]:
    """Return the frames' JSON; each frame is one whole event."""
    for frame in frames:
        assert frame.startswith(b"data: {")
        assert frame.endswith(b"}\n\n")
        assert frame.count(b"\n") == 2
    return [json.loads(frame[6:]) for frame in frames]


STREAM = [chunk({"role": "assistant"}), chunk({"content": "a"}), chunk({"content": "b"})]


def run(relay: Relay, *chunks: Any) -> list[dict[str, Any]]:
    frames = [frame for one in chunks for frame in relay.take(one)]
    return read(frames + relay.end(EXACT, Micropoints(17)))


def test_plain_caller(make: Any) -> None:
    """Running usage and quota on each chunk, the exact ones on the finish chunk."""
    seen = run(make(), *STREAM, chunk({}, "stop"), {"choices": [], **usage(2)})

    assert [one["usage"]["completion_tokens"] for one in seen] == [0, 1, 2, 2]
    assert [one["usage"]["total_tokens"] for one in seen] == [10, 11, 12, 11]
    assert [one["quota"] for one in seen] == [0.00001, 0.000014, 0.000018, 0.000017]
    assert seen[-1]["choices"][0]["finish_reason"] == "stop"


def test_plain_caller_with_include_usage(make: Any) -> None:
    """Null usage, then a last chunk without choices; quota on all of them."""
    seen = run(make(usage_chunk=True), *STREAM, chunk({}, "stop"))

    assert [one["usage"] for one in seen[:-1]] == [None] * 4
    assert seen[-1]["choices"] == []
    assert seen[-1]["usage"] == {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
    assert [one["quota"] for one in seen[-2:]] == [0.000017, 0.000017]


def test_official_caller(make: Any) -> None:
    """Neither usage nor quota, and no chunk without choices."""
    seen = run(make(official=True), *STREAM, chunk({}, "stop"))

    assert len(seen) == 4
    assert not any("usage" in one or "quota" in one for one in seen)


def test_official_caller_with_include_usage(make: Any) -> None:
    """OpenAI's form and nothing else."""
    seen = run(make(official=True, usage_chunk=True), *STREAM, chunk({}, "stop"))

    assert [one["usage"] for one in seen[:-1]] == [None] * 4
    assert seen[-1]["usage"]["total_tokens"] == 11
    assert not any("quota" in one for one in seen)


def test_finish_waits_and_everything_before_it_does_not(make: Any) -> None:
    """A chunk leaves with the call that brings it; the finish chunk with the end."""
    relay = make()

    assert [len(relay.take(one)) for one in (*STREAM, chunk({}, "stop"), {"choices": []})] == [
        1,
        1,
        1,
        0,
        0,
    ]
    assert relay.is_complete
    assert len(relay.end(EXACT, Micropoints(17))) == 1


def test_another_choice_goes_on(make: Any) -> None:
    """The first choice's finish is sent when the second one speaks, so nothing is reordered."""
    relay = make()
    start = [relay.take(chunk({"content": "a"}, index=index)) for index in (0, 1)]

    held = relay.take(chunk({}, "stop", index=0))
    released = read(relay.take(chunk({"content": "b"}, index=1)))
    relay.take(chunk({}, "stop", index=1))
    last = read(relay.end(EXACT, Micropoints(17)))

    assert [len(frames) for frames in start] == [1, 1]
    assert held == []
    assert [one["choices"][0]["index"] for one in released] == [0, 1]
    assert [one["choices"][0]["index"] for one in last] == [1]
    assert last[0]["usage"]["total_tokens"] == 11


def test_repeated_finish_is_said_once(make: Any) -> None:
    """The reason stays on the last chunk that has it."""
    seen = run(make(), chunk({"content": "a"}), chunk({}, "stop"), chunk({}, "stop"))

    assert [one["choices"][0]["finish_reason"] for one in seen] == [None, None, "stop"]


def test_repeated_finish_before_it_broke_off_is_said_once(make: Any) -> None:
    """What was held is sent after all, with the reason on the last of them."""
    relay = make()
    frames = [frame for _ in "ab" for frame in relay.take(chunk({}, "length"))]
    frames += relay.release_held()

    assert [one["choices"][0]["finish_reason"] for one in read(frames)] == [None, "length"]


def test_call_is_given_arguments_where_its_finish_is_sent_and_none_came(make: Any) -> None:
    """Not at the first finish reason: vendors name one before the arguments."""
    begun = {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f"}}]}
    more = {"tool_calls": [{"index": 0, "function": {"arguments": '{"x":1}'}}]}
    sent = [
        run(make(), chunk(begun, "tool_calls"), *later, chunk({}, "tool_calls"))
        for later in ([], [chunk(more, "tool_calls")])
    ]
    texts = [
        [
            call["function"]["arguments"]
            for one in seen
            for call in one["choices"][0]["delta"].get("tool_calls", [])
        ]
        for seen in sent
    ]

    assert texts == [["", "{}"], ["", '{"x":1}']]


def test_call_of_a_choice_that_is_sent_while_another_goes_on_is_given_arguments(make: Any) -> None:
    """Its finish does not wait for the end of all."""
    begun = {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f"}}]}
    relay = make()
    relay.take(chunk(begun))
    assert relay.take(chunk({}, "tool_calls")) == []
    [finish, _] = read(relay.take(chunk({"content": "a"}, index=1)))

    [call] = finish["choices"][0]["delta"]["tool_calls"]
    assert call == {"index": 0, "function": {"arguments": "{}"}}


def test_finish_with_text_is_held_whole(make: Any) -> None:
    """Mistral's last chunk has text, finish and usage: its text arrives with the exact figures."""
    seen = run(make(), chunk({"content": "a"}, "stop", **usage(2)))

    assert seen[0]["choices"][0]["delta"]["content"] == "a"
    assert seen[0]["usage"]["completion_tokens"] == 2


@pytest.mark.parametrize("official", [False, True])
def test_no_finish_gets_one_at_the_end(make: Any, *, official: bool) -> None:
    """Clients take a stream without any reason for one that broke off; figures go with it."""
    seen = run(make(official=official), *STREAM)

    assert seen[-1]["choices"] == [{"index": 0, "delta": {}, "finish_reason": "stop"}]
    assert [one["choices"][0]["finish_reason"] for one in seen[:-1]] == [None] * 3
    assert seen[-1].get("quota") == (None if official else 0.000017)


def test_each_choice_gets_its_own_finish(make: Any) -> None:
    """One that the vendor forgot ends as its output says; the other's reason stays."""
    call = {"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]}
    relay = make()
    frames = [*relay.take(chunk({"content": "a"})), *relay.take(chunk(call, index=1))]
    frames += [*relay.take(chunk({}, "length")), *relay.end(EXACT, Micropoints(17))]
    ends = [one["choices"][0] for one in read(frames)[-2:]]

    assert [(end["index"], end["finish_reason"]) for end in ends] == [
        (0, "length"),
        (1, "tool_calls"),
    ]


def test_no_finish_at_the_limit_is_length(make: Any) -> None:
    """An answer as long as it was allowed to be was cut, not finished."""
    relay = make()
    relay.take(STREAM[0])
    [end] = read(relay.end(EXACT, Micropoints(17), is_at_limit=True))

    assert end["choices"][0]["finish_reason"] == "length"


def test_stream_without_any_choice_gets_a_chunk_for_the_figures(make: Any) -> None:
    """A plain caller sees the exact figures; there is no choice that could have ended."""
    [seen] = run(make(), {"choices": [], **usage(0)})

    assert seen["choices"] == [{"index": 0, "delta": {}, "finish_reason": None}]


def test_running_quota_shows_no_more_than_the_hold(make: Any) -> None:
    """What cannot be charged is not shown."""
    relay = make(quota_max=15)

    assert [one["quota"] for one in read([f for c in STREAM for f in relay.take(c)])] == [
        0.00001,
        0.000014,
        0.000015,
    ]


@pytest.mark.parametrize(
    ("chunks", "completion"),
    [
        ([chunk({"content": "a"}), {"choices": [], **usage(5)}], 5),
        ([chunk({"content": "a"}, **usage(1)), chunk({"content": "b"}, **usage(2))], 2),
        ([chunk({"content": "a"}, **usage(1)), chunk({"content": "b"})], None),
        ([chunk({"content": "a"}, **usage(1)), chunk({"audio": {"expires_at": 5}})], 1),
        ([chunk({"content": "a"}), {"choices": [], **usage(0)}], None),
        ([chunk({"role": "assistant"}), {"choices": [], **usage(0)}], 0),
        ([chunk({"content": "a"})], None),
    ],
)
def test_reported_usage_is_believed_if_it_can_be(
    make: Any, chunks: list[Any], completion: int | None
) -> None:
    """The last one, unless output came after it, or it denies the output that came."""
    relay = make()
    for one in chunks:
        relay.take(one)

    found = relay.reported_usage
    assert completion == (None if found is None else found.completion)


def test_output_is_kept_for_counting(make: Any) -> None:
    """All that was sold, in order."""
    relay = make()
    for one in (chunk({"reasoning": "r"}), *STREAM):
        relay.take(one)

    assert relay.counted_output() == ("rab", 0)
    assert relay.has_output
