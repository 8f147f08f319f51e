"""The ledger's records and the hold rule. Pure: no clock, no I/O; amounts are micropoints.

    reserve ──▶ held ──▶ extend* ──▶ journal ──▶ settle     the request was answered
                  ├──────────────────────────▶ release     it was not
                  └──────▶ (crash) ──▶ sweep: void ──▶ settle with what the journal says

The drawing of the items and of what a crash leaves is in docs/ledger.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from tollgate.core.units import Micropoints

type Status = Literal["active", "suspended"]
type KeyStatus = Literal["active", "disabled"]
type Outcome = Literal["complete", "broken", "lost"]


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
    """A request that asks for a hold.

    `since` is aware UTC and the same for every run of one request, since record and day are found
    by it. `attempt` tells the runs apart: Lambda may run one invocation twice, and only the run
    that made the hold may use it. It is one of a kind; empty: the request id, for requests that
    are known to run once.
    """

    account_id: str
    key_id: str
    request_id: str
    since: datetime
    ask: Ask
    budget: Micropoints | None = None
    attempt: str = ""

    def hold(self, amount: Micropoints, number: int = 0) -> "Hold":
        """Return the hold of `amount` that this reservation makes."""
        return Hold(
            account_id=self.account_id,
            key_id=self.key_id,
            request_id=self.request_id,
            since=self.since,
            amount=amount,
            attempt=self.attempt or self.request_id,
            number=number,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Money set aside for one request, as the account item has it.

    `number` is given by the account when the hold is written, each once, ever: a copy of the
    reserve that comes late makes another hold, never this one again.
    """

    account_id: str
    key_id: str
    request_id: str
    since: datetime
    amount: Micropoints
    attempt: str = ""
    number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRecord:
    """What one request used and cost; immutable. `quota` <= its hold's amount.

    `tokens` has the non-zero counts by kind (prompt, completion, cached, cache_write, reasoning,
    audio_prompt, audio_completion, image_prompt, cached_image, image_completion); `images` counts
    the images made, `search` web searches. `is_exact`: the upstream reported the tokens.
    `hold_number`: of the hold that pays for it. A `lost` one is the sweep's: no answer was
    recorded, nothing is charged, and model and channel are empty. Neither prompt nor answer nor
    key is in it.
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
    hold_number: int = 0


def lost_record(hold: Hold, at: datetime) -> UsageRecord:
    """Return the record of a request whose Lambda died: free, and in the place of any later one."""
    return UsageRecord(
        account_id=hold.account_id,
        key_id=hold.key_id,
        request_id=hold.request_id,
        since=hold.since,
        finished_at=at,
        endpoint="",
        model="",
        channel="",
        tokens={},
        is_exact=False,
        is_stream=False,
        quota=Micropoints(0),
        outcome="lost",
        hold_number=hold.number,
    )


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

    `key_used` is spent plus held by key id: what a key's budget is compared with. `taken` counts
    the holds ever made. `open_since`: when the first hold was made since the sweep last looked, or
    the oldest that it left; None only where no hold is open.
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
    taken: int = 0
    open_since: datetime | None = None


class Ledger(Protocol):
    """What serving a request needs. Each verb is one conditional write and idempotent under retry.

    All raise LedgerUnavailableError when the database does not answer in time. The calls block;
    callers on an event loop put them in a thread.
    """

    def find_key(self, key_sha256: str) -> Key | None:
        """Return the key's record, or None."""

    def reserve(self, reservation: Reservation) -> Hold:
        """Set the money aside; a repeat by the same attempt returns the hold that stands.

        Raises: InsufficientQuotaError; AccountInactiveError; RequestInProgressError: another
            attempt at this request holds money for it.
        """

    def extend(self, hold: Hold, amount: Micropoints) -> Hold:
        """Raise the hold towards `amount` as far as the money goes; return what is held now."""

    def journal(self, record: UsageRecord) -> UsageRecord:
        """Write the immutable usage record and add it to its day; return the one that stands.

        It is another one if this request was recorded before: by a repeat, by another run of it,
        or by the sweep. Only a record with the hold's own number may be settled with the hold.
        """

    def settle(self, hold: Hold, quota: Micropoints) -> Hold | None:
        """Spend `quota` (<= hold.amount) of the hold and give the rest back.

        Return the hold as it was ended, None if it was closed before.
        """

    def release(self, hold: Hold) -> None:
        """Give back all that this attempt holds for the request, whatever `hold.amount` says."""
