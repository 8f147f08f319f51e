"""Counting prompts and answers: exact where it can be, bounded always, never failing."""

import dataclasses
import json
from typing import Any

import pytest
from tollgate.core import tokens
from tollgate.core.catalog import ImageTokens, Model
from tollgate.core.encodings import load_encoding
from tollgate.core.tokens import (
    PIECES_MAX,
    QUICK_CHARACTERS_MAX,
    TEXT_CHARACTERS_MAX,
    WINDOW_CHARACTERS,
    count_prompt,
    count_text,
    is_quickly_counted,
)

PROSE = (
    "The keeper of the gate counted every cart that passed, 1234 of them.\n\n\tNobody paid twice! "
)
MODEL = Model(
    name="m",
    owned_by="o",
    created=0,
    context_tokens_max=100_000,
    output_tokens_max=100,
    encoding="o200k_base",
    image_tokens=ImageTokens(scheme="flat", base=500),
    price=None,
    routes=(),
)


@pytest.mark.parametrize("name", ["o200k_base", "cl100k_base"])
@pytest.mark.parametrize(
    "text", [PROSE, "", " ", "<|endoftext|>", "字" * 50, "def f(x):\n    return x\n" * 40]
)
def test_short_text_counts_as_tiktoken_counts(name: str, text: str) -> None:
    """Special-token text is ordinary text; nothing else differs."""
    assert count_text(text, name) == len(load_encoding(name).encode_ordinary(text))


