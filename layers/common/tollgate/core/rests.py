"""How long a channel, or one model of it, rests, as one sandbox tells the others."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """A rest that other sandboxes keep too.

    `until_ms`: since the epoch; `faults`: how often in a row it has failed. `asked_ms`: until when
    the vendor itself has asked not to be called, since the epoch; 0: it has named no time.
    `is_probe`: nothing new has failed; one sandbox is finding out, and has until then.
    """

    until_ms: int
    faults: int
    asked_ms: int = 0
    is_probe: bool = False


type Board = Mapping[str, Rest]  # by `rest_keys`; what is not on it was not said to rest


def rest_keys(channel: str, upstream_model: str) -> tuple[str, str]:
    """Return the names of a channel's rest and of that of its one model.

    A fault is the channel's, a rate limit a model's. No channel's name has a space.
    """
    return channel, f"{channel} {upstream_model}"
