"""What the caller is told once every channel has failed."""

import pytest
from tollgate.errors import (
    UpstreamError,
    UpstreamModelMissingError,
    UpstreamRateLimitedError,
    UpstreamRefusedError,
    UpstreamRestingError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from tollgate.upstream.cooldowns import CooldownRules
from tollgate.upstream.failures import (
    ChannelFailedError,
    Reason,
    RequestUnsupportedError,
    conclude,
)


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

    assert expected is type(conclude(failures, model="m", rules=CooldownRules()))


@pytest.mark.parametrize(
    ("failures", "expected", "wait_s"),
    [
        ([("rate_limit", 7.2)], UpstreamRateLimitedError, 8),
        ([("rate_limit", 9000.0), ("rate_limit", None)], UpstreamRateLimitedError, 5),
        ([("rate_limit", 9000.0)], UpstreamRateLimitedError, 300),
        ([("unavailable", 70.0), ("rate_limit", 90.0)], UpstreamRestingError, 70),
        ([("unavailable", 9000.0)], UpstreamRestingError, 300),
        ([("unavailable", 0.0)], UpstreamRestingError, 1),
        ([("unavailable", 70.0), ("unavailable", None)], UpstreamUnavailableError, None),
        ([("rate_limit", None), ("unavailable", 70.0)], UpstreamUnavailableError, None),
    ],
)
def test_waits(
    failures: list[tuple[Reason, float | None]],
    expected: type[UpstreamError],
    wait_s: int | None,
) -> None:
    """The shortest of the waits that vendors named, and none longer than channels rest."""
    found = conclude(
        [ChannelFailedError(reason, retry_after_s=asked_s) for reason, asked_s in failures],
        model="m",
        rules=CooldownRules(),
    )

    assert (type(found), getattr(found, "retry_after_s", None)) == (expected, wait_s)


@pytest.mark.parametrize("others", [[], ["unsupported"], ["not_found"]])
def test_what_no_channel_can_do(others: list[Reason]) -> None:
    """Where no channel could do what was asked, the caller is told what that is."""
    failures = [
        *(ChannelFailedError(reason) for reason in others),
        RequestUnsupportedError("'n' is not available.", param="n"),
    ]

    refusal = conclude(failures, model="m", rules=CooldownRules())

    assert isinstance(refusal, UpstreamRefusedError)
    assert str(refusal) == "'n' is not available."
    assert (refusal.status, refusal.param, refusal.code) == (400, "n", "unsupported_parameter")


@pytest.mark.parametrize("other", ["rate_limit", "unavailable", "timeout", "credentials"])
def test_what_another_channel_could_have_done(other: Reason) -> None:
    """Where a channel that could do it failed, a retry may succeed: that is what is said."""
    failures = [RequestUnsupportedError("no", param="n"), ChannelFailedError(other)]

    assert not isinstance(
        conclude(failures, model="m", rules=CooldownRules()), UpstreamRefusedError
    )
