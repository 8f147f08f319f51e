"""Forms taken apart by offsets, and put together again without copying a file."""

import pytest
from tollgate.core.multipart import PARTS_MAX, Form, parse_form
from tollgate.errors import InvalidRequestError

KIND = "multipart/form-data; boundary=b"


def part(disposition: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"Content-Disposition: form-data; {disposition}", *headers]
    return b"--b\r\n" + "\r\n".join(lines).encode() + b"\r\n\r\n" + body + b"\r\n"


def form(*parts: bytes, end: bytes = b"--b--\r\n", content_type: str = KIND) -> Form:
    return parse_form(b"".join(parts) + end, content_type)


def seen(found: Form) -> list[tuple[str, bool, bytes]]:
    return [(one.name, one.is_file, bytes(one.body)) for one in found.parts]


def test_parts_in_their_order() -> None:
    """Texts and files, several of one name, each a view of the one body."""
    found = form(
        part('name="model"', b"m"),
        part('name="image[]"; filename="a.png"', b"\x89PNG\r\n\x1a\n", "Content-Type: image/png"),
        part('name="image[]"; filename="b.png"', b"\r\n--", "X-Odd:"),
    )

    assert seen(found) == [
        ("model", False, b"m"),
        ("image[]", True, b"\x89PNG\r\n\x1a\n"),
        ("image[]", True, b"\r\n--"),
    ]
    assert {one.body.obj for one in found.parts} == {found.parts[0].raw.obj}


@pytest.mark.parametrize("headers", [[], ["X-Empty:"], ["X-Empty: "], ["Content-Type: image/png"]])
def test_empty_parts(headers: list[str]) -> None:
    """A part without a byte is there, whatever header stands last."""
    found = form(part('name="a"; filename=""', b"", *headers), part('name="b"', b"x"))

    assert seen(found) == [("a", True, b""), ("b", False, b"x")]


@pytest.mark.parametrize(
    ("disposition", "name", "is_file"),
    [
        ('name="weiß"; filename="☂ ß.png"', "weiß", True),
        ('name="a"; filename="say \\"hi\\".png"', "a", True),
        ("name=a; filename=b", "a", True),
        ('NAME="a"', "a", False),
        ('name="a";filename="a;b.png"', "a", True),
        ('name="a"; creation-date="x"', "a", False),
    ],
)
def test_names(disposition: str, name: str, *, is_file: bool) -> None:
    """Beyond ASCII, quoted or not; parameters that nobody reads."""
    [found] = form(part(disposition, b"x")).parts

    assert (found.name, found.is_file) == (name, is_file)


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ('multipart/form-data; boundary="b"', "b"),
        ("Multipart/Form-Data; charset=utf-8; boundary=b", "b"),
        ('multipart/form-data; boundary="a b:=?"', '"a b:=?"'),
        ("multipart/form-data; boundary=" + "b" * 70, "b" * 70),
    ],
)
def test_boundary_as_it_was_sent(content_type: str, boundary: str) -> None:
    """Quoted where its characters ask for it."""
    raw = boundary.strip('"').encode()
    body = b"--%b\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n--%b--" % (raw, raw)

    found = parse_form(body, content_type)

    assert seen(found) == [("a", False, b"x")]
    assert found.content_type == f"multipart/form-data; boundary={boundary}"
    built = b"".join(found.build({}))
    assert seen(parse_form(built, found.content_type)) == seen(found)


def test_build_replaces_and_drops_without_copying() -> None:
    """The model is rewritten, `official` goes, all else is the same bytes."""
    image = part('name="image"; filename="ß.png"', b"\0\xff", "Content-Type: image/png")
    found = form(part('name="model"', b"ours"), image, part('name="official"', b"true"))

    pieces = found.build({"model": "theirs"}, dropped=("official",))

    assert b"".join(pieces) == part('name="model"', b"theirs") + image + b"--b--\r\n"
    [view] = [piece for piece in pieces if isinstance(piece, memoryview)]
    assert view.obj is found.parts[0].raw.obj


def test_a_missing_model_is_added() -> None:
    """The route's model goes upstream also where the caller named none."""
    assert b'name="model"\r\n\r\nm\r\n' in b"".join(form(part("name=a")).build({"model": "m"}))


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", KIND),
        (part("name=a"), KIND),
        (part("name=a", b"x")[:-2], KIND),
        (part("name=a") + b"--b", KIND),
        (b"preamble\r\n" + part("name=a") + b"--b--", KIND),
        (part("filename=a") + b"--b--", KIND),
        (part('name=""') + b"--b--", KIND),
        (b"--b\r\n\r\nx\r\n--b--", KIND),
        (b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--", KIND),
        (part("name=a", b"", "Content-Disposition: form-data; name=b") + b"--b--", KIND),
        (b"--b\r\nNo header\r\n\r\n\r\n--b--", KIND),
        (b"--b\r\nA: b\nC: d\r\r\n\r\n--b--", KIND),
        (part("name=a", b"", *["X: y"] * 20) + b"--b--", KIND),
        (part("name=a", b"", "X: " + "y" * 10_000) + b"--b--", KIND),
        (part("name=a") + b"--b--", "multipart/form-data"),
        (part("name=a") + b"--b--", "multipart/form-data; boundary="),
        (part("name=a") + b"--b--", "multipart/form-data; boundary=" + "b" * 71),
        (part("name=a").replace(b"--b", b"--\xff") + b"--\xff--", f"{KIND[:-1]}\xff"),
        (part("name=a").replace(b"--b", b'--"') + b'--"--', f'{KIND[:-1]}"""'),
        (b"".join([part("name=a")] * (PARTS_MAX + 1)) + b"--b--", KIND),
        (b"".join([part("name=a")] * 10_000) + b"--b--", KIND),
    ],
)
def test_what_is_no_form(body: bytes, content_type: str) -> None:
    """Cut off, without a name, with two, too much of anything: 400, and never a guess."""
    with pytest.raises(InvalidRequestError):
        parse_form(body, content_type)


def test_as_many_parts_as_there_may_be() -> None:
    """The limit itself is allowed; what follows the end is not read."""
    body = b"".join([part("name=a")] * PARTS_MAX) + b"--b--\r\nepilogue"

    assert len(parse_form(body, KIND).parts) == PARTS_MAX


@pytest.mark.parametrize(
    "body",
    [
        part("name=a", b'x\n--b\nContent-Disposition: form-data; name="n"\n\n9\n'),
        part("name=a", b"x\r--b"),
        part("name=a", b"--b"),
        part("name=a", b"\r\n--b \r\n"),
        part("name=a", b"\r\n--bc\r\n"),
        part("name=a", b"x", "X: --b"),
        b"\r\nsomething --b\r\n" + part("name=a"),
        b"\r\n" + part("name=a"),
    ],
)
def test_delimiters_that_other_parsers_see(body: bytes) -> None:
    """After a bare LF, with something behind it, in front of the first: refused, not guessed."""
    for end in (
        b"--b--\r\n",
        b"--b--\r\n--b\r\nContent-Disposition: form-data; name=n\r\n\r\n9\r\n",
    ):
        with pytest.raises(InvalidRequestError):
            parse_form(body + end, KIND)


def test_epilogue_with_another_part() -> None:
    """A parser that goes on after the end would find it."""
    form = part("name=a") + b"--b--\r\n" + part("name=n", b"9")

    with pytest.raises(InvalidRequestError):
        parse_form(form, KIND)
