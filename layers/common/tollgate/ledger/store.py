"""The ledger on DynamoDB: each verb one conditional write, idempotent under any retry.

    reserve  balance -= h, held += h, holds[r] = h    IF active, balance >= h, no holds[r], budget
             numbers[attempt] = taken, taken += 1
    extend   balance -= d, held += d, holds[r] += d   IF holds[r] = h, number, balance >= d
    journal  put usage(r) + add to its day            IF usage(r) absent
    settle   held -= h, balance += h - a, spent += a  IF holds[r] = h, number
    release  held -= h, balance += h                  IF holds[r] is of this attempt

A refused condition returns the old item, and that says whether the verb was already done. A plain
conditional update on one item never conflicts with another, so concurrent requests of one account
do not wait for each other. The number makes each hold one of a kind: a copy of a settle that comes
late finds its own hold gone, and a copy of a reserve makes a hold that no record pays for, which
the sweep gives back. Shapes: docs/ledger.md.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from tollgate.core.units import Micropoints
from tollgate.errors import (
    AccountInactiveError,
    InsufficientQuotaError,
    LedgerUnavailableError,
    RequestInProgressError,
)
from tollgate.ledger import items
from tollgate.ledger.connection import connect, reaching_the_ledger
from tollgate.ledger.items import Item
from tollgate.ledger.journal import Journal
from tollgate.ledger.model import Ask, Hold, Key, Reservation, UsageRecord, hold_amount
from tollgate.ledger.writes import Answer, ConditionalWriter

__all__ = ["DynamoLedger", "connect"]

_RESERVE_ATTEMPTS_MAX = 10
_SETTLE_ATTEMPTS_MAX = 3


class DynamoLedger:
    """Implements `ledger.model.Ledger` on one table. The client is safe to share by threads."""

    def __init__(
        self, client: Any, table: str, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """`client`: from `connect`; `sleep`: waits between tries of a conflicting write."""
        self._client = client
        self._table = table
        self._writer = ConditionalWriter(client, table, sleep)
        self._journal = Journal(self._writer, table)

    def find_key(self, key_sha256: str) -> Key | None:
        """Return the key's record, or None."""
        with reaching_the_ledger():
            answer = self._client.get_item(TableName=self._table, Key=items.key_key(key_sha256))
        return items.read_key_item(answer["Item"]) if "Item" in answer else None

    def load_catalog(self, known_version: str | None) -> str | None:
        """Return the pushed catalog's text, or None if there is none or it is the known one."""
        with reaching_the_ledger():
            answer = self._client.get_item(TableName=self._table, Key=items.CATALOG_KEY)
        item = answer.get("Item")
        if item is None or item["version"]["S"] == known_version:
            return None
        catalog: str = item["text"]["S"]
        return catalog

    def reserve(self, reservation: Reservation) -> Hold:
        """Set the money aside: in one write where the worst case fits, which is the usual case.

        Otherwise the refusal brings the balance, and what the hold rule makes of it is tried.
        """
        held, required = _first_try(reservation.ask)
        for _ in range(_RESERVE_ATTEMPTS_MAX):
            answer = self._try_reserve(reservation, held, required)
            if answer.is_written:
                hold = reservation.hold(held)
                return replace(hold, number=_read_number(answer.item, hold.attempt))
            standing = _standing_hold(reservation, answer.item)
            if standing is not None:
                return standing
            held = required = _next_amount(reservation, answer.item)
        raise LedgerUnavailableError

    def _try_reserve(
        self, reservation: Reservation, held: Micropoints, required: Micropoints
    ) -> Answer:
        """Write the hold if `required` is there."""
        hold = reservation.hold(held)
        values = {
            ":held": items.number(held),
            ":required": items.number(required),
            ":hold": items.hold_item(hold),
            ":since": items.text(items.format_time(reservation.since)),
            ":open": items.text(items.OPEN_PK),
            ":active": items.text("active"),
            ":zero": items.number(0),
            ":one": items.number(1),
        }
        condition = "#status = :active AND balance >= :required AND attribute_not_exists(holds.#r)"
        if reservation.budget is not None:
            # With the first try's share a key's budget is compared as the balance is.
            room = reservation.budget - required
            values[":room"] = items.number(room)
            fits = "key_used.#k <= :room"
            unused_or_fits = f"(attribute_not_exists(key_used.#k) OR {fits})"
            condition += f" AND {fits if room < 0 else unused_or_fits}"
        return self._writer.update(
            items.account_key(reservation.account_id),
            update=(
                "SET balance = balance - :held, held = held + :held, holds.#r = :hold,"
                " numbers.#a = taken, taken = taken + :one,"
                " key_used.#k = if_not_exists(key_used.#k, :zero) + :held,"
                " open_since = if_not_exists(open_since, :since),"
                " #open = if_not_exists(#open, :open)"
            ),
            condition=condition,
            names=_names(hold) | {"#status": "status", "#open": "open"},
            values=values,
        )

    def extend(self, hold: Hold, amount: Micropoints) -> Hold:
        """Raise the hold towards `amount`: as far as the balance goes, never beyond.

        It goes on from what the ledger holds, which is more than `hold` says after a lost answer.
        A key's budget does not stop it: the upstream has already done the work.
        """
        reachable = amount
        for _ in range(_RESERVE_ATTEMPTS_MAX):
            if reachable <= hold.amount:
                break
            answer = self._try_extend(hold, reachable)
            if answer.is_written:
                return replace(hold, amount=reachable)
            standing = _same_hold(hold, answer.item)
            if standing is None:
                break
            # Another amount: an extend whose answer was lost. It goes on from there.
            hold = standing
            balance = items.amount(answer.item, "balance")
            reachable = Micropoints(min(amount, hold.amount + balance))
        return hold

    def _try_extend(self, hold: Hold, amount: Micropoints) -> Answer:
        return self._writer.update(
            items.account_key(hold.account_id),
            update=(
                "SET balance = balance - :more, held = held + :more, holds.#r.amount = :amount,"
                " key_used.#k = key_used.#k + :more"
            ),
            condition="holds.#r.amount = :old AND numbers.#a = :number AND balance >= :more",
            names=_names(hold),
            values={
                ":more": items.number(amount - hold.amount),
                ":amount": items.number(amount),
                ":old": items.number(hold.amount),
                ":number": items.number(hold.number),
            },
        )

    def settle(self, hold: Hold, quota: Micropoints) -> Hold | None:
        """Spend `quota` of the hold and give the rest back; nothing if it is already closed.

        Return the hold as it was ended, or None: it was closed before, be it by a try of this
        call whose answer was lost.

        Raises: ValueError: more than is held, which `extend` comes before.
        """
        for _ in range(_SETTLE_ATTEMPTS_MAX):
            if quota > hold.amount:
                break
            answer = self._try_settle(hold, quota)
            if answer.is_written:
                return hold
            standing = _same_hold(hold, answer.item)
            if standing is None:
                return None
            # An extend whose answer was lost took effect: the ledger's amount is the true one.
            hold = standing
        raise ValueError("a settled quota is at most its hold")

    def _try_settle(self, hold: Hold, quota: Micropoints) -> Answer:
        return self._writer.update(
            items.account_key(hold.account_id),
            update=(
                "SET held = held - :amount, spent = spent + :quota, balance = balance + :rest,"
                " key_used.#k = key_used.#k - :rest REMOVE holds.#r, numbers.#a"
            ),
            condition="holds.#r.amount = :amount AND numbers.#a = :number",
            names=_names(hold),
            values={
                ":quota": items.number(quota),
                ":rest": items.number(hold.amount - quota),
                ":amount": items.number(hold.amount),
                ":number": items.number(hold.number),
            },
        )

    def release(self, hold: Hold) -> None:
        """Give back all that this attempt holds, whatever `hold.amount` and number say."""
        names = _names(hold)
        self._writer.update(
            items.account_key(hold.account_id),
            update=(
                "SET held = held - holds.#r.amount, balance = balance + holds.#r.amount,"
                " key_used.#k = key_used.#k - holds.#r.amount REMOVE holds.#r, numbers.#a"
            ),
            condition="holds.#r.attempt = :attempt",
            names=names,
            values={":attempt": items.text(names["#a"])},
        )

    def journal(self, record: UsageRecord) -> UsageRecord:
        """Write the usage record and its day, once; return the record that stands."""
        return self._journal.write(record)

    def void(self, hold: Hold, at: datetime) -> UsageRecord:
        """Record that the request was lost, unless it is recorded; return the standing record."""
        return self._journal.void(hold, at)


