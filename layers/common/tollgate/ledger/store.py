"""The ledger on DynamoDB: each verb one conditional write, idempotent under any retry.

    reserve  balance -= h, held += h, holds[r] = h    IF active, balance >= h, no holds[r], budget
    extend   balance -= d, held += d, holds[r] += d   IF holds[r] = what it was, balance >= d
    journal  put usage(r) IF absent + add to its day, in one transaction
    settle   held -= h, balance += h - a, spent += a  IF holds[r] = h
    release  held -= h, balance += h                  IF holds[r] present

A refused condition returns the old item, and that says whether the verb was already done. A plain
conditional update on one item never conflicts with another, so concurrent requests of one account
do not wait for each other. Shapes: docs/ledger.md.
"""

import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from botocore.exceptions import ClientError

from tollgate.core.units import Micropoints
from tollgate.errors import AccountInactiveError, InsufficientQuotaError, LedgerUnavailableError
from tollgate.ledger import items
from tollgate.ledger.connection import connect, reaching_the_ledger
from tollgate.ledger.items import Item
from tollgate.ledger.model import Ask, Hold, Key, Reservation, UsageRecord, hold_amount

__all__ = ["DynamoLedger", "connect"]

_RESERVE_ATTEMPTS_MAX = 10
_SETTLE_ATTEMPTS_MAX = 3
_JOURNAL_ATTEMPTS_MAX = 12
_CONFLICT_ATTEMPTS_MAX = 8
_BACKOFF_S = 0.02
_BACKOFF_S_MAX = 0.5
_CONFLICTS = {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}


