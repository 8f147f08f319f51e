"""Every verb with every fault of the wire, one call at a time, and then the audit.

`make torture` mixes them at random; here none is left to chance. Each case is a request, a sweep
or a top-up of which one call is faulted: by a client that tries again, and by one that does not, so
that the use case has to. What is late arrives after the end, or only after a sweep.
"""

import asyncio
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import product
from random import Random

import pytest
from tollgate.core.units import Micropoints
from tollgate.ledger.accounts import DynamoAccounts
from tollgate.ledger.connection import connect
from tollgate.ledger.open_accounts import DynamoSweptLedger
from tollgate.ledger.sweep import HOLD_AGE_MAX, sweep
from tollgate.ledger.table import create_table

from tests.contracts.test_ledger import ask, record, reservation
from tests.torture.audit import audit, read_partitions
from tests.torture.crew import post
from tests.torture.faults import FAULTS, Faults, Parcel
from tests.torture.plan import GRANT, Plan, Ruling, SweepPlan
from tests.torture.worker import Finished, Over, Request, Sweep, Task, Worker

NOW = datetime(2026, 11, 30, 23, 59, tzinfo=UTC)
LATER = NOW + HOLD_AGE_MAX + timedelta(minutes=1)
FIRST = Micropoints(20_000)
TRIES = (3, 1)  # of each call, by the client
HARMLESS = ("twice", "copy later", "slow")  # the call itself is answered
REQUEST_VERBS = {  # and the upstream's mood in which a request needs them
    "reserve": "answer",
    "extend": "overrun",
    "journal": "answer",
    "settle": "answer",
    "release": "refused",
}
SWEEP_VERBS = ("void", "settle", "move")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One fault of one verb's call."""

    verb: str
    fault: str
    attempts_max: int
    is_after_sweep: bool

    def __str__(self) -> str:
        tries = "tried again" if self.attempts_max > 1 else "tried once"
        return f"{self.verb} {self.fault}, {tries}{', after a sweep' * self.is_after_sweep}"

    @property
    def is_answered(self) -> bool:
        """Whether the caller gets an answer to the call at last."""
        return self.attempts_max > 1 or self.fault in HARMLESS


def cases(*verbs: str, faults: Sequence[str] = FAULTS) -> list[Case]:
    """Return all cases of some verbs.

    Only what leaves a copy can come after a sweep; only what fails is tried again.
    """
    return [
        Case(verb=verb, fault=fault, attempts_max=attempts_max, is_after_sweep=is_after_sweep)
        for verb, fault, attempts_max, is_after_sweep in product(
            verbs, faults, TRIES, (False, True)
        )
        if not (is_after_sweep and fault not in ("late", "copy later"))
        and not (attempts_max == 1 and fault in HARMLESS)
    ]


class Stage:
    """A table and the clients to it, which are dear to make; each case has an account of its own.

    `parcels` and `finished`: the late calls and the whole answers of the case that plays.
    """

    def __init__(self, url: str) -> None:
        self.client = connect(region="us-east-1", endpoint_url=url, read_timeout_s=30.0)
        self.table = f"faults-{uuid.uuid4().hex}"
        self.parcels: list[Parcel] = []
        self.finished: list[Finished] = []
        self.accounts = DynamoAccounts(self.client, self.table)
        self.ledger = DynamoSweptLedger(self.client, self.table)
        create_table(self.client, self.table)
        self.workers = {
            tries: Worker(url, self.table, self.parcels.append, attempts_max=tries)
            for tries in TRIES
        }


@pytest.fixture(scope="module")
def stage(dynamodb_url: str) -> Iterator[Stage]:
    stage = Stage(dynamodb_url)
    yield stage
    stage.client.close()


