"""What AWS's exceptions stand for."""

import json

import pytest
from tollgate.errors import UpstreamRefusedError
from tollgate.upstream.bedrock.exceptions import read_answer_error
from tollgate.upstream.failures import ChannelFailedError
from tollgate.upstream.refusals import judge_error


def judge(name: str, status: int, message: str = "no") -> ChannelFailedError | UpstreamRefusedError:
    headers = {"x-amzn-errortype": f"{name}:http://internal.amazon.com/coral/com.amazon.bedrock/"}
    meant, body = read_answer_error(status, headers, json.dumps({"message": message}).encode())
    return judge_error(meant, body, renamed=("us.anthropic.claude-x-v1:0", "claude"))


@pytest.mark.parametrize(
    ("name", "status", "reason", "is_resting"),
    [
        ("ThrottlingException", 429, "rate_limit", True),
        ("ModelNotReadyException", 429, "rate_limit", True),
        ("ServiceQuotaExceededException", 400, "rate_limit", True),
        ("ModelTimeoutException", 408, "unavailable", True),
        ("ModelErrorException", 424, "unavailable", True),
        ("InternalServerException", 500, "unavailable", True),
        ("ServiceUnavailableException", 503, "unavailable", True),
        ("AccessDeniedException", 403, "credentials", True),
        ("UnrecognizedClientException", 403, "credentials", True),
        ("ExpiredTokenException", 403, "credentials", True),
        ("InvalidSignatureException", 403, "credentials", True),
        ("ResourceNotFoundException", 404, "not_found", False),
        ("SomethingNewException", 424, "unavailable", True),
        ("SomethingNewException", 500, "unavailable", True),
    ],
)
def test_reasons_to_try_the_next_channel(
    name: str, status: int, reason: str, *, is_resting: bool
) -> None:
    """The name decides, not the status, which can mean something else elsewhere."""
    failure = judge(name, status)

    assert isinstance(failure, ChannelFailedError)
    assert (reason, is_resting) == (failure.reason, failure.is_resting)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("AccessDeniedException", True), ("ExpiredTokenException", False)],
)
def test_access_is_a_models_and_the_signature_the_channels(name: str, *, expected: bool) -> None:
    """A model that the account may not call leaves the others alone; no signature fits any."""
    failure = judge(name, 403)

    assert isinstance(failure, ChannelFailedError)
    assert failure.is_models is expected


@pytest.mark.parametrize(
    "message",
    [
        "The provided model identifier is invalid.",
        (
            "Invocation of model ID anthropic.claude-x-v1:0 with on-demand throughput isn't "
            "supported. Retry your request with the ID or ARN of an inference profile."
        ),
        "This action doesn't support the model that you provided. Try again with another one.",
    ],
)
def test_wrong_model_is_the_operators(message: str) -> None:
    """A validation error about the operator's model id is not said to the caller."""
    failure = judge("ValidationException", 400, message)

    assert isinstance(failure, ChannelFailedError)
    assert (failure.reason, failure.is_resting) == ("not_found", False)


def test_account_that_may_not() -> None:
    """Bedrock says so in a validation error; only the whole sentence counts."""
    quoted = judge("ValidationException", 400, "tool 'Operation not allowed' is no name")

    assert isinstance(
        judge("ValidationException", 400, "Operation not allowed"), ChannelFailedError
    )
    assert isinstance(quoted, UpstreamRefusedError)


def test_refusal_is_the_callers() -> None:
    """Another validation error is said to the caller, without the operator's names."""
    refusal = judge(
        "ValidationException",
        400,
        "us.anthropic.claude-x-v1:0 (arn:aws:bedrock:us-east-1:123456789012:inference-profile/x)"
        " takes no temperature",
    )

    assert isinstance(refusal, UpstreamRefusedError)
    assert str(refusal) == "claude ([redacted] takes no temperature"
    assert (
        refusal.status,
        refusal.error_type,
        refusal.code,
    ) == (400, "invalid_request_error", None)


@pytest.mark.parametrize(
    "message",
    [
        "Input is too long for requested model.",
        "The model returned the following errors: prompt is too long: 215222 tokens > 200000",
        "Input Tokens Exceeded: Number of input tokens exceeds maximum length.",
        "This model's maximum context length is 131072 tokens. Please reduce the length.",
    ],
)
def test_long_prompts_have_openais_code(message: str) -> None:
    """Clients that shorten a conversation look for the code."""
    refusal = judge("ValidationException", 400, message)

    assert isinstance(refusal, UpstreamRefusedError)
    assert refusal.code == "context_length_exceeded"


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ({}, b'{"__type": "com.amazon.coral#ThrottlingException", "message": "m"}', (429, "m")),
        ({}, b'{"__type": "ThrottlingException", "Message": "m"}', (429, "m")),
        ({}, b'{"message": "m"}', (418, "m")),
        ({"x-amzn-errortype": "ThrottlingException"}, b"<html>", (429, None)),
        ({}, b"", (418, None)),
    ],
)
def test_where_the_name_stands(
    headers: dict[str, str], body: bytes, expected: tuple[int, str | None]
) -> None:
    """In a header or in the body, with or without what surrounds it; else the status decides."""
    status, error = read_answer_error(418, headers, body)

    assert expected == (status, error.message)
