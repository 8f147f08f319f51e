"""The auditor: what the money must be, from what the ledger has answered so far. No code shared."""

from tollgate.ledger.model import Account, Hold, Reservation, UsageRecord


class Auditor:
    """Follows one account. `open`: holds by number; `records`: by request; `used`: by key."""

    def __init__(self) -> None:
        self.granted = self.spent = 0
        self.is_active = True
        self.open: dict[int, Hold] = {}
        self.records: dict[str, UsageRecord] = {}
        self.used: dict[str, int] = {}

    @property
    def balance(self) -> int:
        return self.granted - self.spent - sum(hold.amount for hold in self.open.values())

    def reserved(self, asked: Reservation, hold: Hold) -> None:
        if hold.number in self.open:
            assert self.open[hold.number] == hold
            return
        assert self.is_active
        assert all(other.request_id != hold.request_id for other in self.open.values())
        assert hold.amount <= self.balance
        used = self.used.get(hold.key_id, 0) + hold.amount
        assert asked.budget is None or used <= asked.budget
        self.open[hold.number], self.used[hold.key_id] = hold, used

    def extended(self, before: Hold, after: Hold) -> None:
        if before.number in self.open and after.amount > before.amount:
            self.used[before.key_id] += after.amount - self.open[before.number].amount
            self.open[before.number] = after

    def recorded(self, record: UsageRecord) -> None:
        assert record == self.records.setdefault(record.request_id, record)

    def closed(self, number: int, quota: int) -> None:
        if (hold := self.open.pop(number, None)) is not None:
            self.spent += quota
            self.used[hold.key_id] -= hold.amount - quota

    def check(self, account: Account) -> None:
        assert account.holds == {hold.request_id: hold for hold in self.open.values()}
        assert (account.granted, account.spent) == (self.granted, self.spent)
        assert account.balance == self.balance >= 0
        assert account.held == sum(hold.amount for hold in self.open.values())
        assert {k: n for k, n in account.key_used.items() if n} == {
            k: n for k, n in self.used.items() if n
        }
        assert account.open_since or not self.open
