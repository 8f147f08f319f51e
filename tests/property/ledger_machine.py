"""A Hypothesis state machine of the ledger's verbs, with every kind of repeat, and its auditor."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tollgate.core.units import Micropoints
from tollgate.errors import (
    AccountInactiveError,
    InsufficientQuotaError,
    LedgerConflictError,
    RequestInProgressError,
)
from tollgate.ledger.model import Account, Ask, Hold, Reservation, Status, UsageRecord, hold_amount
from tollgate.ledger.sweep import payable, sweep

from tests.contracts.conftest import AnyLedger
from tests.property.auditor import Auditor

NOW = datetime(2026, 11, 30, 23, 57, tzinfo=UTC)
REQUESTS = st.integers(0, 2)
PICK = st.integers(0, 5)  # from the newest backwards: what was just done is repeated most
AMOUNTS = st.sampled_from((100, 100, 300, 0, 1000))
BUDGETS = {"free": None, "tight": Micropoints(150), "tiny": Micropoints(50)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A ledger with one new account, and the ways to look at it and to rule it."""

    ledger: AnyLedger
    account_id: str
    read: Callable[[], Account]
    records: Callable[[], Sequence[UsageRecord]]
    day_quota: Callable[[], int]
    grant: Callable[[str, str, Micropoints], bool]
    set_status: Callable[[Status], None]


