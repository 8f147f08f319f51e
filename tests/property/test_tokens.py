"""Counting and catalog reading on inputs that nobody thought of."""

import base64
import dataclasses
from contextlib import suppress
from pathlib import Path
from typing import Any

import tollgate
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tollgate.core.catalog import EncodingName, ImageTokens, Model
from tollgate.core.catalog_toml import parse_catalog
from tollgate.core.encodings import load_encoding
from tollgate.core.image_tokens import count_image, read_size
from tollgate.core.tokens import WINDOW_CHARACTERS, _find_cut, count_prompt, count_text
from tollgate.errors import CatalogError

PACKAGED = (Path(tollgate.__file__).parent / "catalog.toml").read_text()
MODEL = Model(
    name="m",
    owned_by="tests",
    created=0,
    context_tokens_max=60,
    output_tokens_max=10,
    encoding="o200k_base",
    image_tokens=ImageTokens(scheme="tile", base=85, tile=170),
    price=None,
    routes=(),
)

encodings = st.sampled_from(EncodingName.__value__.__args__)
anything = st.text(alphabet=st.characters(exclude_categories=()))
runs = st.builds(
    lambda piece, times: piece * times,
    st.text(alphabet=st.sampled_from("aZ9 \t\n\r\u00a0\u3000='字👩\u200d\ud800<|>"), max_size=6),
    st.integers(0, WINDOW_CHARACTERS),
)
BLANKS = ("\n", " ", "\n\n", "  ", "\r\n", "\n/", "/", "\t", "\u00a0", "\u3000", "{", "'s", "\x1c")
words = st.from_regex(r"[A-Za-zäß]{1,12}[0-9]{0,5}(\n\t?[a-zß])?[.,;:!?)'/]{0,3}", fullmatch=True)
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | anything
json_values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(anything, inner, max_size=5),
    max_leaves=20,
)
part_types = st.sampled_from(["text", "image_url", "input_audio", "file", "refusal"])
parts = json_values | st.fixed_dictionaries(
    {"type": part_types | json_values},
    optional=dict.fromkeys(("text", "image_url", "input_audio", "file", "refusal"), json_values),
)
messages = json_values | st.fixed_dictionaries(
    {"role": json_values},
    optional={
        "content": json_values | st.lists(parts, max_size=5),
        "name": json_values,
        "tool_calls": json_values,
    },
)


@given(text=anything | runs, encoding=encodings)
@example(text="\ud83d\ude00", encoding="o200k_base")
@settings(max_examples=200, deadline=None)
def test_no_text_fails_or_exceeds_its_bytes(text: str, encoding: str) -> None:
    """A byte-level encoding has at least one byte a token, so bytes are the stated upper bound."""
    count = count_text(text, encoding)

    assert bool(text) <= count <= len(text.encode("utf-8", "surrogatepass"))


