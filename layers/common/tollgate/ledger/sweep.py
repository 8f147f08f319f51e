"""The sweep: what becomes of the holds that a dead Lambda left.

    each account with a hold that may be old, the oldest first
      each hold older than HOLD_AGE_MAX:  void ──▶ the record that stands ──▶ settle
      open_since  ──▶ the oldest hold that is left, or none

`void` puts a free record where the request's own would be, unless that is there. So settling with
the record that stands spends what was journaled and gives back what was not, and a Lambda that
wakes up later finds the record and charges nothing: never both. Two sweeps at once do the same
writes, each takes effect once, and counts for the sweep that wrote it.
"""

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from tollgate.core.units import Micropoints
from tollgate.errors import LedgerUnavailableError
from tollgate.ledger.model import Account, Hold, UsageRecord

# A Lambda lives 15 minutes; the rest is for clocks that differ and for a request that waited for
# its Lambda. A hold that is taken for dead too early still costs nobody money, only its charge.
HOLD_AGE_MAX = timedelta(minutes=20)

_log = logging.getLogger("tollgate.ledger")


class SweptLedger(Protocol):
    """What the sweep needs of the ledger. All raise LedgerUnavailableError."""

    def open_accounts(self, before: datetime) -> Iterator[str]:
        """Yield the accounts whose `open_since` is before, the oldest first; may lag behind."""

    def find_account(self, account_id: str) -> Account:
        """Return the account as it stands now.

        Raises: LedgerConflictError: there is none.
        """

    def void(self, hold: Hold, at: datetime) -> UsageRecord:
        """Record that the request was lost, unless it is recorded; return the standing record."""

    def settle(self, hold: Hold, quota: Micropoints) -> Hold | None:
        """Spend `quota` of this very hold and give the rest back; nothing if it is closed.

        Return the hold as it was ended, None if it was closed before.
        """

    def move_open_since(self, account: Account, to: datetime | None) -> bool:
        """Set `open_since`, or take the account off the list (None); return whether it was done.

        Not done if `open_since` is not what it was in `account`; for None, if a hold was made
        since.
        """


@dataclass(slots=True, kw_only=True)
class Tally:
    """What one sweep did itself: what a request or another sweep ended is not in it.

    `returned`: given back to balances; `failed`: left for the next sweep; `is_complete`: it came to
    the list's end; `list_failure`: why the list could not be read any further, if it could not.
    """

    accounts: int = 0
    settled: int = 0
    released: int = 0
    failed: int = 0
    returned: Micropoints = Micropoints(0)
    is_complete: bool = True
    list_failure: LedgerUnavailableError | None = None

    @property
    def healed(self) -> int:
        """Holds that were ended."""
        return self.settled + self.released


def sweep(
    ledger: SweptLedger,
    *,
    now: Callable[[], datetime],
    budget_s: Callable[[], float],
    age_max: timedelta = HOLD_AGE_MAX,
) -> Tally:
    """Heal what is old; no call begins when `budget_s` is used up, and the next sweep goes on.

    `now` returns aware UTC. An account or a hold that fails is left for the next sweep and stops no
    other.
    Never raises for the ledger's sake: a list that breaks off would take with it what was done.
    """
    return _Sweep(ledger, now, budget_s, age_max).run()


class _Sweep:
    """One pass."""

    def __init__(
        self,
        ledger: SweptLedger,
        now: Callable[[], datetime],
        budget_s: Callable[[], float],
        age_max: timedelta,
    ) -> None:
        self._ledger = ledger
        self._now = now
        self._budget_s = budget_s
        self._before = now() - age_max
        self._tally = Tally()

    def run(self) -> Tally:
        try:
            for account_id in self._listed():
                with self._leaving_failures(account_id):
                    self._visit(account_id)
        except LedgerUnavailableError as error:
            self._tally.list_failure = error
            self._tally.is_complete = False
        return self._tally

    def _listed(self) -> Iterator[str]:
        """Yield the accounts while there is time: it is looked at before and after a page."""
        accounts = self._ledger.open_accounts(self._before)
        while self._has_time() and (account_id := next(accounts, None)) and self._has_time():
            yield account_id

    def _has_time(self) -> bool:
        """Return whether another call of the ledger may begin; asked before each."""
        self._tally.is_complete = self._budget_s() > 0
        return self._tally.is_complete

    @contextmanager
    def _leaving_failures(self, account_id: str, request_id: str = "") -> Iterator[None]:
        """Count and log what fails: an item that nobody can read stops no other, nor a hold."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever it is, the next sweep tries again
            self._tally.failed += 1
            _log_failure(account_id, request_id, error)

    def _visit(self, account_id: str) -> None:
        account = self._ledger.find_account(account_id)
        self._tally.accounts += 1
        old = [hold for hold in account.holds.values() if hold.since < self._before]
        for hold in sorted(old, key=lambda hold: hold.since):
            if self._has_time():
                with self._leaving_failures(account_id, hold.request_id):
                    self._heal(hold)
        if old and self._has_time():
            account = self._ledger.find_account(account_id)
        if self._has_time():
            self._move(account)

    def _heal(self, hold: Hold) -> None:
        """End a hold, unless its request or another sweep is faster: then it is not counted."""
        record = self._ledger.void(hold, self._now())
        quota = payable(hold, record)
        if quota > hold.amount:
            # Raised since it was read: its Lambda lives after all, or has just settled.
            self._tally.failed += 1
            return
        ended = self._ledger.settle(hold, quota) if self._has_time() else None
        if ended is not None:
            self._count(ended, record)

    def _count(self, hold: Hold, record: UsageRecord) -> None:
        quota = payable(hold, record)
        is_settled = record.hold_number == hold.number and record.outcome != "lost"
        self._tally.returned = Micropoints(self._tally.returned + hold.amount - quota)
        self._tally.settled += is_settled
        self._tally.released += not is_settled
        _log.info(
            "healed a hold",
            extra={
                "account": hold.account_id,
                "request_id": hold.request_id,
                "held_micropoints": hold.amount,
                "quota_micropoints": quota,
                "outcome": record.outcome,
            },
        )

    def _move(self, account: Account) -> None:
        """Let `open_since` say the oldest hold's time, so that the list stays short.

        If a hold was made meanwhile the account is read and moved once more; if another came
        between, it stays where it is. No clock is asked: one that is ahead would hide the account
        from every sweep until then.
        """
        if self._try_move(account) or not self._has_time():
            return
        account = self._ledger.find_account(account.account_id)
        if self._has_time():
            self._try_move(account)

    def _try_move(self, account: Account) -> bool:
        oldest = min((hold.since for hold in account.holds.values()), default=None)
        return oldest == account.open_since or self._ledger.move_open_since(account, oldest)


def _log_failure(account_id: str, request_id: str, error: Exception) -> None:
    """Log what failed by its class and place: an error's text may quote an item.

    `request_id`: of the hold, empty if it is the account itself that failed.
    """
    frames = traceback.extract_tb(error.__traceback__)
    _log.warning(
        "sweep failed for a hold" if request_id else "sweep failed for an account",
        extra={
            "account": account_id,
            "request_id": request_id,
            "error": type(error).__name__,
            "place": f"{frames[-1].filename}:{frames[-1].lineno}",
        },
    )


def payable(hold: Hold, record: UsageRecord) -> Micropoints:
    """Return what of a hold its request's record spends: nothing if another hold has paid it."""
    return record.quota if record.hold_number == hold.number else Micropoints(0)