class Scene:
    """A case's account, with its first top-up, and what happens to it."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.name = f"a-{uuid.uuid4().hex}"
        stage.parcels.clear()
        stage.finished.clear()
        stage.accounts.create_account(self.name, NOW)
        stage.accounts.grant(self.name, "first", FIRST, at=NOW, note="")

    def do(self, task: Task, case: Case) -> Over:
        """Do a task in this process; the first call of the case's verb is faulted."""
        once = f"{case.verb} {case.fault}"
        faults = Faults(dice=Random(0), once=once)
        worker = self.stage.workers[case.attempts_max]
        over = asyncio.run(worker.do(task, faults, self.stage.finished.append))
        assert over.faults == (once,)
        return over

    def end(self, case: Case, *, granted: int = FIRST) -> tuple[int, list[int]]:
        """Let late calls arrive, and sweep on a clean wire; all books agree.

        Return the balance, and what the records say was paid, the dearest first.
        """
        stage = self.stage
        if case.is_after_sweep:
            self.sweep()
        for parcel in stage.parcels:
            post(parcel)
        self.sweep()
        pks = (f"ACCOUNT#{self.name}", f"USAGE#{self.name}#{NOW:%Y-%m}")
        rows = read_partitions(stage.client, stage.table, *pks)
        assert audit(rows, {self.name: granted}) == []
        [balance] = [int(row["balance"]) for row in rows if row["sk"] == "ACCOUNT"]
        quotas = [int(row["quota"]) for row in rows if "outcome" in row]
        return balance, sorted(quotas, reverse=True)

    def sweep(self) -> None:
        tally = sweep(self.stage.ledger, now=lambda: LATER, budget_s=lambda: 60.0)
        assert (tally.failed, tally.is_complete) == (0, True)


@pytest.fixture
def scene(stage: Stage) -> Scene:
    return Scene(stage)


def request(scene: Scene, outcome: str, *, is_image: bool = False) -> Request:
    plan = Plan(
        index=0,
        request_id="r-1",
        is_image=is_image,
        since_off=timedelta(0),
        clock_off=timedelta(0),
        account=scene.name,
        key="k0",
        is_stream=True,
        size=4,
        limit=20,
        outcome=outcome,
        rate=0.0,
        kill="",
        seed="",
    )
    return Request(plan, NOW)


def check_request(scene: Scene, case: Case, *, is_image: bool) -> None:
    """Play a request and see a whole answer charged once, with what it says; no answer, nothing."""
    over = scene.do(request(scene, REQUEST_VERBS[case.verb], is_image=is_image), case)

    balance, quotas = scene.end(case)
    answered = [one.quota for one in scene.stage.finished]
    assert over.ending == expected_ending(case)
    assert len(answered) == (over.ending == "finished")
    assert answered == [quota for quota in quotas if quota]
    assert balance == FIRST - sum(answered)


def expected_ending(case: Case) -> str:
    if case.verb == "reserve" and not case.is_answered:
        return "LedgerUnavailableError"
    return "UpstreamUnavailableError" if case.verb == "release" else "finished"


@pytest.mark.parametrize("case", cases(*REQUEST_VERBS), ids=str)
def test_chat_with_one_fault(scene: Scene, case: Case) -> None:
    """A whole answer is charged once, with what it says; no answer is not charged."""
    check_request(scene, case, is_image=False)


@pytest.mark.parametrize("case", cases(*REQUEST_VERBS, faults=("lost after", "late")), ids=str)
def test_images_with_one_fault(scene: Scene, case: Case) -> None:
    """As of a chat, with what is hardest to tell from a call that was never made."""
    check_request(scene, case, is_image=True)


@pytest.mark.parametrize("case", cases(*SWEEP_VERBS), ids=str)
def test_sweep_with_one_fault(scene: Scene, case: Case) -> None:
    """What it left undone the next one does; what was recorded is charged once, the rest is not."""
    ledger = scene.stage.ledger
    asked = replace(reservation(ask(300)), account_id=scene.name, since=NOW)
    ledger.journal(record(ledger.reserve(asked), 120))
    ledger.reserve(replace(asked, request_id="r-2"))

    over = scene.do(
        Sweep(SweepPlan(ahead=timedelta(0), rate=0.0, kill="", seed=""), LATER, HOLD_AGE_MAX), case
    )

    assert over.tally is not None
    assert over.tally.failed == (0 if case.is_answered else 1)
    assert scene.end(case) == (FIRST - 120, [120, 0])


@pytest.mark.parametrize("case", cases("grant"), ids=str)
def test_grant_with_one_fault(scene: Scene, case: Case) -> None:
    """Repeated by its id until it is answered, it is there once."""
    ruling = Ruling(account=scene.name, grant="g", status="active", rate=0.0, kill="", seed="")

    over = scene.do(ruling, case)

    assert over.ending in {"granted", "granted before"}
    assert scene.end(case, granted=FIRST + GRANT) == (FIRST + GRANT, [])
