"""A spliced chunk is what the parsed one would be: to the byte, with the same books."""

import json
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given
from tollgate.core.json_text import parse_object
from tollgate.core.prices import Price, Usage
from tollgate.core.quotes import Quote
from tollgate.core.stream_form import StreamForm
from tollgate.core.units import Micropoints, Picopoints, Tokens
from tollgate.metering.relay import Relay, choose_view
from tollgate.upstream.error_bodies import find_error
from tollgate.upstream.sse import SseParser

from tests.recordings import Recording, find_recordings, parametrize

EXACT = Usage(prompt=Tokens(9), completion=Tokens(2))
VIEWS = [(False, False), (False, True), (True, False), (True, True)]
PRICE = Price(
    input=Picopoints(1_234_567),
    cached_input=Picopoints(1),
    cache_write=Picopoints(1),
    audio_input=Picopoints(1),
    output=Picopoints(7_654_321),
    reasoning=Picopoints(1),
    audio_output=Picopoints(1),
)
SPLICED: list[int] = []


def make_relay(*, is_official: bool, has_usage_chunk: bool, choices: int = 1) -> Relay:
    return Relay(
        form=StreamForm(completion_id="chatcmpl-ours", model="m%d", now=1_700_000_000),
        view=choose_view(is_official=is_official, has_usage_chunk=has_usage_chunk),
        quote=Quote(
            price=PRICE,
            prompt_tokens=Tokens(10),
            output_tokens_max=Tokens(10_000),
            choices=choices,
            tier_percent=100,
            has_audio_input=False,
            has_audio_output=False,
        ),
        quota_max=Micropoints(1000),
    )


def relay_all(relay: Relay, datas: list[str], *, is_spliced: bool) -> list[bytes]:
    """Return what each event releases, as a chat job does it; the last frames too."""
    frames: list[bytes] = []
    spliced = 0
    for data in datas:
        frame = relay.splice(data) if is_spliced else None
        if frame is not None:
            spliced += 1
            frames.append(frame)
            continue
        raw = parse_object(data)
        if find_error("message", raw):
            frames += [*relay.release_held(), b"failed"]
            break
        frames.append(b"".join(relay.take(raw, data)))
    SPLICED.append(spliced)
    return [*frames, *relay.end(EXACT, Micropoints(17))]


def check(datas: list[str], *, choices: int = 1) -> int:
    """Compare for each view; return how many chunks were spliced."""
    for is_official, has_usage_chunk in VIEWS:
        parsed, spliced = (
            make_relay(is_official=is_official, has_usage_chunk=has_usage_chunk, choices=choices)
            for _ in range(2)
        )
        expected = relay_all(parsed, datas, is_spliced=False)
        assert expected == relay_all(spliced, datas, is_spliced=True)
        assert parsed.counted_output() == spliced.counted_output()
        assert parsed.reported_usage == spliced.reported_usage
        assert (parsed.is_complete, parsed.has_output) == (spliced.is_complete, spliced.has_output)
    return SPLICED[-1]


def events_of(recording: Recording) -> list[str]:
    parser = SseParser()
    events = [*parser.feed(recording.body), *parser.end()]
    return [event.data for event in events if event.data.strip() != "[DONE]"]


@parametrize(find_recordings(is_stream=True))
def test_recordings_are_the_same_spliced(recording: Recording) -> None:
    """Every recorded stream, for each kind of caller."""
    check(events_of(recording))


TEXTS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["", "word", '"', "\\", "\n", "\u2028", "é", "😀", "\x00", "\x7f", "%s", "</"]),
)


def write(value: object, *, is_ascii: bool, is_wide: bool) -> str:
    return json.dumps(
        value, ensure_ascii=is_ascii, separators=(", ", ": ") if is_wide else (",", ":")
    )


@st.composite
def chunks(draw: st.DrawFn) -> dict[str, Any]:
    """A chunk as vendors write them, much like the others of its stream, but not always."""
    field = draw(st.sampled_from(["content"] * 8 + ["reasoning_content", "refusal", "odd"]))
    delta: dict[str, Any] = {field: draw(TEXTS)}
    if draw(st.integers(0, 9)) == 0:
        other = {"role": "assistant", "content": None, "tool_calls": [], "reasoning": "r"}
        delta |= {"tool_calls": [{"index": 0, "function": {"arguments": "{"}}], **other}
    reason = draw(st.sampled_from([None] * 20 + ["stop", "length", "error"]))
    choice = {"index": draw(st.sampled_from([0] * 9 + [1])), "delta": delta}
    extras = {
        "obfuscation": draw(TEXTS),
        "created": draw(st.sampled_from([1_700_000_001, 1_700_000_002, 3, 0])),
        "seq": draw(st.integers(-2, 10)),
        "usage": draw(st.sampled_from([None] * 9 + [{"completion_tokens": 3}])),
        "object": draw(st.sampled_from(["chat.completion.chunk"] * 30 + ["error"])),
        "error": draw(st.sampled_from([None] * 30 + ["broken"])),
        "id": draw(st.sampled_from(["chatcmpl-a", "chatcmpl-b"])),
        "content": "beside",
    }
    names = draw(st.sets(st.sampled_from(sorted(extras)), max_size=3))
    return {
        **{name: extras[name] for name in sorted(names)},
        "choices": [choice | {"finish_reason": reason}],
    }