def test_long_prose_and_code_are_exact() -> None:
    """Windows are cut before a space or behind a line, so their sum is the whole."""
    prose = PROSE * 2000
    code = "for item in items:\n        total += item.price * 2  # a comment\n" * 3000
    table = "".join(f"row{row},{row * 7},{row % 13}\n" for row in range(9000))
    whole = load_encoding("o200k_base")

    assert len(prose) > 10 * WINDOW_CHARACTERS
    for text in (prose, code, table):
        assert count_text(text, "o200k_base") == len(whole.encode_ordinary(text))


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "字",
        " ",
        "\u00a0",
        "\n",
        "\t ",
        "=",
        "👩\u200d👩",
        "<|endoftext|>",
        "\ud800",
        "1",
        "\0",
    ],
)
def test_a_megabyte_of_anything_is_counted(piece: str) -> None:
    """What makes tiktoken crawl or panic is counted, at most one token for each UTF-8 byte."""
    text = piece * (1_000_000 // len(piece))

    count = count_text(text, "o200k_base")

    assert 0 < count <= len(text.encode("utf-8", "surrogatepass"))


def test_beyond_the_bound_bytes_are_counted() -> None:
    """The stated upper estimate: one token for each byte that is not looked at."""
    text = "word " * (TEXT_CHARACTERS_MAX // 5) + "é" * 1000

    assert (
        count_text(text, "o200k_base")
        == count_text(text[:TEXT_CHARACTERS_MAX], "o200k_base") + 2000
    )


@pytest.mark.parametrize("piece", ["字", "\u00a0 ", " \t", "qwertzuiop", "\n \n"])
def test_text_without_a_place_to_cut_is_nearly_exact(piece: str) -> None:
    """A window that ends within a word or a run of spaces is off by a few tokens, no more."""
    text = piece * (10 * WINDOW_CHARACTERS // len(piece))
    whole = len(load_encoding("o200k_base").encode_ordinary(text))

    assert count_text(text, "o200k_base") == pytest.approx(whole, abs=40)


@pytest.mark.parametrize(
    "text",
    [
        "a" * (WINDOW_CHARACTERS - 3) + "     b " + "c" * 99,
        " " * 20 + "word" + " " * (WINDOW_CHARACTERS - 24) + "word",
        "one" + " two" * (WINDOW_CHARACTERS // 4 - 1) + "\u00a0 three",
        "a " * (WINDOW_CHARACTERS // 2 - 20) + " " * 64 + "b",
        "x" * (WINDOW_CHARACTERS - 1) + "\n y",
    ],
)
def test_cuts_beside_long_runs_of_spaces_are_exact(text: str) -> None:
    """A run of spaces stays in one window with the word behind it: there they are one token."""
    assert count_text(text, "o200k_base") == len(load_encoding("o200k_base").encode_ordinary(text))


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb \ud83d", "\ud800" * 9000, "\udfffb" * 9])
def test_lone_surrogates_count_as_tiktoken_counts_them(text: str) -> None:
    """Half an emoji, as a caller's JSON can hold it, is a replacement character."""
    window = text[:WINDOW_CHARACTERS]

    assert count_text(window, "o200k_base") == len(
        load_encoding("o200k_base").encode_ordinary(window)
    )
    assert count_text(text, "o200k_base") >= count_text(window, "o200k_base")


class Panicking:
    """A tokenizer that fails as tiktoken's does on a million spaces: not with an Exception."""

    def encode_ordinary(self, _text: str) -> list[int]:
        raise PanicException

    def __call__(self, _name: str) -> "Panicking":
        return self


class PanicException(BaseException):
    """What pyo3 raises when Rust panics."""


def test_panic_counts_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A window that tiktoken cannot take counts one token for each byte."""
    monkeypatch.setattr(tokens, "load_encoding", Panicking())

    assert count_text("aé", "o200k_base") == 3


def test_interrupt_is_no_panic(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other exceptions that are no Exception pass through."""

    def interrupt(_text: str) -> list[int]:
        raise KeyboardInterrupt

    tokenizer = Panicking()
    monkeypatch.setattr(tokenizer, "encode_ordinary", interrupt)
    monkeypatch.setattr(tokens, "load_encoding", tokenizer)

    with pytest.raises(KeyboardInterrupt):
        count_text("a", "o200k_base")


def test_counting_stops_when_it_has_seen_enough() -> None:
    """A prompt over the limit is not counted to its end."""
    count = count_text("word " * 500_000, "o200k_base", stop_after=10_000)

    assert 10_000 < count < 10_000 + WINDOW_CHARACTERS


def prompt(*messages: Any, **body: Any) -> int:
    return count_prompt({"messages": list(messages), **body}, MODEL).tokens


def test_messages_follow_openais_formula() -> None:
    """3 a message, 1 a name, 3 for the reply, and every text in it."""
    plain = prompt({"role": "user", "content": "hello world"})

    assert plain == 3 + 3 + 1 + 2
    assert prompt({"role": "user", "content": "hello world", "name": "bob"}) == plain + 2
    assert prompt({"role": "user", "content": [{"type": "text", "text": "hello world"}]}) == plain


def test_tools_history_and_schemas_count() -> None:
    """Definitions, earlier calls and response schemas are part of the prompt."""
    user = {"role": "user", "content": "hi"}
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    tool = {"type": "function", "function": {"name": "f", "description": "does things"}}

    assert prompt(user, tools=[tool]) > prompt(user) + 16
    assert prompt(user, functions=[tool["function"]]) > prompt(user) + 16
    assert (
        prompt(user, {"role": "assistant", "content": None, "tool_calls": [call]})
        > prompt(user) + 10
    )
    assert prompt(
        user, response_format={"type": "json_schema", "json_schema": {"name": "x"}}
    ) > prompt(user)


@pytest.mark.parametrize(
    ("part", "count"),
    [
        ({"type": "image_url", "image_url": {"url": "https://x/y.png"}}, 500),
        ({"type": "image_url", "image_url": "https://x/y.png"}, 500),
        ({"type": "input_audio", "input_audio": {"data": "A" * 6400, "format": "wav"}}, 5),
        ({"type": "input_audio", "input_audio": {"data": "A" * 6400, "format": "mp3"}}, 48),
        ({"type": "file", "file": {"file_data": "A" * 80_000}}, 15_000),
        ({"type": "file", "file": {"file_id": "f"}}, 256),
        ({"type": "refusal", "refusal": "no"}, 1),
    ],
)
def test_parts_count_by_their_rule(part: dict[str, Any], count: int) -> None:
    """Images by the model, audio and files by their bytes."""
    empty = prompt({"role": "user", "content": []})

    assert prompt({"role": "user", "content": [part]}) == empty + count


@pytest.mark.parametrize(
    "message",
    [
        None,
        5,
        "text",
        [],
        {},
        {"role": None, "content": 5},
        {"content": [None, 5, "x", {}, {"type": "image_url"}, {"type": "input_audio"}]},
        {"content": [{"type": "image_url", "image_url": {"url": 5, "detail": []}}]},
        {"content": "\ud800", "tool_calls": {"a": ["\udfff"]}},
    ],
)
def test_anything_counts_something(message: object) -> None:
    """Whatever a body holds, counting it does not fail."""
    assert prompt(message) >= 3


def test_only_text_can_exceed_the_context() -> None:
    """What counts by rule is cut to the context; text beyond it is told apart."""
    sound = {"type": "input_audio", "input_audio": {"data": "A" * 60_000_000, "format": "mp3"}}
    loud = count_prompt({"messages": [{"role": "user", "content": [sound]}]}, MODEL)
    long = count_prompt({"messages": [{"role": "user", "content": "word " * 200_000}]}, MODEL)

    assert (loud.tokens, loud.text_tokens) == (100_000, 1)
    assert long.text_tokens > 100_000


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": None},
        {"messages": {"role": "user"}},
        {"messages": "hello"},
        {"messages": [], "tools": 5, "functions": "f", "response_format": [], "prediction": "x"},
    ],
)
def test_body_of_a_wrong_shape_is_an_empty_prompt(body: dict[str, Any]) -> None:
    """Judging the body is done elsewhere; here it counts the reply's three tokens."""
    assert count_prompt(body, MODEL).tokens == 3


def test_deepest_json_is_counted() -> None:
    """Nesting that the JSON reader lets through does not overflow the counting."""
    deep = json.loads("[" * 9000 + "]" * 9000)

    assert prompt({"role": "user", "content": [deep]}) > 100


def test_prompt_over_the_context_says_so_at_once() -> None:
    """Once the context is exceeded the rest is not tokenised."""
    texts = [{"role": "user", "content": "word " * 60_000}] * 100

    count = count_prompt({"messages": texts}, MODEL)

    assert MODEL.context_tokens_max < count.text_tokens < 2 * MODEL.context_tokens_max
    assert count.tokens >= count.text_tokens


def test_all_is_looked_at_up_to_the_limit_of_pieces() -> None:
    """An image among ten thousand parts is still an image."""
    image = {"type": "image_url", "image_url": {"url": "https://x/y.png"}}
    parts = [{"type": "text", "text": ""}] * 10_000

    assert prompt({"role": "user", "content": [*parts, image]}) == (
        prompt({"role": "user", "content": []}) + 500
    )


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "user", "content": [""] * 2_000_000}]},
        {"messages": [{"role": "user", "content": [{}] * 2_000_000}]},
        {"messages": [{}] * 2_000_000},
        {"messages": [{str(at): 1 for at in range(600_000)}]},
        {"messages": [], "tools": [{}] * 2_000_000},
        {"messages": [{"content": [""] * (PIECES_MAX // 10)}] * 600},
    ],
)
def test_millions_of_pieces_count_as_json(
    body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body of six megabytes is tokenised in some ten thousand pieces, not in millions."""
    pieces = []

    def note(text: str, _encoding: str, stop_after: int | None = None) -> int:
        pieces.append(text)
        return min(len(text), (stop_after or 0) + 1)

    monkeypatch.setattr(tokens, "count_text", note)

    patient = dataclasses.replace(MODEL, context_tokens_max=1_000_000)

    assert count_prompt(body, patient).text_tokens > 1_000_000
    assert len(pieces) <= 2 * PIECES_MAX


def test_unknown_parts_count_by_their_size() -> None:
    """Another vendor's video is no text, and never a reason to refuse the prompt."""
    video = {"type": "video_url", "video_url": {"url": "data:video/mp4;base64," + "A" * 2_000_000}}
    found = count_prompt({"messages": [{"role": "user", "content": [video]}]}, MODEL)

    assert found.tokens == MODEL.context_tokens_max
    assert found.text_tokens < 10


def _messages(*contents: object) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": content} for content in contents]}


@pytest.mark.parametrize(
    ("body", "is_quick"),
    [
        (_messages("Hello"), True),
        (_messages(*["a"] * 100), True),
        (_messages(*["a"] * 101), False),
        (_messages("a" * (QUICK_CHARACTERS_MAX - len("roleusercontent"))), True),
        (_messages("a" * QUICK_CHARACTERS_MAX), False),
        ({"messages": [{f"field{n}": "" for n in range(QUICK_CHARACTERS_MAX)}]}, False),
        (_messages([{"type": "text", "text": "a"}]), False),
        ({"messages": ["a", 1]}, False),
        (_messages("Hello") | {"tools": [{}]}, False),
        (_messages("Hello") | {"response_format": {}}, False),
        (_messages("Hello") | {"tools": None}, True),
    ],
)
def test_short_plain_texts_are_quickly_counted(body: dict[str, object], *, is_quick: bool) -> None:
    """What is not sure to be is counted where nobody waits for it."""
    load_encoding("o200k_base")

    assert is_quickly_counted(body, MODEL) is is_quick


def test_nothing_is_quickly_counted_before_the_encoding_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Loading it takes a sixth of a second, in which the caller is to be kept alive."""
    monkeypatch.setattr("tiktoken.registry.ENCODINGS", {})

    assert not is_quickly_counted(_messages("Hello"), MODEL)
