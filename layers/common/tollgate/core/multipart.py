"""A multipart/form-data body taken apart by offsets: its parts are views of the one body.

    --boundary CRLF headers CRLF CRLF body CRLF --boundary … --boundary--
                    └───────── raw ──────┘       a part; `body` is its end

python-multipart finds the places. Its own FormParser, and Starlette's, copy each file.

A form goes upstream to the byte, to be read there by a parser that is not ours. What parsers read
differently could be sold as one request and run as another, so a form is refused unless it can be
read in one way only; what is a part's header is in `core.part_headers`.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from tollgate.core.part_headers import read_part_headers
from tollgate.errors import InvalidRequestError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks  # exists for type checkers only

PARTS_MAX = 1000
_TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
# RFC 2046, section 5.1.1.
_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")

type Piece = bytes | memoryview


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part. `raw` is its headers, the blank line and `body`; both are views.

    `is_text`: whatever reads it takes the body for UTF-8 text.
    """

    name: str
    is_file: bool
    is_text: bool = True
    raw: memoryview
    body: memoryview


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A whole form; `boundary` as it was sent."""

    boundary: bytes
    parts: tuple[Part, ...]

    @property
    def content_type(self) -> str:
        """The header that belongs to `build`'s pieces; a boundary of odd characters is quoted."""
        text = self.boundary.decode()
        quoted = text if set(self.boundary) <= _TOKEN else f'"{text}"'
        return f"multipart/form-data; boundary={quoted}"

    def build(self, fields: Mapping[str, str], *, dropped: Collection[str] = ()) -> list[Piece]:
        """Return the body with text `fields` first, in their old parts' place, without `dropped`.

        Parts that stay keep their headers and file names to the byte, and are not copied.
        """
        pieces: list[Piece] = []
        for name, value in fields.items():
            pieces.append(
                b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
                % (self.boundary, name.encode(), value.encode())
            )
        for part in self.parts:
            if part.name not in fields and part.name not in dropped:
                pieces += [b"--%b\r\n" % self.boundary, part.raw, b"\r\n"]
        return [*pieces, b"--%b--\r\n" % self.boundary]


def parse_form(body: bytes, content_type: str) -> Form:
    """Return the form in `body`, at most `PARTS_MAX` parts of it.

    Raises: InvalidRequestError: no boundary, not well formed, cut off, too many parts, or anything
        that another parser could read in another way.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    if not _BOUNDARY.fullmatch(boundary):
        raise InvalidRequestError("The multipart body's Content-Type must name its boundary.")
    collector = _Collector(body)
    try:
        MultipartParser(boundary, collector.callbacks()).write(body)
    except FormParserError as error:
        raise InvalidRequestError(
            "We could not parse the multipart body of your request."
        ) from error
    if not collector.is_ended:
        raise InvalidRequestError("The multipart body of your request is cut off.")
    _check_delimiters(body, b"--" + boundary, len(collector.parts))
    return Form(boundary=boundary, parts=tuple(collector.parts))


def _check_delimiters(body: bytes, delimiter: bytes, parts: int) -> None:
    """Refuse a delimiter in another place than at a part's ends: after a bare LF, or at the end.

    Python's email package, among others, would cut a part there.
    """
    if not body.startswith(delimiter) or body.count(delimiter) != parts + 1:
        raise InvalidRequestError("The multipart body has its boundary where no part begins.")


class _Collector:
    """Notes where parts begin and end while the parser goes over the body, all in one write."""

    def __init__(self, body: bytes) -> None:
        self.parts: list[Part] = []
        self.is_ended = False
        self._source = body
        self._view = memoryview(body)
        self._begin_part()

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin_part,
            "on_header_field": self._take_field,
            "on_header_value": self._take_value,
            "on_part_data": self._take_data,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }

    def _begin_part(self) -> None:
        if len(self.parts) >= PARTS_MAX:
            raise InvalidRequestError(f"The multipart body has more than {PARTS_MAX} parts.")
        self._start: int | None = None
        self._data: tuple[int, int] | None = None
        self._headers: list[tuple[bytes, bytes]] = []

    def _take_field(self, data: bytes, start: int, end: int) -> None:
        if self._start is None:
            self._start = start
        self._headers.append((data[start:end].lower(), b""))

    def _take_value(self, data: bytes, start: int, end: int) -> None:
        self._headers[-1] = (self._headers[-1][0], data[start:end])

    def _take_data(self, _: bytes, start: int, end: int) -> None:
        self._data = (self._data[0] if self._data else start, end)

    def _end_part(self) -> None:
        head = read_part_headers(self._headers)
        first = self._start or 0  # there is a header, or the line above has raised
        start, end = self._data or (self._empty_body(first),) * 2
        self.parts.append(
            Part(
                name=head.name,
                is_file=head.is_file,
                is_text=head.is_text,
                raw=self._view[first:end],
                body=self._view[start:end],
            )
        )

    def _empty_body(self, start: int) -> int:
        """Return where the body of a part without any would be: behind its headers."""
        return self._source.index(b"\r\n\r\n", start) + 4

    def _end(self) -> None:
        self.is_ended = True
