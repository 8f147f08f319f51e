"""What came of an answer, whatever reads and chunks it came in."""

import pytest

from bench.arrivals import Arrivals, WrongAnswerError, dechunk

_CHUNK = b'data: {"choices":[]}\n\n'
_END = b"data: [DONE]\n\n"


def _frame(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def _arrivals(*reads: tuple[float, bytes]) -> Arrivals:
    return Arrivals(asked_s=1.0, reads=list(reads))


def test_chunked_framing_is_taken_off() -> None:
    """An event that a gateway cut in two is whole again."""
    assert dechunk(_frame(_CHUNK[:9], _CHUNK[9:], _END)) == _CHUNK + _END


def test_a_body_without_framing_stays_as_it_is() -> None:
    """A buffered answer has none."""
    assert dechunk(b'{"choices":[]}') == b'{"choices":[]}'


def test_the_head_of_an_http_answer_is_no_part_of_its_body() -> None:
    """The Runtime API's answers come without one."""
    framed = _frame(_CHUNK, _END)
    with_head = _arrivals((2.0, b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n" + framed))
    assert with_head.body == _arrivals((2.0, framed)).body == _CHUNK + _END


def test_the_first_chunk_is_there_when_its_text_is() -> None:
    """Neither a comment nor the role counts; a mark may lie across two reads."""
    arrivals = _arrivals(
        (1.5, b": keep-alive\n\n"),
        (2.0, b'{"choices":[{"delta":{"role":"assistant","content":""}}]}'),
        (3.0, b'{"choices":[{"delta":{"conte'),
        (4.0, b'nt": "a"}}]}'),
        (5.0, b'{"choices":[{"delta":{"content":"b"}}]}'),
    )
    assert arrivals.first_s == pytest.approx(3.0)


def test_the_wall_ends_with_done() -> None:
    """What comes after it is the gateway's own."""
    arrivals = _arrivals((2.0, _CHUNK), (4.0, _END), (5.0, b"0\r\n\r\n"))
    assert arrivals.wall_s == pytest.approx(3.0)


def test_an_answer_with_a_chunk_too_few_is_no_measurement() -> None:
    """A gateway that drops chunks would look fast."""
    arrivals = _arrivals((2.0, _frame(_CHUNK, _END)))
    assert arrivals.check(1) is arrivals
    with pytest.raises(WrongAnswerError):
        arrivals.check(2)


def test_an_answer_without_its_end_is_no_measurement() -> None:
    """It broke off."""
    with pytest.raises(WrongAnswerError):
        _arrivals((2.0, _frame(_CHUNK))).check(1)
