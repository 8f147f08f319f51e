"""What the caller is told once every channel has failed."""

import pytest
from tollgate.errors import (
    UpstreamError,
    UpstreamModelMissingError,
    UpstreamRateLimitedError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from tollgate.upstream.failures import ChannelFailedError, Reason, conclude


@pytest.mark.parametrize(
    ("reasons", "expected"),
    [
        ([], UpstreamUnavailableError),
        (["rate_limit", "rate_limit"], UpstreamRateLimitedError),
        (["rate_limit", "credentials"], UpstreamUnavailableError),
        (["rate_limit", "timeout"], UpstreamTimeoutError),
        (["timeout", "unavailable"], UpstreamTimeoutError),
        (["not_found"], UpstreamModelMissingError),
        (["not_found", "unavailable"], UpstreamUnavailableError),
        (["credentials"], UpstreamUnavailableError),
    ],
)
def test_precedence(reasons: list[Reason], expected: type[UpstreamError]) -> None:
    """All at their limit; all without the model; one too slow; else unavailable."""
    failures = [ChannelFailedError(reason) for reason in reasons]

    assert expected is type(conclude(failures, model="m", retry_after_s=5.0))
