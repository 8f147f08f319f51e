"""A part's headers: read where all read them alike, else refused."""

import pytest
from tollgate.core.part_headers import PartHead, read_part_headers
from tollgate.errors import InvalidRequestError


def read(disposition: str | bytes, *headers: tuple[bytes, bytes]) -> PartHead:
    raw = disposition.encode() if isinstance(disposition, str) else disposition
    return read_part_headers([(b"content-disposition", raw), *headers])


@pytest.mark.parametrize(
    "disposition",
    [
        "attachment; name=n",
        "inline; name=n",
        "form-data",
        "form-data; filename=a",
        'form-data; name=""',
        'form-data; name="a"; name="n"',
        'form-data; name="a"; NAME="n"',
        "form-data; name=\"a\"; name*=utf-8''n",
        "form-data; name*=utf-8''n",
        'form-data; name*0="n"',
        "form-data; name=\"a\"; filename*=utf-8''b",
        'form-data; name="a"; filename="b"; filename*=utf-8\'\'b',
        'form-data; name="a"; filename="b"; filename="c"',
        'form-data; name="a"; filename="b\\"; name=\\"n"',
        'form-data; name="a"; filename="b; name=n"',
        'form-data; name="n\\"',
        'form-data; name="n\\\\"',
        'form-data; name="a;b"',
        'form-data; name="\\n"',
        'form-data; name=" n"',
        'form-data; name="n\u3000"',
        'form-data; name="n" x',
        'form-data; name="n"x',
        "form-data, form-data; name=n",
        "form-data; name=n; name",
        'form-data; name="n\0"',
        'form-data; name="n\n"',
        'form-data; name="a"\nContent-Disposition: form-data; name="n"',
        b'form-data; name="\xff"',
        'form-data; name="_charset_"',
    ],
)
def test_what_could_be_read_in_two_ways(disposition: str | bytes) -> None:
    """What one parser takes for the field `n`, and another for something else."""
    with pytest.raises(InvalidRequestError):
        read(disposition)


@pytest.mark.parametrize(
    "header",
    [
        (b"content-disposition", b"form-data; name=n"),
        (b"content-transfer-encoding", b"base64"),
        (b"content-transfer-encoding", b"quoted-printable"),
        (b"x-any", b"a\nContent-Disposition: form-data; name=n"),
        (b"x-any", b"\xff"),
    ],
)
def test_headers_that_change_a_part(header: tuple[bytes, bytes]) -> None:
    """Twice, in an encoding that some undo, or with another header inside."""
    with pytest.raises(InvalidRequestError):
        read("form-data; name=a", header)


@pytest.mark.parametrize(
    ("disposition", "expected"),
    [
        ('form-data; name="image[]"; filename="weiß ☂%22q.png"', ("image[]", True)),
        ('form-data; name="a"; filename="say \\"hi\\".png"', ("a", True)),
        ('form-data; name="a"; filename="C:\\dir\\b.png"', ("a", True)),
        ('form-data; name="a"; filename=""', ("a", True)),
        ("Form-Data ; NAME=a", ("a", False)),
    ],
)
def test_what_clients_send(disposition: str, expected: tuple[str, bool]) -> None:
    """File names beyond ASCII as httpx and undici write them, and with quotes and backslashes."""
    for encoding in (b"binary", b"8BIT", b"7bit"):
        found = read(disposition, (b"content-transfer-encoding", encoding))
        assert (found.name, found.is_file) == expected


@pytest.mark.parametrize(
    ("kind", "is_text"),
    [
        (b"text/plain", True),
        (b"Text/Plain; Charset=UTF-8", True),
        (b'text/plain;charset="us-ascii"', True),
        (b"text/plain; charset=utf-16", False),
        (b"application/octet-stream", False),
        (b"multipart/mixed; boundary=c", False),
        (b"application/json", False),
    ],
)
def test_what_is_text(kind: bytes, *, is_text: bool) -> None:
    """Another kind or charset may be read as something else than the bytes say."""
    assert read("form-data; name=a", (b"content-type", kind)).is_text is is_text
    assert read("form-data; name=a").is_text