@given(pieces=st.lists(words, min_size=1, max_size=40), encoding=encodings, gap=st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_windows_of_words_are_exact(pieces: list[str], encoding: str, gap: int) -> None:
    """Text with a word beside a space in each window counts as tiktoken counts the whole."""
    text = (" " * gap).join(pieces) + " "
    text *= 3 * WINDOW_CHARACTERS // len(text) + 1

    assert count_text(text, encoding) == len(load_encoding(encoding).encode_ordinary(text))


@given(
    text=st.lists(anything | words | st.sampled_from(BLANKS), max_size=12).map("".join),
    encoding=encodings,
)
@settings(max_examples=400, deadline=None)
@example(text="} \n/ a\r\n/b\n\u3000c\n d\n\x1ce", encoding="o200k_base")
def test_no_token_spans_a_cut(text: str, encoding: str) -> None:
    """Wherever a window ends, at a space or a line's end: both parts' tokens are the whole's."""
    text = "".join("?" if "\ud800" <= letter <= "\udfff" else letter for letter in text)
    encode = load_encoding(encoding).encode_ordinary
    for end in range(1, len(text)):
        cut = _find_cut(text, 0, end)
        if cut < end:
            assert encode(text[:cut]) + encode(text[cut:]) == encode(text)


@given(text=anything | runs, limit=st.integers(0, 3000))
@settings(max_examples=100, deadline=None)
def test_stopping_early_tells_no_more_than_that(text: str, limit: int) -> None:
    """Up to the limit the count is the whole one; beyond it, it is beyond the limit."""
    whole = count_text(text, "o200k_base")
    stopped = count_text(text, "o200k_base", stop_after=limit)

    assert stopped == whole if whole <= limit else limit < stopped <= whole


@given(first=anything | runs, second=anything | runs)
@settings(max_examples=100, deadline=None)
def test_joined_texts_count_about_as_much_as_their_parts(first: str, second: str) -> None:
    """Joining changes the tokens at the seam and where windows end: a few, never a multiple."""
    apart = count_text(first, "o200k_base") + count_text(second, "o200k_base")
    joined = count_text(first + second, "o200k_base")

    assert abs(joined - apart) <= 8 + apart // 50


@given(body=st.dictionaries(anything, json_values, max_size=4), asked=st.lists(messages))
@settings(max_examples=200, deadline=None)
def test_no_body_fails(body: dict[str, Any], asked: list[Any]) -> None:
    """Whatever JSON a caller sends counts at least the reply's three tokens."""
    count = count_prompt(body | {"messages": asked}, MODEL)

    assert count.tokens >= min(3 + 3 * len(asked), MODEL.context_tokens_max)
    assert 0 <= count.text_tokens <= max(count.tokens, MODEL.context_tokens_max)


@given(asked=st.lists(messages, max_size=5), more=messages, context=st.integers(1, 400))
@settings(max_examples=200, deadline=None)
def test_another_message_never_lowers_the_count(
    asked: list[Any], more: object, context: int
) -> None:
    """A longer conversation costs no less, on either side of the context's end."""
    model = dataclasses.replace(MODEL, context_tokens_max=context)
    shorter = count_prompt({"messages": asked}, model)
    longer = count_prompt({"messages": [*asked, more]}, model)

    assert longer.tokens >= shorter.tokens
    assert longer.text_tokens >= shorter.text_tokens


@given(
    head=st.sampled_from(
        [
            b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
            b"GIF89a",
            b"RIFF\0\0\0\0WEBPVP8 ",
            b"\xff\xd8\xff",
            b"RIFF\0\0\0\0WEBPVP8L",
            b"RIFF\0\0\0\0WEBPVP8X",
            b"",
        ]
    ),
    body=st.binary(max_size=64),
    detail=st.sampled_from(["low", "high", "auto", "original", None]) | json_values,
)
@settings(max_examples=300, deadline=None)
def test_no_image_fails_or_exceeds_its_maximum(head: bytes, body: bytes, detail: object) -> None:
    """A header that lies counts at most what an image of unknown size does."""
    image = "data:image/png;base64," + base64.b64encode(head + body).decode()
    size = read_size(image)

    assert size is None or min(size) > 0
    for rule in (
        ImageTokens(scheme="tile", base=85, tile=170),
        ImageTokens(scheme="patch", patches_max=2500, multiplier_percent=162),
        ImageTokens(scheme="flat", base=7),
    ):
        assert 1 <= count_image(rule, image, detail) <= count_image(rule, None, None)


@given(url=anything | json_values)
@settings(max_examples=100, deadline=None)
def test_no_address_fails(url: object) -> None:
    """An image's address may be anything at all."""
    rule = ImageTokens(scheme="tile", base=85, tile=170)

    assert 85 + 170 <= count_image(rule, url, "high") <= 85 + 8 * 170


@given(
    at=st.integers(0, len(PACKAGED)),
    length=st.integers(0, 40),
    instead=anything | st.sampled_from(["nan", "-1", "1e-400", "true", '""', "[", "{", "\n"]),
)
@settings(max_examples=150, deadline=None)
def test_a_mangled_catalog_is_read_or_refused(at: int, length: int, instead: str) -> None:
    """Whatever stands in the file, the reader returns a catalog or a CatalogError."""
    text = PACKAGED[:at] + instead + PACKAGED[at + length :]

    with suppress(CatalogError):
        assert len(parse_catalog(text).version) == 12
