"""The ledger in memory, with the store's own semantics; the contract suite holds it to them."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from tollgate.core.units import Micropoints
from tollgate.errors import (
    AccountInactiveError,
    InsufficientQuotaError,
    LedgerConflictError,
    RequestInProgressError,
)
from tollgate.ledger.model import (
    Account,
    Hold,
    Key,
    Reservation,
    UsageRecord,
    hold_amount,
    lost_record,
)


class FakeLedger:
    """Implements `ledger.model.Ledger` and `ledger.sweep.SweptLedger`.

    `accounts`, `keys` and `records` may be looked at.
    """

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.keys: dict[str, Key] = {}
        self.records: dict[str, UsageRecord] = {}
        self.grants: dict[str, Micropoints] = {}
        self._lock = threading.Lock()

    def open_account(self, account_id: str, at: datetime) -> None:
        nothing = Micropoints(0)
        self.accounts[account_id] = Account(
            account_id=account_id,
            status="active",
            created_at=at,
            balance=nothing,
            held=nothing,
            spent=nothing,
            granted=nothing,
        )

    def grant(self, account_id: str, grant_id: str, amount: Micropoints) -> bool:
        with self._lock:
            if account_id not in self.accounts:
                raise LedgerConflictError
            if grant_id in self.grants:
                return False
            self.grants[grant_id] = amount
            account = self.accounts[account_id]
            self.accounts[account_id] = replace(
                account,
                balance=Micropoints(account.balance + amount),
                granted=Micropoints(account.granted + amount),
            )
            return True

    def find_key(self, key_sha256: str) -> Key | None:
        return self.keys.get(key_sha256)

    def reserve(self, reservation: Reservation) -> Hold:
        with self._lock:
            account = self.accounts.get(reservation.account_id)
            if account is None:
                raise AccountInactiveError
            standing = account.holds.get(reservation.request_id)
            if standing is not None:
                if standing.attempt != reservation.hold(standing.amount).attempt:
                    raise RequestInProgressError
                return standing
            if account.status != "active":
                raise AccountInactiveError
            amount = hold_amount(reservation.ask, _available(account, reservation))
            if amount is None:
                raise InsufficientQuotaError
            hold = reservation.hold(amount, account.taken)
            since = account.open_since or hold.since
            self._put(replace(account, taken=account.taken + 1, open_since=since), hold, amount)
            return hold

    def extend(self, hold: Hold, amount: Micropoints) -> Hold:
        with self._lock:
            account = self.accounts[hold.account_id]
            standing = account.holds.get(hold.request_id)
            if standing is None or standing.number != hold.number or amount <= hold.amount:
                return hold
            more = Micropoints(min(amount - standing.amount, account.balance))
            if more <= 0:
                return standing
            raised = replace(standing, amount=Micropoints(standing.amount + more))
            self._put(account, raised, more)
            return raised

    def journal(self, record: UsageRecord) -> UsageRecord:
        with self._lock:
            return self.records.setdefault(record.request_id, record)

    def settle(self, hold: Hold, quota: Micropoints) -> Hold | None:
        with self._lock:
            standing = self.accounts[hold.account_id].holds.get(hold.request_id)
            if standing is None or standing.number != hold.number:
                return None
            if quota > standing.amount:
                raise ValueError("a settled quota is at most its hold")
            self._close(standing, quota)
            return standing

    def release(self, hold: Hold) -> None:
        with self._lock:
            account = self.accounts.get(hold.account_id)
            standing = account.holds.get(hold.request_id) if account else None
            if standing is not None and standing.attempt == hold.attempt:
                self._close(standing, Micropoints(0))

    def void(self, hold: Hold, at: datetime) -> UsageRecord:
        return self.journal(lost_record(hold, at))

    def open_accounts(self, before: datetime) -> Iterator[str]:
        with self._lock:
            found = [
                (account.open_since, name)
                for name, account in self.accounts.items()
                if account.open_since is not None and account.open_since < before
            ]
        return (name for _, name in sorted(found))

    def find_account(self, account_id: str) -> Account:
        if account_id not in self.accounts:
            raise LedgerConflictError
        return self.accounts[account_id]

    def move_open_since(self, account: Account, to: datetime | None) -> bool:
        with self._lock:
            now = self.accounts[account.account_id]
            is_changed = (
                now.taken != account.taken if to is None else now.open_since != account.open_since
            )
            if is_changed:
                return False
            self.accounts[account.account_id] = replace(now, open_since=to)
            return True

    def _put(self, account: Account, hold: Hold, more: Micropoints) -> None:
        used = account.key_used.get(hold.key_id, Micropoints(0))
        self.accounts[account.account_id] = replace(
            account,
            balance=Micropoints(account.balance - more),
            held=Micropoints(account.held + more),
            holds={**account.holds, hold.request_id: hold},
            key_used={**account.key_used, hold.key_id: Micropoints(used + more)},
        )

    def _close(self, hold: Hold, quota: Micropoints) -> None:
        account = self.accounts[hold.account_id]
        rest = Micropoints(hold.amount - quota)
        used = account.key_used[hold.key_id]
        self.accounts[account.account_id] = replace(
            account,
            balance=Micropoints(account.balance + rest),
            held=Micropoints(account.held - hold.amount),
            spent=Micropoints(account.spent + quota),
            holds={name: entry for name, entry in account.holds.items() if entry != hold},
            key_used={**account.key_used, hold.key_id: Micropoints(used - rest)},
        )


def _available(account: Account, reservation: Reservation) -> Micropoints:
    if reservation.budget is None:
        return account.balance
    used = account.key_used.get(reservation.key_id, Micropoints(0))
    return Micropoints(min(account.balance, reservation.budget - used))
