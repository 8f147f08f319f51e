"""How a call of AWS's ends where it brings no result; whoever calls turns these into its own words.

AwsError
├── AwsRefusedError      an answer, and it says no: a condition that does not hold, throttling, …
└── AwsUnansweredError   no answer in time, or none that can be read; the call may have taken effect
"""

from collections.abc import Mapping
from typing import Any


class AwsError(Exception):
    """Root of the tree. No text of it has keys, parameters or what the service said."""


class AwsRefusedError(AwsError):
    """The service refused; `code` is its word for why, `status` HTTP's.

    `answer`: the whole of what it said, for instance the `Item` that did not meet a condition, or
    the `CancellationReasons` of a transaction.
    """

    def __init__(self, code: str, *, status: int, answer: Mapping[str, Any]) -> None:
        super().__init__(f"{status} {code}")
        self.code = code
        self.status = status
        self.answer = answer


class AwsUnansweredError(AwsError):
    """Nobody knows how the call ended."""