def _names(hold: Hold) -> dict[str, str]:
    attempt = hold.attempt or hold.request_id
    return {"#r": hold.request_id, "#a": attempt, "#k": hold.key_id}


def _read_number(written: Item, attempt: str) -> int:
    """Return the number of a hold that was just written.

    Raises: LedgerUnavailableError: it is not told, so the hold may be there and cannot be settled.
    """
    try:
        return items.hold_number(written, attempt)
    except (LookupError, TypeError, ValueError) as error:
        raise LedgerUnavailableError from error


def _same_hold(hold: Hold, account: Item) -> Hold | None:
    """Return this very hold as the account has it, of whatever amount; None if it is closed."""
    standing = items.find_hold(account, hold.account_id, hold.request_id)
    return standing if standing is not None and standing.number == hold.number else None


def _first_try(ask: Ask) -> tuple[Micropoints, Micropoints]:
    """Return what to hold at first and what must be there for it: the rule without the balance."""
    return ask.worst, ask.worst if ask.is_limited else Micropoints(4 * ask.worst)


def _standing_hold(reservation: Reservation, old: Item) -> Hold | None:
    """Return the hold that an earlier try of this attempt has left, if one did.

    Raises: RequestInProgressError: another attempt's hold is there.
    """
    standing = items.find_hold(old, reservation.account_id, reservation.request_id)
    if standing is not None and standing.attempt != reservation.hold(standing.amount).attempt:
        raise RequestInProgressError
    return standing


def _next_amount(reservation: Reservation, old: Item) -> Micropoints:
    """Return what the hold rule makes of the refusing account.

    Raises: AccountInactiveError: it is suspended, or gone. InsufficientQuotaError.
    """
    if old.get("status", {"S": ""})["S"] != "active":
        raise AccountInactiveError
    available = items.amount(old, "balance")
    if reservation.budget is not None:
        used = items.amount(old["key_used"]["M"], reservation.key_id)
        available = Micropoints(min(available, reservation.budget - used))
    amount = hold_amount(reservation.ask, available)
    if amount is None:
        raise InsufficientQuotaError
    return amount
