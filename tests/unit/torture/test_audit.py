"""The torture's audit on a small table: it passes a good one and names each rule that is broken."""

import copy
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.torture.audit import Row, audit, audit_answers
from tests.torture.plan import Plan
from tests.torture.report import Report

AT = datetime(2027, 1, 1, 0, 5, tzinfo=UTC)
GRANTED = {"a": 100, "b": 0}


def account(name: str, **changes: object) -> Row:
    row: Row = {"pk": f"ACCOUNT#{name}", "sk": "ACCOUNT", "account": name, "status": "active"}
    row |= {"balance": 0, "held": 0, "spent": 0, "granted": 0}
    return row | {"holds": {}, "numbers": {}, "key_used": {}} | changes


def usage(request_id: str, quota: int, **changes: object) -> Row:
    row: Row = {"pk": "USAGE#a#2027-01", "sk": f"{AT:%Y-%m-%dT%H:%M:%S}#{request_id}"}
    row |= {"account": "a", "request_id": request_id, "key_id": "k", "quota": quota}
    row |= {"tokens": {"prompt": 3}, "outcome": "complete"}
    return row | {"finished_at": AT.isoformat()} | changes


def good_table() -> dict[str, Row]:
    """Return the items of two accounts by names for these tests: two answers, one lost request."""
    day = {"pk": "ACCOUNT#a", "sk": "DAY#2027-01-01#m", "quota": 30}
    return {
        "account": account("a", balance=70, spent=30, granted=100, key_used={"k": 30, "idle": 0}),
        "other": account("b"),
        "grant": {"pk": "ACCOUNT#a", "sk": "GRANT#g", "amount": 60},
        "second grant": {"pk": "ACCOUNT#a", "sk": "GRANT#h", "amount": 40},
        "day": day | {"requests": 2, "tokens_prompt": 6},
        "first": usage("r-1", 10),
        "broken": usage("r-2", 20, outcome="broken"),
        "lost": usage("r-3", 0, outcome="lost", tokens={}),
    }


def test_good_table_passes() -> None:
    """Nothing is wrong with what the ledger makes."""
    assert audit(good_table().values(), GRANTED) == []


type Breaking = Callable[[dict[str, Row]], Any]


BREAKINGS: list[tuple[str, Breaking]] = [
    ("granted = balance + spent", lambda table: table["account"].update(balance=71)),
    ("granted = balance + spent", lambda table: table["account"].update(balance=69)),
    ("granted = sum of grants", lambda table: table["grant"].update(amount=61)),
    ("granted = sum of grants", lambda table: table.pop("second grant")),
    ("held = 0", lambda table: table["account"].update(held=1)),
    ("held = 0", lambda table: table["account"].update(held=-1)),
    ("no holds", lambda table: table["account"].update(holds={"r": {}})),
    ("no holds", lambda table: table["account"].update(numbers={"r": 1})),
    ("off the sweep's list", lambda table: table["account"].update(open_since="2027")),
    ("off the sweep's list", lambda table: table["account"].update(open="OPEN")),
    ("spent = sum of days", lambda table: table["day"].update(quota=29)),
    ("requests of days", lambda table: table["day"].update(requests=3)),
    ("prompt tokens of days", lambda table: table["day"].update(tokens_prompt=5)),
    ("prompt tokens of days", lambda table: table["first"].update(tokens={"prompt": 4})),
    ("spent by key", lambda table: table["first"].update(key_id="another")),
    ("spent by key", lambda table: table["account"]["key_used"].update(k=31)),
]


@pytest.mark.parametrize(("rule", "break_it"), BREAKINGS)
def test_broken_rule_is_named(rule: str, break_it: Breaking) -> None:
    """One item is not as it should be: one line says which account and which rule."""
    table = copy.deepcopy(good_table())
    break_it(table)

    assert [line.split(": ")[:2] for line in audit(table.values(), GRANTED)] == [["a", rule]]


def test_balance_below_zero_is_named() -> None:
    """Also where every sum agrees."""
    table = good_table()
    table["account"] |= {"balance": -10, "spent": 110, "key_used": {"k": 110}}
    table["first"]["quota"], table["day"]["quota"] = 90, 110

    assert audit(table.values(), GRANTED) == ["a: balance >= 0: -10 != 0"]


def test_answer_without_its_record_is_named() -> None:
    """Its money is spent, by its key and in its day; only the record is missing."""
    table = good_table()
    table["first"]["quota"] = 9

    rules = [line.split(": ")[1] for line in audit(table.values(), GRANTED)]

    assert rules == ["spent = sum of usage", "spent by key"]


