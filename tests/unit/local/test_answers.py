"""Functions' answers, checked as API Gateway checks them."""

import base64
import json

import pytest

from local.answers import MalformedAnswerError, PreludeParser, read_proxy_answer

NULS = b"\0" * 8


def test_prelude_in_any_pieces() -> None:
    """However the chunks are cut, the head is complete when its delimiter is."""
    prelude = {"statusCode": 201, "multiValueHeaders": {"set-cookie": ["a", "b"]}}
    stream = json.dumps(prelude).encode() + NULS + b"body"

    for cut in range(1, len(stream) - 4):
        parser = PreludeParser()
        heads = [parser.feed(stream[:cut]), parser.feed(stream[cut:])]
        [head] = [head for head in heads if head is not None]
        assert (head.status, head.headers) == (201, [("set-cookie", "a"), ("set-cookie", "b")])
        assert head.body in (b"body", stream[-4:][: len(head.body)])


@pytest.mark.parametrize(
    "stream",
    [
        b"x" * 17_000,
        b"not json" + NULS,
        b"[]" + NULS,
        b"{}" + NULS,
        b'{"statusCode": 200, "other": 1}' + NULS,
    ],
)
def test_malformed_preludes(stream: bytes) -> None:
    """No delimiter within 16 KB, no JSON, another key than the four."""
    with pytest.raises(MalformedAnswerError):
        PreludeParser().feed(stream)


def test_proxy_answers() -> None:
    """Text, base64, and multi-value headers before single ones."""
    plain = read_proxy_answer(
        json.dumps(
            {"statusCode": 200, "headers": {"A": "1", "b": "2"}, "multiValueHeaders": {"a": ["3"]}}
        ).encode()
    )
    packed = read_proxy_answer(
        json.dumps(
            {"statusCode": 200, "body": base64.b64encode(b"\xff").decode(), "isBase64Encoded": True}
        ).encode()
    )

    assert plain.headers == [("b", "2"), ("a", "3")]
    assert (plain.body, packed.body) == (b"", b"\xff")


@pytest.mark.parametrize(
    "raw",
    [
        b"x",
        b"[]",
        b"{}",
        b'{"statusCode": 200, "errorMessage": "x"}',
        b'{"statusCode": 200, "body": 5}',
    ],
)
def test_malformed_proxy_answers(raw: bytes) -> None:
    """What makes API Gateway answer 502."""
    with pytest.raises(MalformedAnswerError):
        read_proxy_answer(raw)
