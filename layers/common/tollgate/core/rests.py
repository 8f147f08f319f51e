"""How long a channel rests, as one sandbox tells the others."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """A rest that other sandboxes keep too.

    `until_ms`: since the epoch; `faults`: how often in a row the channel has failed.
    """

    until_ms: int
    faults: int


type Board = Mapping[str, Rest]  # by channel; one that is not on it was not said to rest