class DynamoLedger:
    """Implements `ledger.model.Ledger` on one table. The client is safe to share by threads."""

    def __init__(
        self, client: Any, table: str, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """`client`: from `connect`; `sleep`: waits between tries of a conflicting journal."""
        self._client = client
        self._table = table
        self._sleep = sleep

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
            old = self._try_reserve(reservation, held, required)
            if old is None:
                return _hold(reservation, held)
            standing = _standing_hold(reservation, old)
            if standing is not None:
                return standing
            held = required = _next_amount(reservation, old)
        raise LedgerUnavailableError

    def _try_reserve(
        self, reservation: Reservation, held: Micropoints, required: Micropoints
    ) -> Item | None:
        """Write the hold if `required` is there; return the refusing item, or None if written."""
        values = {
            ":held": items.number(held),
            ":required": items.number(required),
            ":hold": items.hold_item(_hold(reservation, held)),
            ":since": items.text(items.format_time(reservation.since)),
            ":active": items.text("active"),
            ":zero": items.number(0),
        }
        condition = "#status = :active AND balance >= :required AND attribute_not_exists(holds.#r)"
        if reservation.budget is not None:
            # With the first try's share a key's budget is compared as the balance is.
            values[":room"] = items.number(reservation.budget - required)
            condition += (
                " AND ((attribute_not_exists(key_used.#k) AND :room >= :zero)"
                " OR key_used.#k <= :room)"
            )
        return self._update(
            reservation.account_id,
            update=(
                "SET balance = balance - :held, held = held + :held, holds.#r = :hold,"
                " key_used.#k = if_not_exists(key_used.#k, :zero) + :held,"
                " open_since = if_not_exists(open_since, :since)"
            ),
            condition=condition,
            names={"#r": reservation.request_id, "#k": reservation.key_id, "#status": "status"},
            values=values,
        )

    def extend(self, hold: Hold, amount: Micropoints) -> Hold:
        """Raise the hold towards `amount`: as far as the balance goes, never beyond.

        A key's budget does not stop it: the upstream has already done the work.
        """
        for _ in range(_RESERVE_ATTEMPTS_MAX):
            if amount <= hold.amount:
                return hold
            old = self._try_extend(hold, amount)
            if old is None:
                return replace(hold, amount=amount)
            entry = old.get("holds", {"M": {}})["M"].get(hold.request_id)
            if entry is None:
                return hold
            standing = items.read_hold(hold.account_id, hold.request_id, entry["M"])
            if standing.amount != hold.amount:
                return standing
            amount = Micropoints(min(amount, hold.amount + items.amount(old, "balance")))
        return hold

    def _try_extend(self, hold: Hold, amount: Micropoints) -> Item | None:
        return self._update(
            hold.account_id,
            update=(
                "SET balance = balance - :more, held = held + :more, holds.#r.amount = :amount,"
                " key_used.#k = key_used.#k + :more"
            ),
            condition="holds.#r.amount = :old AND balance >= :more",
            names={"#r": hold.request_id, "#k": hold.key_id},
            values={
                ":more": items.number(amount - hold.amount),
                ":amount": items.number(amount),
                ":old": items.number(hold.amount),
            },
        )

    def settle(self, hold: Hold, quota: Micropoints) -> None:
        """Spend `quota` of the hold and give the rest back; nothing if it is already closed.

        Raises: ValueError: more than is held, which `extend` comes before.
        """
        for _ in range(_SETTLE_ATTEMPTS_MAX):
            if quota > hold.amount:
                break
            old = self._try_settle(hold, quota)
            entry = None if old is None else old.get("holds", {"M": {}})["M"].get(hold.request_id)
            if entry is None:
                return
            # An extend whose answer was lost took effect: the ledger's amount is the true one.
            hold = items.read_hold(hold.account_id, hold.request_id, entry["M"])
        raise ValueError("a settled quota is at most its hold")

    def _try_settle(self, hold: Hold, quota: Micropoints) -> Item | None:
        return self._update(
            hold.account_id,
            update=(
                "SET held = held - :amount, spent = spent + :quota, balance = balance + :rest,"
                " key_used.#k = key_used.#k - :rest REMOVE holds.#r"
            ),
            condition="holds.#r.amount = :amount",
            names={"#r": hold.request_id, "#k": hold.key_id},
            values={
                ":quota": items.number(quota),
                ":rest": items.number(hold.amount - quota),
                ":amount": items.number(hold.amount),
            },
        )

    def release(self, hold: Hold) -> None:
        """Give back all that is held for the request, whatever `hold.amount` says."""
        self._update(
            hold.account_id,
            update=(
                "SET held = held - holds.#r.amount, balance = balance + holds.#r.amount,"
                " key_used.#k = key_used.#k - holds.#r.amount REMOVE holds.#r"
            ),
            condition="attribute_exists(holds.#r)",
            names={"#r": hold.request_id, "#k": hold.key_id},
            values=None,
        )

    def journal(self, record: UsageRecord) -> None:
        """Write the usage record and its day, once; waits its turn on a busy day item."""
        for attempt in range(_JOURNAL_ATTEMPTS_MAX):
            reasons = self._try_journal(record)
            if reasons is None or "ConditionalCheckFailed" in reasons:
                return
            if not reasons & _CONFLICTS:
                break
            self._back_off(attempt)
        raise LedgerUnavailableError

    def _try_journal(self, record: UsageRecord) -> set[str] | None:
        """Return the reasons of a cancelled transaction, or None if it was written."""
        put = {
            "TableName": self._table,
            "Item": items.usage_item(record),
            "ConditionExpression": "attribute_not_exists(pk)",
        }
        try:
            with reaching_the_ledger():
                self._client.transact_write_items(
                    TransactItems=[{"Put": put}, {"Update": self._day_update(record)}]
                )
        except ClientError as error:
            reasons = error.response.get("CancellationReasons", [])
            return {reason.get("Code", "None") for reason in reasons}
        return None

    def _day_update(self, record: UsageRecord) -> Item:
        day = items.format_time(record.since)[:10]
        counts = {"requests": 1, "quota": record.quota}
        counts |= {f"tokens_{kind}": count for kind, count in record.tokens.items()}
        return {
            "TableName": self._table,
            "Key": items.day_key(record.account_id, day, record.model),
            "UpdateExpression": "ADD "
            + ", ".join(f"#{position} :{position}" for position in range(len(counts))),
            "ExpressionAttributeNames": {f"#{at}": name for at, name in enumerate(counts)},
            "ExpressionAttributeValues": {
                f":{at}": items.number(count) for at, count in enumerate(counts.values())
            },
        }

    def _update(
        self,
        account_id: str,
        *,
        update: str,
        condition: str,
        names: dict[str, str],
        values: Item | None,
    ) -> Item | None:
        """Write to the account item; return None, or the item as it was if the condition failed.

        Only a grant is a transaction on this item; a write that meets one is tried again.
        """
        arguments = {} if values is None else {"ExpressionAttributeValues": values}
        for attempt in range(_CONFLICT_ATTEMPTS_MAX):
            try:
                with reaching_the_ledger():
                    self._client.update_item(
                        TableName=self._table,
                        Key=items.account_key(account_id),
                        UpdateExpression=update,
                        ConditionExpression=condition,
                        ExpressionAttributeNames=names,
                        ReturnValuesOnConditionCheckFailure="ALL_OLD",
                        **arguments,
                    )
            except ClientError as error:
                if error.response["Error"]["Code"] != "TransactionConflictException":
                    return dict(error.response.get("Item", {}))
            else:
                return None
            self._back_off(attempt)
        raise LedgerUnavailableError

    def _back_off(self, attempt: int) -> None:
        """Wait a random while, longer each time."""
        ceiling_s = min(_BACKOFF_S * 2**attempt, _BACKOFF_S_MAX)
        self._sleep(random.uniform(0, ceiling_s))  # noqa: S311 - jitter


def _hold(reservation: Reservation, amount: Micropoints) -> Hold:
    return Hold(
        account_id=reservation.account_id,
        key_id=reservation.key_id,
        request_id=reservation.request_id,
        since=reservation.since,
        amount=amount,
    )


def _first_try(ask: Ask) -> tuple[Micropoints, Micropoints]:
    """Return what to hold at first and what must be there for it: the rule without the balance."""
    return ask.worst, ask.worst if ask.is_limited else Micropoints(4 * ask.worst)


def _standing_hold(reservation: Reservation, old: Item) -> Hold | None:
    """Return the hold that an earlier try of this request has left, if one did."""
    entry = old.get("holds", {"M": {}})["M"].get(reservation.request_id)
    if entry is None:
        return None
    return items.read_hold(reservation.account_id, reservation.request_id, entry["M"])


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
