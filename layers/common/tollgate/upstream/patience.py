"""How long a channel is waited for, by what is asked and by how the caller waits."""

from dataclasses import replace

from tollgate.core.catalog import Timeouts
from tollgate.upstream.failures import ChannelFailedError
from tollgate.upstream.vendor_requests import Call


def stretch(timeouts: Timeouts, call: Call) -> Timeouts:
    """Return the channel's time-outs as they hold for this call.

    A whole answer has its first byte when it is done. Its caller, if kept alive, waits as long as
    the attempt may last. Of several images the second may take as long as the first.
    """
    first_s = timeouts.total_s if call.is_padded else timeouts.first_byte_s
    between_s = timeouts.between_bytes_s
    if call.shape.has_long_gaps:
        between_s = max(between_s, first_s)
    return replace(timeouts, first_byte_s=first_s, between_bytes_s=between_s)


def has_a_chance(timeouts: Timeouts, call: Call, last: ChannelFailedError | None) -> bool:
    """Whether a channel may still answer in time after the last one failed.

    After a long wait little time may be left: an answer that is paid for and comes too late helps
    nobody. Another channel is then only asked if it has the silence that it is usually given.
    """
    if last is None or last.reason != "timeout" or not call.is_padded:
        return call.budget_s() > 0
    return call.budget_s() >= timeouts.first_byte_s
