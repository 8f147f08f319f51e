"""Bedrock's frames whatever the cuts, and requests that botocore's own model takes."""

from itertools import pairwise
from typing import Any

import hypothesis.strategies as st
from botocore.session import get_session
from botocore.validate import ParamValidator
from hypothesis import given
from tollgate.core.catalog import Route
from tollgate.core.json_text import parse_object
from tollgate.upstream.bedrock.events import ConverseDecoder
from tollgate.upstream.bedrock.request import make_body
from tollgate.upstream.sse import ServerEvent
from tollgate.upstream.vendor_requests import ChatCall

from tests.fakes.event_stream import START, STOP, call, exception, text, usage
from tests.fakes.models import make_model

STREAM = b"".join(
    [
        START,
        text("Hello, "),
        text("wörld \U0001f30d"),
        call(1, "tooluse_1", "get_weather", '{"city":', '"Rome"}'),
        STOP,
        usage(13, 82, cacheReadInputTokens=7),
        exception("throttlingException", "slow down"),
    ]
)


def decode(*pieces: bytes) -> list[ServerEvent]:
    decoder = ConverseDecoder()
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.end()


def test_a_cut_at_every_byte() -> None:
    """Wherever the one cut is, and if every byte comes alone, the events are the same."""
    whole = decode(STREAM)

    for place in range(len(STREAM)):
        assert whole == decode(STREAM[:place], STREAM[place:])
    assert whole == decode(*(STREAM[at : at + 1] for at in range(len(STREAM))))


@given(data=st.data())
def test_any_cuts(data: st.DataObject) -> None:
    """Many cuts, empty pieces too."""
    places = sorted(data.draw(st.lists(st.integers(0, len(STREAM)))))
    edges = [0, *places, len(STREAM)]

    assert decode(STREAM) == decode(*(STREAM[start:end] for start, end in pairwise(edges)))


def test_a_frame_is_an_event_as_soon_as_it_is_whole() -> None:
    """Its last byte releases it, not the next frame's first."""
    decoder = ConverseDecoder()
    frame = text("now")

    assert list(decoder.feed(START + frame[:-1])) == []
    assert len(list(decoder.feed(frame[-1:]))) == 1


TEXTS = st.text(max_size=8)
PARTS = st.lists(
    st.one_of(
        st.builds(lambda text: {"type": "text", "text": text}, TEXTS),
        st.just({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}),
    ),
    max_size=3,
)
IDS = st.sampled_from(["call_1", "call_2", "odd id", "x" * 80])
CALLS = st.lists(
    st.builds(
        lambda call_id, name, arguments: {
            "id": call_id,
            "type": "function",
            "function": {"name": name, "arguments": arguments},
        },
        IDS,
        st.sampled_from(["f", "g"]),
        st.sampled_from(["", "{}", '{"a": [1, null]}']),
    ),
    max_size=2,
)
MESSAGES = st.lists(
    st.one_of(
        st.builds(lambda c: {"role": "system", "content": c}, TEXTS),
        st.builds(lambda c: {"role": "user", "content": c}, st.one_of(TEXTS, PARTS)),
        st.builds(
            lambda c, calls: {"role": "assistant", "content": c, "tool_calls": calls},
            st.one_of(st.none(), TEXTS),
            CALLS,
        ),
        st.builds(
            lambda c, call_id: {"role": "tool", "content": c, "tool_call_id": call_id},
            st.one_of(TEXTS, PARTS),
            IDS,
        ),
    ),
    max_size=6,
)
TOOL: Any = {"type": "function", "function": {"name": "f", "description": "d", "strict": True}}
FORMAT: Any = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
FIELDS = st.fixed_dictionaries(
    {"messages": MESSAGES},
    optional={
        "max_tokens": st.integers(1, 9),
        "temperature": st.floats(0, 1),
        "top_p": st.floats(0, 1),
        "stop": st.one_of(TEXTS, st.lists(TEXTS, max_size=2)),
        "tools": st.just([TOOL]),
        "tool_choice": st.sampled_from(["auto", "none", "required", TOOL]),
        "response_format": st.just(FORMAT),
        "reasoning_effort": st.just("low"),
        "service_tier": st.just("flex"),
    },
)
SHAPE = get_session().get_service_model("bedrock-runtime").operation_model("Converse").input_shape


@given(body=FIELDS)
def test_botocores_model_takes_what_is_made(body: dict[str, object]) -> None:
    """Whatever is asked, the body has Converse's fields and types, and turns that alternate."""
    model = make_model(Route(channel="c", upstream_model="m"))
    made = make_body(
        ChatCall(model=model, body=body, output_limit=None, is_stream=False, budget_s=lambda: 1.0),
        "m",
    )
    complete = {"modelId": "m", "messages": []} | made

    report = ParamValidator().validate(complete, SHAPE)

    assert report.generate_report() == ""
    turns: Any = complete["messages"]
    assert all(turn["content"] for turn in turns)
    assert all(one["role"] != other["role"] for one, other in pairwise(turns))


def test_chunks_are_json() -> None:
    """Each event's data is one object, as an OpenAI stream's would be."""
    assert all(parse_object(event.data) for event in decode(STREAM))
