"""The ledger in memory, with the store's own semantics; the contract suite holds it to them."""

import threading
from dataclasses import replace

from tollgate.core.units import Micropoints
from tollgate.errors import AccountInactiveError, InsufficientQuotaError
from tollgate.ledger.model import Account, Hold, Key, Reservation, UsageRecord, hold_amount


class FakeLedger:
    """Implements `ledger.model.Ledger`. `accounts`, `keys` and `records` may be looked at."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.keys: dict[str, Key] = {}
        self.records: dict[str, UsageRecord] = {}
        self._lock = threading.Lock()

    def find_key(self, key_sha256: str) -> Key | None:
        return self.keys.get(key_sha256)

    def reserve(self, reservation: Reservation) -> Hold:
        with self._lock:
            account = self.accounts.get(reservation.account_id)
            if account is None:
                raise AccountInactiveError
            standing = account.holds.get(reservation.request_id)
            if standing is not None:
                return standing
            if account.status != "active":
                raise AccountInactiveError
            amount = hold_amount(reservation.ask, _available(account, reservation))
            if amount is None:
                raise InsufficientQuotaError
            hold = Hold(
                account_id=reservation.account_id,
                key_id=reservation.key_id,
                request_id=reservation.request_id,
                since=reservation.since,
                amount=amount,
            )
            self._put(account, hold, amount)
            return hold

    def extend(self, hold: Hold, amount: Micropoints) -> Hold:
        with self._lock:
            account = self.accounts[hold.account_id]
            standing = account.holds.get(hold.request_id)
            if standing is None or amount <= hold.amount:
                return hold
            if standing.amount != hold.amount:
                return standing
            more = Micropoints(min(amount - hold.amount, account.balance))
            raised = replace(hold, amount=Micropoints(hold.amount + more))
            self._put(account, raised, more)
            return raised

    def journal(self, record: UsageRecord) -> None:
        with self._lock:
            self.records.setdefault(record.request_id, record)

    def settle(self, hold: Hold, quota: Micropoints) -> None:
        with self._lock:
            standing = self.accounts[hold.account_id].holds.get(hold.request_id)
            if standing is None:
                return
            if quota > standing.amount:
                raise ValueError("a settled quota is at most its hold")
            self._close(standing, quota)

    def release(self, hold: Hold) -> None:
        with self._lock:
            account = self.accounts.get(hold.account_id)
            standing = account.holds.get(hold.request_id) if account else None
            if standing is not None:
                self._close(standing, Micropoints(0))

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
