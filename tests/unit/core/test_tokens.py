"""Counting prompts and answers: exact where it can be, bounded always, never failing."""

import hashlib
from typing import Any

import pytest
import tiktoken
import tiktoken_ext.openai_public
from tollgate.core.catalog import ImageTokens, Model
from tollgate.core.encodings import FOLDER, load_encoding, read_ranks
from tollgate.core.tokens import (
    TEXT_CHARACTERS_MAX,
    WINDOW_CHARACTERS,
    count_prompt,
    count_text,
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
def test_shipped_ranks_are_those_that_tiktoken_expects(name: str) -> None:
    """The encoding is tiktoken's own; its ranks come from the layer and pass its own hash."""
    definition = getattr(tiktoken_ext.openai_public, name)()
    encoding = load_encoding(name)

    assert (FOLDER / f"{name}.tiktoken.gz").is_file()
    assert encoding.max_token_value == max(definition["special_tokens"].values())
    assert encoding.decode(encoding.encode_ordinary(PROSE)) == PROSE


def test_changed_ranks_are_refused() -> None:
    """Another hash than the file's is an error, not another count."""
    with pytest.raises(ValueError, match="expects"):
        read_ranks("https://example/o200k_base.tiktoken", hashlib.sha256(b"").hexdigest())


@pytest.mark.parametrize("name", ["o200k_base", "cl100k_base"])
@pytest.mark.parametrize(
    "text", [PROSE, "", " ", "<|endoftext|>", "字" * 50, "def f(x):\n    return x\n" * 40]
)
def test_short_text_counts_as_tiktoken_counts(name: str, text: str) -> None:
    """Special-token text is ordinary text; nothing else differs."""
    assert count_text(text, name) == len(tiktoken.get_encoding(name).encode_ordinary(text))


def test_long_prose_and_code_are_exact() -> None:
    """Windows are cut where a word meets a space, so their sum is the whole."""
    prose = PROSE * 2000
    code = "for item in items:\n        total += item.price * 2  # a comment\n" * 3000
    whole = tiktoken.get_encoding("o200k_base")

    assert len(prose) > 10 * WINDOW_CHARACTERS
    assert count_text(prose, "o200k_base") == len(whole.encode_ordinary(prose))
    assert count_text(code, "o200k_base") == len(whole.encode_ordinary(code))


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

    assert 0 < count <= len(text.encode("utf-8", "replace")) * 3


def test_beyond_the_bound_bytes_are_counted() -> None:
    """The stated upper estimate: one token for each byte that is not looked at."""
    text = "word " * (TEXT_CHARACTERS_MAX // 5) + "é" * 1000

    assert (
        count_text(text, "o200k_base")
        == count_text(text[:TEXT_CHARACTERS_MAX], "o200k_base") + 2000
    )


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
    ("part", "tokens"),
    [
        ({"type": "image_url", "image_url": {"url": "https://x/y.png"}}, 500),
        ({"type": "image_url", "image_url": "https://x/y.png"}, 500),
        ({"type": "input_audio", "input_audio": {"data": "A" * 6400, "format": "wav"}}, 3),
        ({"type": "input_audio", "input_audio": {"data": "A" * 6400, "format": "mp3"}}, 48),
        ({"type": "file", "file": {"file_data": "A" * 80_000}}, 15_000),
        ({"type": "file", "file": {"file_id": "f"}}, 256),
        ({"type": "refusal", "refusal": "no"}, 1),
    ],
)
def test_parts_count_by_their_rule(part: dict[str, Any], tokens: int) -> None:
    """Images by the model, audio and files by their bytes."""
    empty = prompt({"role": "user", "content": []})

    assert prompt({"role": "user", "content": [part]}) == empty + tokens


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
