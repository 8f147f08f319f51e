"""Why one channel failed, and what the caller is told once all of them have."""

import math
from collections.abc import Sequence
from typing import Literal

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

type Reason = Literal[
    "rate_limit",
    "timeout",
    "not_found",
    "credentials",
    "configuration",
    "unavailable",
    "unsupported",
]

_FORBIDDEN = 403


class ChannelFailedError(UpstreamError):
    """One channel could not answer; the next one is tried. Never leaves this package.

    `retry_after_s`: seconds that the vendor asks to wait. `is_resting`: whether the channel is to
    rest; not where a single request, or one model's configuration, may have been the cause.
    """

    def __init__(
        self,
        reason: Reason,
        *,
        status: int | None = None,
        retry_after_s: float | None = None,
        is_resting: bool = True,
    ) -> None:
        """`status`: the vendor's HTTP status, if it got so far."""
        super().__init__(f"channel failed: {reason}")
        self.reason = reason
        self.status = status
        self.retry_after_s = retry_after_s
        self.is_resting = is_resting

    @property
    def is_models(self) -> bool:
        """Whether it says nothing of the channel's other models: a limit, or a right, of one.

        A 403 may even be about a single request, by a firewall that does not like its text.
        """
        return self.reason == "rate_limit" or self.status == _FORBIDDEN


class RequestUnsupportedError(ChannelFailedError):
    """Channels of this kind cannot do what is asked; one of another kind may."""

    def __init__(self, message: str, *, param: str) -> None:
        """`message` says to the caller what cannot be done; `param`: the path of the field."""
        super().__init__("unsupported", is_resting=False)
        self.message = message
        self.param = param


def conclude(
    failures: Sequence[ChannelFailedError], *, model: str, rules: CooldownRules
) -> UpstreamError:
    """Return the error that the caller sees after every channel has failed.

    In this order: all at their rate limit, the shortest wait; all at rest until a time that their
    vendors named, the shortest wait; all without the model, a 404 that names the caller's model and
    never the operator's; none that could do what is asked, a 400 that says what; one too slow, a
    time-out (it may have been charged for by the vendor, and a retry may succeed); else
    unavailable. No wait is longer than the channels rest.
    """
    reasons = {failure.reason for failure in failures}
    waits_s = [
        rules.rest_s(is_rate_limit=True, asked_s=failure.retry_after_s) for failure in failures
    ]
    if reasons == {"rate_limit"}:
        return UpstreamRateLimitedError(retry_after_s=_whole_s(waits_s))
    is_dated = all(failure.retry_after_s is not None for failure in failures)
    if reasons and is_dated and reasons <= {"rate_limit", "unavailable"}:
        return UpstreamRestingError(retry_after_s=_whole_s(waits_s))
    if reasons == {"not_found"}:
        return UpstreamModelMissingError(model)
    unsupported = [error for error in failures if isinstance(error, RequestUnsupportedError)]
    if unsupported and reasons <= {"unsupported", "not_found"}:
        return UpstreamRefusedError(
            unsupported[0].message,
            status=400,
            param=unsupported[0].param,
            code="unsupported_parameter",
        )
    return UpstreamTimeoutError() if "timeout" in reasons else UpstreamUnavailableError()


def _whole_s(waits_s: Sequence[float]) -> int:
    return max(1, math.ceil(min(waits_s)))