def test_grant_that_was_done_twice_is_named() -> None:
    """The account and the grants agree, and it is not what was given."""
    table = good_table()
    table["twice"] = table["grant"] | {"sk": "GRANT#again"}
    table["account"] |= {"granted": 160, "balance": 130}

    assert audit(table.values(), GRANTED) == ["a: granted once each: 160 != 100"]


def test_request_with_two_records_is_named() -> None:
    """In another month, so that the two are two items; free, so that every sum agrees."""
    table = good_table()
    table["again"] = table["lost"] | {"pk": "USAGE#a#2026-12"}

    assert audit(table.values(), GRANTED) == ["r-3: 2 records"]


@pytest.mark.parametrize("granted", [{"a": 100}, GRANTED | {"c": 0}])
def test_accounts_that_are_not_those_that_were_made_are_named(granted: dict[str, int]) -> None:
    """One too many, or one that is gone with all that it had."""
    found = audit(good_table().values(), granted)

    assert found == [f"accounts: ['a', 'b'] != {sorted(granted)}"]


def plan(index: int, request_id: str) -> Plan:
    return Plan(
        index=index,
        request_id=request_id,
        is_image=index == 1,
        since_off=timedelta(0),
        clock_off=timedelta(0),
        account="a",
        key="k",
        is_stream=True,
        size=1,
        limit=None,
        outcome="answer",
        rate=0.0,
        kill="",
        seed="",
    )


def answers(
    finished: dict[int, int],
    *,
    table: dict[str, Row] | None = None,
    silent: set[int] = frozenset(),  # type: ignore[assignment]
    twin_of: str = "r-4",
    early: set[datetime] = frozenset(),  # type: ignore[assignment]
) -> Report:
    """Return the report on runs 1, 2, 3 of r-1, r-2, r-3 and run 4 of `twin_of`."""
    names = ("r-1", "r-2", "r-3", twin_of)
    plans = {index: plan(index, name) for index, name in enumerate(names, start=1)}
    report = Report(1, len(plans), finished=finished, silent=set(silent), early=set(early))
    audit_answers((table or good_table()).values(), plans, report)
    return report


def test_answers_that_are_charged_as_they_say_pass() -> None:
    """Whole, of an image, once; what has no whole answer is not asked for one."""
    report = answers({1: 10}, silent={3, 4})

    assert (report.wrong, report.images, report.charged_unfinished) == ([], 1, 0)


def test_charged_without_a_whole_answer_is_counted() -> None:
    """It was killed between its record and its end."""
    assert answers({}).charged_unfinished == 1


@pytest.mark.parametrize(
    "finished",
    [{1: 11}, {1: 0}, {2: 20}, {3: 0}, {4: 10}],
    ids=["dearer", "free", "recorded as broken off", "recorded as lost", "not recorded"],
)
def test_answer_that_is_not_charged_as_it_says_is_named(finished: dict[int, int]) -> None:
    """Its request is named."""
    [index] = finished

    [line] = answers(finished).wrong

    assert line.startswith(f"r-{index}: answers of {[*finished.values()]}, record ")


def test_request_without_output_that_is_charged_is_named() -> None:
    """Nobody got a word of it."""
    [line] = answers({}, silent={2}).wrong

    assert line.startswith("r-2: no output, and charged: ")


@pytest.mark.parametrize(
    ("name", "finished", "expected"),
    [
        ("r-1", {1: 10, 4: 12}, 0),
        ("r-1", {4: 12}, 1),
        ("r-2", {4: 12}, 0),
        ("r-2", {2: 20, 4: 12}, 0),
        ("r-3", {4: 12}, 1),
    ],
    ids=["one of two", "neither", "the first broke off", "twice, one broke off", "lost"],
)
def test_of_two_runs_the_one_that_is_recorded_pays(
    name: str, finished: dict[int, int], expected: int
) -> None:
    """A record of what neither said is wrong, unless it is of one that broke off."""
    report = answers(finished, twin_of=name)

    assert len(report.wrong) == expected
    assert report.answered_twice == (len(finished) == 2)


def test_answer_that_a_sweep_with_a_fast_clock_freed_is_counted() -> None:
    """The lost record has that sweep's time; another's is still wrong."""
    freed = answers({3: 5}, early={AT})
    other = answers({3: 5}, early={AT + timedelta(microseconds=1)})

    assert (freed.wrong, freed.freed) == ([], 1)
    assert (len(other.wrong), other.freed) == (1, 0)


def test_early_sweep_excuses_no_other_record() -> None:
    """Only a lost one: an answer of another price is wrong at any time."""
    report = answers({1: 11}, early={AT})

    assert (len(report.wrong), report.freed) == (1, 0)
