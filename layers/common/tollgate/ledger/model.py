"""The ledger's records and the hold rule. Pure: no clock, no I/O; amounts are micropoints.

    reserve ──▶ held ──▶ extend* ──▶ journal ──▶ settle     the request was answered
                  └──────────────────────────▶ release     it was not

The drawing of the items and of what a crash leaves is in docs/ledger.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from tollgate.core.units import Micropoints

type Status = Literal["active", "suspended"]
type KeyStatus = Literal["active", "disabled"]
type Outcome = Literal["complete", "broken"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a request may cost, before it is called.

    `worst` pays for the prompt and the whole output limit; `floor` for the prompt and 256 tokens;
    `least` for the prompt and 16 tokens, without which no call is worth making (both at most
    `worst`). `is_limited`: the caller named the output limit.
    """

    worst: Micropoints
    floor: Micropoints
    least: Micropoints
    is_limited: bool


def hold_amount(ask: Ask, available: Micropoints) -> Micropoints | None:
    """Return what to hold of `available`, or None where not even `ask.least` is there.

    `worst` if it fits (into a quarter of `available` when the caller gave no limit), else a
    quarter, at least `floor`, at most `available`: an answer without a limit must not lock the
    whole account.
    """
    if available < ask.least:
        return None
    if ask.worst <= (available if ask.is_limited else available // 4):
        return ask.worst
    return Micropoints(min(ask.worst, available, max(available // 4, ask.floor)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """A request that asks for a hold. `since` is aware UTC; it also orders the usage records."""

    account_id: str
    key_id: str
    request_id: str
    since: datetime
    ask: Ask
    budget: Micropoints | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Money set aside for one request, as the account item has it."""

    account_id: str
    key_id: str
    request_id: str
    since: datetime
    amount: Micropoints


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRecord:
    """What one request used and cost; immutable. `quota` <= its hold's amount.

    `tokens` has the non-zero counts by kind (prompt, completion, cached, cache_write, reasoning,
    audio_prompt, audio_completion, image_prompt, cached_image, image_completion); `images` counts
    the images made, `search` web searches. `is_exact`: the upstream reported the tokens. Neither
    prompt nor answer nor key is in it.
    """

    account_id: str
    key_id: str
    request_id: str
    since: datetime
    finished_at: datetime
    endpoint: str
    model: str
    channel: str
    tokens: Mapping[str, int]
    is_exact: bool
    is_stream: bool
    quota: Micropoints
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """An API key's record; the key itself is never stored, only its SHA-256 (the item's pk)."""

    account_id: str
    key_id: str
    label: str
    status: KeyStatus
    created_at: datetime
    models: frozenset[str] | None = None
    budget: Micropoints | None = None
    expires_at: datetime | None = None

    def is_usable(self, now: datetime) -> bool:
        """Return whether the key opens anything at `now` (aware UTC)."""
        return self.status == "active" and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account as it stands: `granted = balance + held + spent`, `held = sum of holds`, always.

    `key_used` is spent plus held by key id: what a key's budget is compared with.
    """

    account_id: str
    status: Status
    created_at: datetime
    balance: Micropoints
    held: Micropoints
    spent: Micropoints
    granted: Micropoints
    holds: Mapping[str, Hold] = field(default_factory=dict)
    key_used: Mapping[str, Micropoints] = field(default_factory=dict)


class Ledger(Protocol):
    """What serving a request needs. Each verb is one conditional write and idempotent under retry.

    All raise LedgerUnavailableError when the database does not answer in time. The calls block;
    callers on an event loop put them in a thread.
    """

    def find_key(self, key_sha256: str) -> Key | None:
        """Return the key's record, or None."""

    def reserve(self, reservation: Reservation) -> Hold:
        """Set the money aside; a repeat with the same request id returns the hold that stands.

        Raises: InsufficientQuotaError; AccountInactiveError.
        """

    def extend(self, hold: Hold, amount: Micropoints) -> Hold:
        """Raise the hold towards `amount` as far as the money goes; return what is held now."""

    def journal(self, record: UsageRecord) -> None:
        """Write the immutable usage record and add it to its day."""

    def settle(self, hold: Hold, quota: Micropoints) -> None:
        """Spend `quota` (<= hold.amount) of the hold and give the rest back."""

    def release(self, hold: Hold) -> None:
        """Give the whole hold back."""
