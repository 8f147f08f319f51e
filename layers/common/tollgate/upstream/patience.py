"""How long a channel is waited for, by what is asked, by how the caller waits, and who is next."""

from dataclasses import replace

from tollgate.core.catalog import Timeouts
from tollgate.errors import UpstreamTimeoutError
from tollgate.upstream.failures import ChannelFailedError
from tollgate.upstream.vendor_requests import Call


def stretch(timeouts: Timeouts, call: Call, *, share_s: float) -> Timeouts:
    """Return the channel's time-outs as they hold for this call.

    A whole answer has its first byte when it is done. Its caller, if kept alive, waits as long as
    the attempt may last. Of several images the second may take as long as the first. In any case
    a channel has its share of the time (`share_s`, seconds) to begin: one that hangs leaves the
    others theirs. A caller who is kept alive waits for its `first_byte_s` at least.
    """
    first_s = min(timeouts.first_byte_s, share_s)
    if call.is_padded:
        first_s = min(timeouts.total_s, max(timeouts.first_byte_s, share_s))
    between_s = timeouts.between_bytes_s
    if call.shape.has_long_gaps:
        between_s = max(between_s, timeouts.total_s if call.is_padded else timeouts.first_byte_s)
    connect_s = min(timeouts.connect_s, share_s)
    return replace(timeouts, connect_s=connect_s, first_byte_s=first_s, between_bytes_s=between_s)


def is_unheard(call: Call) -> bool:
    """Whether neither the channel nor the caller has a sign of life before the answer is whole.

    A channel that works and one that hangs look alike then, until it is too late for another one.
    """
    return not (call.is_stream or call.is_padded)


def has_a_chance(
    timeouts: Timeouts, call: Call, last: ChannelFailedError | None, *, after_s: float = 0.0
) -> bool:
    """Whether a channel may still answer in time, `after_s` seconds from now.

    After a long wait little time may be left: an answer that is paid for and comes too late helps
    nobody. Another channel is then only asked if it has the silence that it is usually given.
    """
    left_s = call.budget_s() - after_s
    if last is None or last.reason != "timeout" or not call.is_padded:
        return left_s > 0
    return left_s >= timeouts.first_byte_s


def is_blamed(
    failure: ChannelFailedError, timeouts: Timeouts, *, share_s: float, fair_s: float
) -> bool:
    """Whether a failure is to send the channel to rest.

    One that was too slow had to have its chance: what it is usually given, or `fair_s` seconds.
    """
    had_time = share_s >= min(timeouts.first_byte_s, fair_s)
    return failure.is_resting and (failure.reason != "timeout" or had_time)


def is_cut_short(
    failure: ChannelFailedError, timeouts: Timeouts, call: Call, *, share_s: float
) -> bool:
    """Whether a whole answer was waited for, and its time was up before the channel's own.

    It may only have been a long one, which says nothing of the channel's other models.
    """
    was_waited_for = isinstance(failure.__cause__, TimeoutError | UpstreamTimeoutError)
    is_cut = failure.reason == "timeout" and share_s < timeouts.first_byte_s
    return is_unheard(call) and was_waited_for and is_cut