class LedgerMachine(RuleBasedStateMachine):
    """Calls the verbs in any order that a job, its twin, its ghost or an operator could."""

    def __init__(self, make_subject: Callable[[], Subject]) -> None:
        super().__init__()
        self.subject = make_subject()
        self.ledger = self.subject.ledger
        self.auditor = Auditor()
        self.asked: list[Reservation] = []
        self.holds: list[Hold] = []
        self.grants: dict[str, int] = {}
        self.grant(0, 600)

    def _pick(self, pick: int) -> Hold:
        return self.holds[-1 - min(pick, len(self.holds) - 1)]

    @rule(number=st.integers(0, 3), amount=st.sampled_from((100, 400)))
    def grant(self, number: int, amount: int) -> None:
        name = f"g-{number}"
        is_first = name not in self.grants
        amount = self.grants.setdefault(name, amount)
        is_new = self.subject.grant(self.subject.account_id, name, Micropoints(amount))
        assert is_new == is_first
        self.auditor.granted += amount * is_first

    @precondition(lambda self: not self.asked)
    @rule()
    def grant_to_nobody(self) -> None:
        try:
            self.subject.grant("nobody", "g", Micropoints(100))
        except LedgerConflictError:
            return
        raise AssertionError("an account that is not there was topped up")

    @rule(is_active=st.sampled_from((True, True, False)))
    def rule_over(self, is_active: bool) -> None:
        self.subject.set_status("active" if is_active else "suspended")
        self.auditor.is_active = is_active

    @rule(
        request=REQUESTS,
        run=st.sampled_from(sorted(BUDGETS)),
        worst=AMOUNTS,
        is_limited=st.booleans(),
    )
    def reserve(self, request: int, run: str, worst: int, *, is_limited: bool) -> None:
        """Three runs of each request, each with a key of its own, so that each budget is met."""
        least = Micropoints(min(worst, 50))
        asked = Reservation(
            account_id=self.subject.account_id,
            key_id=run,
            request_id=f"r-{request}",
            since=NOW + timedelta(minutes=request),
            attempt=f"{run}-{request}",
            budget=BUDGETS[run],
            ask=Ask(worst=Micropoints(worst), floor=least, least=least, is_limited=is_limited),
        )
        self.asked.append(asked)
        self._reserve(asked)

    @precondition(lambda self: self.asked)
    @rule(pick=PICK)
    def reserve_again(self, pick: int) -> None:
        self._reserve(self.asked[-1 - min(pick, len(self.asked) - 1)])

    def _reserve(self, asked: Reservation) -> None:
        try:
            hold = self.ledger.reserve(asked)
        except AccountInactiveError:
            assert not self.auditor.is_active
        except InsufficientQuotaError:
            used = self.auditor.used.get(asked.key_id, 0)
            room = self.auditor.balance
            room = room if asked.budget is None else min(room, asked.budget - used)
            assert hold_amount(asked.ask, Micropoints(room)) is None
        except RequestInProgressError:
            others = [one for one in self.auditor.open.values() if one.attempt != asked.attempt]
            assert asked.request_id in {one.request_id for one in others}
        else:
            self.auditor.reserved(asked, hold)
            self.holds.append(hold)

    @precondition(lambda self: self.holds)
    @rule(pick=PICK, amount=AMOUNTS)
    def extend(self, pick: int, amount: int) -> None:
        hold = self._pick(pick)
        raised = self.ledger.extend(hold, Micropoints(amount))
        self.auditor.extended(hold, raised)
        self.holds.append(raised)

    @precondition(lambda self: self.holds)
    @rule(pick=PICK, share=st.integers(0, 4))
    def journal(self, pick: int, share: int) -> None:
        """Only a run that has not given its hold back says what it costs."""
        hold = self._pick(pick)
        standing = self.auditor.open.get(hold.number)
        if standing is None and hold.request_id not in self.auditor.records:
            return
        quota = (standing or hold).amount * share // 4
        self.auditor.recorded(self.ledger.journal(self._record(hold, quota)))

    def _record(self, hold: Hold, quota: int) -> UsageRecord:
        return UsageRecord(
            account_id=hold.account_id,
            key_id=hold.key_id,
            request_id=hold.request_id,
            since=hold.since,
            finished_at=hold.since,
            endpoint="chat.completions",
            model="m",
            channel="c",
            tokens={"prompt": 3},
            is_exact=True,
            is_stream=True,
            quota=Micropoints(quota),
            outcome="complete",
            hold_number=hold.number,
        )

    @precondition(lambda self: self.holds)
    @rule(pick=PICK)
    def settle(self, pick: int) -> None:
        """With the record of this very hold, and the hold as its run knew it then or later."""
        hold = self._pick(pick)
        record = self.auditor.records.get(hold.request_id)
        if record is None or record.hold_number != hold.number or record.quota > hold.amount:
            return
        self.ledger.settle(hold, record.quota)
        self.auditor.closed(hold.number, record.quota)

    @precondition(lambda self: self.holds)
    @rule(pick=PICK)
    def release(self, pick: int) -> None:
        """By a run that has recorded nothing for what it holds; also when it holds nothing."""
        hold = self._pick(pick)
        mine = [one for one in self.auditor.open.values() if one.attempt == hold.attempt]
        record = self.auditor.records.get(hold.request_id)
        if mine and record is not None and record.hold_number == mine[0].number:
            return
        self.ledger.release(replace(hold, amount=Micropoints(0)))
        for one in mine:
            self.auditor.closed(one.number, 0)

    @rule(minutes=st.integers(19, 25))
    def sweep(self, minutes: int) -> None:
        at = NOW + timedelta(minutes=minutes, seconds=1)
        before = at - timedelta(minutes=20)
        open_since = self.subject.read().open_since
        sweep(self.ledger, now=lambda: at, budget_s=lambda: 60.0)
        records = {record.request_id: record for record in self.subject.records()}
        for hold in list(self.auditor.open.values()):
            if open_since is not None and max(open_since, hold.since) < before:
                assert hold.request_id in records
                record = records[hold.request_id]
                self.auditor.recorded(record)
                self.auditor.closed(hold.number, payable(hold, record))

    @invariant()
    def books_agree(self) -> None:
        self.auditor.check(self.subject.read())

    def teardown(self) -> None:
        self.sweep(10**6)
        self.auditor.check(self.subject.read())
        assert not self.auditor.open
        records = list(self.subject.records())
        assert {record.request_id: record for record in records} == self.auditor.records
        assert self.auditor.spent == sum(record.quota for record in records)
        assert self.subject.day_quota() == self.auditor.spent