@st.composite
def streams(draw: st.DrawFn) -> list[str]:
    """Streams in which most chunks are copies of few others with another text in them."""
    models = draw(st.lists(chunks(), min_size=1, max_size=4))
    is_ascii, is_wide = draw(st.booleans()), draw(st.booleans())
    found = []
    for _ in range(draw(st.integers(1, 20))):
        model = draw(st.sampled_from(models))
        if draw(st.integers(0, 5)):
            ((name, _),) = [*model["choices"][0]["delta"].items()][:1]
            model["choices"][0]["delta"][name] = draw(TEXTS)
            model |= {"obfuscation": draw(TEXTS)} if "obfuscation" in model else {}
        found.append(write(model, is_ascii=is_ascii, is_wide=is_wide))
    return found


@given(datas=streams(), choices=st.integers(1, 2))
def test_any_stream_is_the_same_spliced(datas: list[str], choices: int) -> None:
    """Whatever varies: texts, escapes, order and number of fields, errors, figures."""
    check(datas, choices=choices)


@given(texts=st.lists(st.text(min_size=1), min_size=3, max_size=20))
def test_a_plain_stream_is_spliced_from_its_third_chunk(texts: list[str]) -> None:
    """All but what JSON has more than one way to write."""
    plain = [text for text in texts if text.isprintable() and text.isascii()]
    first = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}
    rest = [
        {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
        for text in plain
    ]
    datas = [write(one, is_ascii=True, is_wide=False) for one in [first, *rest]]

    assert check(datas) == max(0, len(plain) - 1)


def event(text: str, **fields: object) -> str:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return write({"id": "x", "choices": [choice], **fields}, is_ascii=False, is_wide=False)


@pytest.mark.parametrize(
    "forged",
    [
        event('a","x":"b').replace('\\"', '"'),
        event("a") + " ",
        " " + event("a"),
        event("a\\").replace("\\\\", "\\"),
        event("tab").replace("tab", "\t"),
        event("a").replace('"a"', '"a" "b"'),
        event("a").replace('"a"', "1"),
        event("a").replace('"a"', '"\\u0061"'),
        event("a").replace('"a"', '"\\/"'),
        event("a")[:-1],
        event("a") * 2,
        "",
    ],
)
def test_what_is_not_the_same_form_is_parsed(forged: str) -> None:
    """Nothing can pass for a string that is none, or end it early."""
    relay = make_relay(is_official=False, has_usage_chunk=False)
    relay_all(relay, [event("role"), event("one"), event("two")], is_spliced=True)
    relay = make_relay(is_official=False, has_usage_chunk=False)
    for data in (event("one"), event("two"), event("three")):
        if relay.splice(data) is None:
            relay.take(parse_object(data), data)
    assert relay.splice(event("four")) is not None

    assert relay.splice(forged) is None


def test_an_error_like_a_chunk_is_no_chunk() -> None:
    """What says that it is one does not become a thing that varies."""
    datas = [event("a", object="one"), event("b", object="two"), event("c", object="error")]
    relay = make_relay(is_official=False, has_usage_chunk=False)

    assert relay_all(relay, datas * 3, is_spliced=True)[2] == b"failed"


@pytest.mark.parametrize("pad", [1, 7])
def test_padding_is_spliced_too(pad: int) -> None:
    """OpenAI's `obfuscation` differs in each chunk; so may `created` and the vendor's id."""
    datas = [
        event(f"w{n}", obfuscation="x" * (n % pad + n % 3), created=1_700_000_000 + n)
        for n in range(50)
    ]

    assert check(datas) >= 47


USAGE = {"prompt_tokens": 9, "completion_tokens": 3}


@pytest.mark.parametrize("kinds", ["uuuuuu", "wwwuww", "wwwwuu", "uwuwuw"])
def test_usage_before_more_words_is_none(kinds: str) -> None:
    """A chunk that reports it is parsed, and a spliced one after it makes it old."""
    datas = [
        event(f"w{n}", **({"usage": USAGE} if kind == "u" else {})) for n, kind in enumerate(kinds)
    ]

    check(datas)


@pytest.mark.parametrize("name", ["content", "obfuscation"])
def test_a_field_that_is_there_twice_is_not_spliced(name: str) -> None:
    """The last one counts, whatever its name is written like: the one that is found may not be."""
    hidden = f"\\u{ord(name[0]):04x}{name[1:]}"
    datas = [
        event("a", obfuscation="b").replace(f'"{name}":', f'"{name}":"y{n}","{hidden}":')
        for n in range(5)
    ]

    assert check(datas) == 0
