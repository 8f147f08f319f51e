"""The bytes of a streamed answer: prelude, chunks, trailers."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tollgate.runtime.stream import (
    END,
    PRELUDE_BYTES_MAX,
    PRELUDE_END,
    make_chunk,
    make_prelude,
    make_trailers,
)


def read(prelude: bytes) -> dict[str, object]:
    assert prelude.endswith(PRELUDE_END)
    found: dict[str, object] = json.loads(prelude.removesuffix(PRELUDE_END))
    return found


def test_prelude_has_every_value_of_a_header() -> None:
    """Names are lower case, values lists, in the order in which they were given."""
    headers = [(b"Set-Cookie", b"a=1"), (b"X-A", b"1"), (b"set-cookie", b"b=2")]

    assert read(make_prelude(201, headers)) == {
        "statusCode": 201,
        "multiValueHeaders": {"set-cookie": ["a=1", "b=2"], "x-a": ["1"]},
    }


@pytest.mark.parametrize(
    "name",
    [
        *("Connection", "Keep-Alive", "Proxy-Authenticate", "TE", "Trailer", "Transfer-Encoding"),
        *("Upgrade", "Server", "Date", "Content-Length", "X-Amzn-Trace-Id"),
    ],
)
def test_headers_of_the_connection_stay_behind(name: str) -> None:
    """What API Gateway makes itself, or would misread, is not in the prelude."""
    prelude = make_prelude(200, [(name.encode(), b"1"), (b"x-kept", b"2")])

    assert read(prelude)["multiValueHeaders"] == {"x-kept": ["2"]}


@pytest.mark.parametrize(
    ("status", "length"), [(200, ["0"]), (404, ["0"]), (204, None), (304, None)]
)
def test_empty_answer_says_so_where_a_body_is_allowed(
    status: int, length: list[str] | None
) -> None:
    """A client that waits for a body learns that none comes; 204 and 304 may not say it."""
    headers = read(make_prelude(status, [], is_empty=True))["multiValueHeaders"]

    assert headers == ({} if length is None else {"content-length": length})


def test_prelude_may_fill_its_room_and_no_more() -> None:
    """The limit counts the delimiter."""
    room = PRELUDE_BYTES_MAX - len(make_prelude(200, [(b"x", b"")]))

    assert len(make_prelude(200, [(b"x", b"v" * room)])) == PRELUDE_BYTES_MAX
    with pytest.raises(ValueError, match="larger than API Gateway takes"):
        make_prelude(200, [(b"x", b"v" * (room + 1))])


@given(name=st.binary(min_size=1), value=st.binary(max_size=500))
def test_delimiter_is_only_at_the_end(name: bytes, value: bytes) -> None:
    """Whatever the headers hold, the first NUL is the delimiter's."""
    prelude = make_prelude(200, [(name, value)])

    assert prelude.index(b"\0") == len(prelude) - len(PRELUDE_END)


@given(st.binary(min_size=1))
def test_chunk_is_framed_once(data: bytes) -> None:
    """Length in hex, the data, a line end."""
    size, _, rest = make_chunk(data).partition(b"\r\n")

    assert (int(size, 16), rest) == (len(data), data + b"\r\n")


@given(st.text())
def test_trailers_are_two_lines_whatever_the_message(message: str) -> None:
    """A raw line end or a long message would break the framing."""
    end, error_type, body, *rest = make_trailers("ValueError", message).split(b"\r\n")

    assert (end, rest) == (b"0", [b"", b""])
    assert error_type == b"Lambda-Runtime-Function-Error-Type: Function.ValueError"
    error = json.loads(base64.b64decode(body.partition(b": ")[2]))
    assert error == {"errorType": "ValueError", "errorMessage": message}


def test_trailers_are_bounded() -> None:
    """A message of any size and script stays within what Lambda is known to take."""
    assert len(make_trailers("ValueError", "\N{GRINNING FACE}" * 100_000)) < 64 * 1024


def test_good_end_has_no_trailers() -> None:
    """The last chunk, and nothing after it."""
    assert END == b"0\r\n\r\n"
