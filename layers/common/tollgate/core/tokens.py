"""Prompt and answer tokens, counted with tiktoken within a bound of work, and never failing.

Text is counted in windows of 2048 characters, cut before a space or behind a line where that is
possible: exact on prose, code and tables, about a token in ten thousand off on text without either.
Within a window tiktoken is quick on any input; on the whole text it is slow on long runs of one
kind and panics on a million spaces. Past `TEXT_CHARACTERS_MAX` a text counts one token for each
UTF-8 byte, which a byte-level encoding cannot exceed. Past `PIECES_MAX` fields, messages and parts
the rest of a list counts as its JSON text: a body of a million tiny ones must not take its time a
million times.

What is not text counts by a stated rule: images by `core.image_tokens`; audio and files by their
bytes, at rates above the usual (docs/catalog.md#counting).
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tollgate.core.catalog import Model
from tollgate.core.encodings import is_loaded, load_encoding
from tollgate.core.image_tokens import count_image
from tollgate.core.units import Tokens

if TYPE_CHECKING:
    import tiktoken

WINDOW_CHARACTERS = 2048
TEXT_CHARACTERS_MAX = 8_000_000
PIECES_MAX = 30_000
QUICK_CHARACTERS_MAX = 10_000
_QUICK_MESSAGES_MAX = 100
_BEFORE_SPACE = re.compile(r".*\S(?= )", re.DOTALL)
_BEHIND_LINE = re.compile(r".*\n(?=[^\s/])", re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")
_RUN = 64
_SURROGATES = re.compile(f"[\ud800-\udfff]{{{_RUN}}}")
_MESSAGE_TOKENS = 3
_NAME_TOKENS = 1
_REPLY_TOKENS = 3
_TOOL_TOKENS = 16
_LISTS_OF_TOOLS = ("tools", "functions")
_COUNTED_AS_JSON = ("response_format", "prediction")
_COUNTED_BESIDE_MESSAGES = (*_LISTS_OF_TOOLS, *_COUNTED_AS_JSON)
_AUDIO_BYTES_PER_TOKEN = {"wav": 1000, "pcm16": 1000}
_AUDIO_BYTES_PER_TOKEN_PACKED = 100
_FILE_BYTES_PER_TOKEN = 4
_FILE_TOKENS_MIN = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptCount:
    """`tokens` is what the prompt counts; `text_tokens` the part of it that was tokenised.

    `overhead_tokens`: the part that messages, names, tools and the reply count as such. The rest
    is estimated.
    """

    tokens: Tokens
    text_tokens: Tokens
    overhead_tokens: Tokens


def count_text(text: str, encoding: str, stop_after: int | None = None) -> int:
    """Return the tokens of `text`; special-token text counts as the ordinary text that it is.

    Once more than `stop_after` are counted, the count so far is returned.
    """
    tokenizer = load_encoding(encoding)
    total = 0
    for window in _windows(_without_surrogates(text[:TEXT_CHARACTERS_MAX])):
        total += _count_window(window, tokenizer)
        if stop_after is not None and total > stop_after:
            return total
    return total + _bytes_bound(text[TEXT_CHARACTERS_MAX:])


def cut_text(text: str, encoding: str, tokens_max: int) -> str:
    """Return a text that counts at most `tokens_max`, else a beginning of it that does.

    Cut behind a word if there is one. The place is found by halving: a beginning seldom counts more
    than a longer one (a word's can), and what is returned was counted.
    """

    def is_fit(head: str) -> bool:
        return count_text(head, encoding, stop_after=tokens_max) <= tokens_max

    if is_fit(text):
        return text
    fits, too_long = 0, len(text)
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        fits, too_long = (middle, too_long) if is_fit(text[:middle]) else (fits, middle)
    at_word = text[: fits + 1].rpartition(" ")[0]
    return at_word if at_word and is_fit(at_word) else text[:fits]


def count_message(role: str, content: str, encoding: str) -> int:
    """Return what one more message of plain text adds to a prompt's count."""
    return _MESSAGE_TOKENS + count_text(role, encoding) + count_text(content, encoding)


def _without_surrogates(text: str) -> str:
    """Replace lone surrogates: tiktoken takes ten times as long to do it, window by window.

    Long runs first: one by one a million of them takes as long as to count a megabyte of prose.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return _SURROGATE.sub("\ufffd", _SURROGATES.sub("\ufffd" * _RUN, text))
    return text


def _count_window(window: str, tokenizer: "tiktoken.Encoding") -> int:
    try:
        return len(tokenizer.encode_ordinary(window))
    except BaseException as error:
        # pyo3's PanicException is no Exception and has no public name.
        if type(error).__name__ != "PanicException":
            raise
        return _bytes_bound(window)


def _bytes_bound(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _windows(text: str) -> Iterator[str]:
    at = 0
    while len(text) - at > WINDOW_CHARACTERS:
        end = _find_cut(text, at, at + WINDOW_CHARACTERS)
        yield text[at:end]
        at = end
    if at < len(text):
        yield text[at:]


def _find_cut(text: str, start: int, end: int) -> int:
    """Return the last place up to `end` before a space or behind a line, else `end`.

    No token spans these: a space begins a word, and behind a line's end come at most slashes.
    """
    space, line = text.rfind(" ", start, end + 1), text.rfind("\n", start, end)
    found = _BEFORE_SPACE.match(text, start, space + 1)
    found = found or _BEHIND_LINE.match(text, start, line + 2)
    return found.end() if found else end


def count_prompt(body: Mapping[str, object], model: Model) -> PromptCount:
    """Return what a chat request's prompt counts before the upstream says.

    Any JSON is taken: what has an unexpected type counts as its JSON text. The whole is at most the
    model's context unless the text alone exceeds it.
    Source: OpenAI's cookbook, "How to count tokens": 3 a message, 1 a name, 3 for the reply.
    """
    counter = _Counter(model)
    for message in counter.single_out(_as_list(body.get("messages"))):
        counter.add_message(message)
    for field in _LISTS_OF_TOOLS:
        for definition in counter.single_out(_as_list(body.get(field))):
            counter.overhead += _TOOL_TOKENS
            counter.add_json(definition)
    for field in _COUNTED_AS_JSON:
        if isinstance(body.get(field), Mapping):
            counter.add_json(body[field])
    return counter.count()


def is_quickly_counted(body: Mapping[str, object], model: Model) -> bool:
    """Whether `count_prompt` takes milliseconds: a few short plain texts, the encoding loaded.

    The names of fields count with their texts: no number of empty ones is short.
    """
    messages = _as_list(body.get("messages"))
    has_more = any(body.get(name) is not None for name in _COUNTED_BESIDE_MESSAGES)
    if has_more or len(messages) > _QUICK_MESSAGES_MAX or not is_loaded(model.encoding):
        return False
    characters = 0
    for message in messages:
        fields = message.items() if isinstance(message, Mapping) else [("", message)]
        for name, value in fields:
            if not isinstance(value, str):
                return False
            characters += len(name) + len(value)
    return characters <= QUICK_CHARACTERS_MAX


class _Counter:
    """Sums up the tokens of a prompt's texts and what counts by rule."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._text_tokens = 0
        self._pieces_left = PIECES_MAX
        self._estimated = 0
        self.overhead = _REPLY_TOKENS

    def count(self) -> PromptCount:
        context = self._model.context_tokens_max
        tokens = self._text_tokens + self.overhead + self._estimated
        if self._text_tokens <= context:
            tokens = min(tokens, context)
        return PromptCount(
            tokens=Tokens(tokens),
            text_tokens=Tokens(self._text_tokens),
            overhead_tokens=Tokens(self.overhead),
        )

    def single_out[T](self, pieces: list[T]) -> list[T]:
        """Return the pieces that are looked at one by one; the rest counts as JSON."""
        singles, rest = pieces[: self._pieces_left], pieces[self._pieces_left :]
        self._pieces_left -= len(singles)
        if rest:
            self.add_json(rest)
        return singles

    def add_text(self, text: str) -> None:
        left = self._model.context_tokens_max - self._text_tokens
        if left >= 0:
            self._text_tokens += count_text(text, self._model.encoding, stop_after=left)

    def add_json(self, value: object) -> None:
        self.add_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")))

    def add_message(self, message: object) -> None:
        self.overhead += _MESSAGE_TOKENS
        if not isinstance(message, Mapping):
            self.add_json(message)
            return
        for field, value in self.single_out(list(message.items())):
            if field == "name":
                self.overhead += _NAME_TOKENS
            if field == "content" and isinstance(value, list):
                for part in self.single_out(value):
                    self._add_part(part)
            elif isinstance(value, str):
                self.add_text(value)
            elif value is not None:
                self.add_json(value)

    def _add_part(self, part: object) -> None:
        if not isinstance(part, Mapping):
            self.add_json(part)
            return
        match part.get("type"):
            case "image_url":
                self._add_image(part.get("image_url"))
            case "input_audio":
                self._add_audio(part.get("input_audio"))
            case "file":
                self._add_file(part.get("file"))
            case _:
                text = part.get("text", part.get("refusal"))
                self.add_text(text) if isinstance(text, str) else self._add_unknown(part)

    def _add_unknown(self, part: object) -> None:
        """Count a part of another vendor's kind by its size: its bytes are seldom text."""
        self._estimated += -(-len(json.dumps(part)) // _FILE_BYTES_PER_TOKEN)

    def _add_image(self, image: object) -> None:
        fields = image if isinstance(image, Mapping) else {"url": image}
        self._estimated += count_image(
            self._model.image_tokens, fields.get("url"), fields.get("detail")
        )

    def _add_audio(self, audio: object) -> None:
        fields = audio if isinstance(audio, Mapping) else {}
        rate = _AUDIO_BYTES_PER_TOKEN.get(str(fields.get("format")), _AUDIO_BYTES_PER_TOKEN_PACKED)
        self._estimated += -(-_decoded_bytes(fields.get("data")) // rate)

    def _add_file(self, file: object) -> None:
        fields = file if isinstance(file, Mapping) else {}
        size = _decoded_bytes(fields.get("file_data"))
        self._estimated += max(_FILE_TOKENS_MIN, -(-size // _FILE_BYTES_PER_TOKEN))


def _as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _decoded_bytes(data: object) -> int:
    return len(data) * 3 // 4 if isinstance(data, str) else 0
