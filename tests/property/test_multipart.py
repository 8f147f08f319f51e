"""Any form comes out as it went in, whatever its boundary and its files' bytes."""

import email
import email.policy
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st
from tollgate.core.multipart import parse_form
from tollgate.errors import InvalidRequestError

BOUNDARY = st.text("abcXYZ019'()+_,-./:=?", min_size=1, max_size=70)
NAME = st.text(
    st.characters(exclude_characters='";\\\r\n\0', exclude_categories=("Cs", "Cc")),
    min_size=1,
    max_size=20,
).filter(lambda name: name.strip() == name)
# Bytes that look like delimiters, often.
DATA = st.lists(
    st.sampled_from([b"\r", b"\n", b"\r\n", b"-", b"--", b"--b", b"x", b"\0\xff"]) | st.binary(),
    max_size=12,
).map(b"".join)
PART = st.tuples(NAME, st.none() | NAME, DATA)


# Lines of which some parsers make parts and fields, in any order.
LINE = st.sampled_from(
    [
        "--b",
        "--b--",
        "--b ",
        "",
        'Content-Disposition: form-data; name="a"',
        'Content-Disposition: form-data; name="n"',
        'Content-Disposition: form-data; name="a"; name="n"',
        'Content-Disposition: form-data; name="a"; filename="x"',
        "Content-Disposition: form-data; name*=utf-8''n",
        'content-disposition: attachment; name="n"',
        ' ; name="n"',
        "Content-Type: text/plain",
        "Content-Type: multipart/mixed; boundary=c",
        "--c",
        "--c--",
        "1",
    ]
)
SOUP = st.lists(st.tuples(LINE, st.sampled_from(["\r\n"] * 8 + ["\n", "\r"])), max_size=14).map(
    lambda lines: "".join(line + end for line, end in lines).encode()
)


def encode(boundary: str, parts: list[tuple[str, str | None, bytes]]) -> bytes:
    pieces = []
    for name, file, data in parts:
        head = f'Content-Disposition: form-data; name="{name}"'
        head += "" if file is None else f'; filename="{file}"\r\nContent-Type: image/png'
        pieces.append(f"--{boundary}\r\n{head}\r\n\r\n".encode() + data + b"\r\n")
    return b"".join([*pieces, f"--{boundary}--\r\n".encode()])


@given(boundary=BOUNDARY, parts=st.lists(PART, min_size=1, max_size=5))
def test_parse_then_build_is_the_same(
    boundary: str, parts: list[tuple[str, str | None, bytes]]
) -> None:
    """Names, files and bytes are found, and building gives the body back to the byte."""
    delimiter = f"--{boundary}".encode()
    parts = [one for one in parts if encode(boundary, [one]).count(delimiter) == 2]
    if not parts:
        return
    body = encode(boundary, parts)

    form = parse_form(body, f'multipart/form-data; boundary="{boundary}"')

    found = [(one.name, one.is_file, bytes(one.body)) for one in form.parts]
    assert found == [(name, file is not None, data) for name, file, data in parts]
    assert b"".join(form.build({})) == body


@given(
    parts=st.lists(PART, max_size=4),
    model=NAME,
    position=st.integers(min_value=0, max_value=4),
)
def test_only_the_model_changes(
    parts: list[tuple[str, str | None, bytes]], model: str, position: int
) -> None:
    """What is rebuilt parses to the same parts, with the route's model once."""
    others = [one for one in parts if one[0] != "model" and encode("b", [one]).count(b"--b") == 2]
    body = encode("b", [*others[:position], ("model", None, b"old"), *others[position:]])
    form = parse_form(body, "multipart/form-data; boundary=b")

    built = parse_form(b"".join(form.build({"model": model})), form.content_type)

    found = [(one.name, bytes(one.body)) for one in built.parts]
    assert found == [("model", model.encode()), *((name, data) for name, _, data in others)]


@given(start=st.sampled_from([b"", b"--b\r\n"]), soup=SOUP, end=st.sampled_from([b"", b"--b--"]))
def test_another_parser_sees_the_same_parts(start: bytes, soup: bytes, end: bytes) -> None:
    """What we take, Python's lenient email package reads with the same names and bodies."""
    body = start + soup + end
    with suppress(InvalidRequestError):
        form = parse_form(body, "multipart/form-data; boundary=b")
        assert read_as_email(body) == [(part.name, bytes(part.body)) for part in form.parts]


def read_as_email(body: bytes) -> list[tuple[object, bytes]]:
    head = b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
    message = email.message_from_bytes(head + body, policy=email.policy.compat32)
    found = []
    for part in message.get_payload():
        if part.is_multipart():  # nested: of no field that is read, and its bytes stay its own
            continue
        found.append(
            (part.get_param("name", header="content-disposition"), part.get_payload(decode=True))
        )
    return found
