"""The headers of a form's part, read only where every parser reads them alike.

Servers differ in `name*`, in a name or a header that is given twice, in what a backslash or a
semicolon in quotes means, in encodings and charsets: one sees the field `n` where another sees a
file of some other name. Nothing of this is what clients send, so all of it is refused.

Hand-written because the parsers at hand (python-multipart's, the email package's) make sense of
everything, each its own.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tollgate.errors import InvalidRequestError

_DISPOSITION = "content-disposition"
_KIND = "content-type"
_WORD = r"[!#$%&'+.^_`|~0-9A-Za-z-]+"  # RFC 9110's without `*`, which marks the extended form
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_PARAMETER = re.compile(rf"[ \t]*;[ \t]*({_WORD})=({_WORD}|{_QUOTED})")
_FORM_DATA = re.compile(rf"[ \t]*form-data((?:{_PARAMETER.pattern})*)[ \t]*", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_ENCODINGS = frozenset({"binary", "8bit", "7bit"})
_TEXT = re.compile(
    r'[ \t]*text/plain[ \t]*(?:;[ \t]*charset="?(?:utf-8|us-ascii)"?[ \t]*)?', re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartHead:
    """What a part's headers say. `is_text`: nothing says that its body is other than UTF-8."""

    name: str
    is_file: bool
    is_text: bool


def read_part_headers(raw: Sequence[tuple[bytes, bytes]]) -> PartHead:
    """Return what the headers say; names in lower case, values as they came.

    Raises: InvalidRequestError: no name, or something that could be read in two ways.
    """
    headers = _decode(raw)
    parameters = _read_disposition(headers.get(_DISPOSITION))
    encoding = headers.get("content-transfer-encoding", "binary")
    if encoding.strip().lower() not in _ENCODINGS:
        raise InvalidRequestError("A part of the multipart body has a Content-Transfer-Encoding.")
    return PartHead(
        name=_check_name(parameters.get("name", "")),
        is_file=_has_file(parameters),
        is_text=_KIND not in headers or bool(_TEXT.fullmatch(headers[_KIND])),
    )


def _decode(raw: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in raw:
        text = _text(value)
        if _CONTROL.search(text):
            raise InvalidRequestError("A header of the multipart body has a control character.")
        if name.decode("latin-1") in headers and name.startswith(b"content-"):
            raise InvalidRequestError("A part of the multipart body has a header twice.")
        headers[name.decode("latin-1")] = text
    return headers


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequestError("The multipart body's headers must be UTF-8.") from error


def _read_disposition(value: str | None) -> dict[str, str]:
    """Return the parameters, quotes removed; each may be there once."""
    found = _FORM_DATA.fullmatch(value or "")
    if found is None:
        raise InvalidRequestError(
            "Each part of a multipart body needs a Content-Disposition of form-data with its name."
        )
    parameters: dict[str, str] = {}
    for name, text in _PARAMETER.findall(found[1]):
        if name.lower() in parameters:
            raise InvalidRequestError("A part of the multipart body has a parameter twice.")
        parameters[name.lower()] = text[1:-1] if text.startswith('"') else text
    return parameters


def _check_name(name: str) -> str:
    if not name:
        raise InvalidRequestError("Each part of a multipart body needs a name.")
    if name != name.strip() or set(name) & set('\\;"') or name == "_charset_":
        raise InvalidRequestError("A part of the multipart body has a name that cannot be read.")
    return name


def _has_file(parameters: dict[str, str]) -> bool:
    """Whether there is a file's name; one with parameters in it would fool who cuts at `;`."""
    name = parameters.get("filename")
    if name is not None and ";" in name and set(name) & set('="'):
        raise InvalidRequestError("A file of the multipart body has a name that cannot be read.")
    return name is not None
