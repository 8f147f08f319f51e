"""The ledger's items: keys, attribute names, and the way from records to DynamoDB's types and back.

docs/ledger.md draws them. Amounts and counts are whole numbers; no float, no Decimal leaves here.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

from tollgate.core.units import Micropoints
from tollgate.ledger.model import Account, Hold, Key, KeyStatus, Outcome, Status, UsageRecord

type Item = dict[str, Any]  # as DynamoDB's JSON has it: {"N": "5"}

OPEN_INDEX = "open-accounts"  # sparse: only accounts with `open` and `open_since` are in it
OPEN_PK = "OPEN"

CATALOG_KEY: Item = {"pk": {"S": "CATALOG"}, "sk": {"S": "CATALOG"}}
# Ranges of sort keys, both ends inclusive: `$` is the character after `#`.
KEY_POINTERS = ("KEY#", "KEY$")
GRANTS = ("GRANT#", "GRANT$")


def account_pk(account_id: str) -> str:
    """Return the partition of an account, its keys' list, its days and its grants."""
    return f"ACCOUNT#{account_id}"


def account_key(account_id: str) -> Item:
    """Return the key of an account's item."""
    return {"pk": {"S": account_pk(account_id)}, "sk": {"S": "ACCOUNT"}}


def key_key(key_sha256: str) -> Item:
    """Return the key of an API key's item."""
    return {"pk": {"S": f"KEY#{key_sha256}"}, "sk": {"S": "KEY"}}


def key_pointer_key(account_id: str, key_id: str) -> Item:
    """Return the key of the item by which an account's keys are listed."""
    return {"pk": {"S": account_pk(account_id)}, "sk": {"S": f"KEY#{key_id}"}}


def grant_key(account_id: str, grant_id: str) -> Item:
    """Return the key of one top-up."""
    return {"pk": {"S": account_pk(account_id)}, "sk": {"S": f"GRANT#{grant_id}"}}


def day_key(account_id: str, day: str, model: str) -> Item:
    """Return the key of one model's sums of one UTC day, `yyyy-mm-dd`."""
    return {"pk": {"S": account_pk(account_id)}, "sk": {"S": f"DAY#{day}#{model}"}}


def day_range(first: str, last: str) -> tuple[str, str]:
    """Return the sort keys of all models' sums from day `first` to day `last`, both inclusive."""
    return f"DAY#{first}#", f"DAY#{last}$"


def split_day_sk(item: Item) -> tuple[str, str]:
    """Return the day and the model of a day's item."""
    _, day, model = item["sk"]["S"].split("#", 2)
    return day, model


def usage_key(record: UsageRecord) -> Item:
    """Return the key of a usage record: by the time of its hold, so that a repeat finds it."""
    moment = format_time(record.since)
    return {
        "pk": {"S": usage_pk(record.account_id, moment[:7])},
        "sk": {"S": f"{moment}#{record.request_id}"},
    }


def usage_pk(account_id: str, month: str) -> str:
    """Return the partition of an account's usage records of one month, `yyyy-mm`."""
    return f"USAGE#{account_id}#{month}"


def format_time(moment: datetime) -> str:
    """Return aware UTC as sortable text with microseconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: str) -> datetime:
    """Return the aware UTC time in `text`."""
    return datetime.fromisoformat(text)


def number(value: int) -> Item:
    """Return a whole number as DynamoDB's N."""
    return {"N": str(value)}


def numbers(values: Mapping[str, int]) -> Item:
    """Return a map of whole numbers."""
    return {"M": {name: number(value) for name, value in values.items()}}


def text(value: str) -> Item:
    """Return text as DynamoDB's S."""
    return {"S": value}


def amount(item: Item, name: str) -> Micropoints:
    """Return an amount of an item; 0 where the attribute is absent."""
    return Micropoints(int(item.get(name, {"N": "0"})["N"]))


def usage_item(record: UsageRecord) -> Item:
    """Return a usage record as an item."""
    return usage_key(record) | {
        "account": text(record.account_id),
        "key_id": text(record.key_id),
        "request_id": text(record.request_id),
        "since": text(format_time(record.since)),
        "finished_at": text(format_time(record.finished_at)),
        "endpoint": text(record.endpoint),
        "model": text(record.model),
        "channel": text(record.channel),
        "tokens": numbers(record.tokens),
        "is_exact": {"BOOL": record.is_exact},
        "is_stream": {"BOOL": record.is_stream},
        "quota": number(record.quota),
        "outcome": text(record.outcome),
        "hold_number": number(record.hold_number),
    }


def read_usage_item(item: Item) -> UsageRecord:
    """Return the usage record in an item."""
    tokens = item["tokens"]["M"]
    return UsageRecord(
        account_id=item["account"]["S"],
        key_id=item["key_id"]["S"],
        request_id=item["request_id"]["S"],
        since=parse_time(item["since"]["S"]),
        finished_at=parse_time(item["finished_at"]["S"]),
        endpoint=item["endpoint"]["S"],
        model=item["model"]["S"],
        channel=item["channel"]["S"],
        tokens={kind: int(count["N"]) for kind, count in tokens.items()},
        is_exact=item["is_exact"]["BOOL"],
        is_stream=item["is_stream"]["BOOL"],
        quota=amount(item, "quota"),
        outcome=cast("Outcome", item["outcome"]["S"]),
        hold_number=int(item["hold_number"]["N"]),
    )


def is_lost(item: Item) -> bool:
    """Return whether a usage record's item is of a request that left no answer: nobody's bill."""
    return bool(item["outcome"]["S"] == "lost")


def account_item(account_id: str, created_at: datetime) -> Item:
    """Return the item of a new account, with nothing in it."""
    return account_key(account_id) | {
        "account": text(account_id),
        "status": text("active"),
        "created_at": text(format_time(created_at)),
        "balance": number(0),
        "held": number(0),
        "spent": number(0),
        "granted": number(0),
        "taken": number(0),
        "holds": {"M": {}},
        "numbers": {"M": {}},
        "key_used": {"M": {}},
    }


def read_account_item(item: Item) -> Account:
    """Return the account in an item."""
    account_id = item["account"]["S"]
    holds = {
        request_id: hold
        for request_id in item["holds"]["M"]
        if (hold := find_hold(item, account_id, request_id)) is not None
    }
    used = item["key_used"]["M"]
    return Account(
        account_id=account_id,
        status=cast("Status", item["status"]["S"]),
        created_at=parse_time(item["created_at"]["S"]),
        balance=amount(item, "balance"),
        held=amount(item, "held"),
        spent=amount(item, "spent"),
        granted=amount(item, "granted"),
        holds=holds,
        key_used={key_id: amount(used, key_id) for key_id in used},
        taken=int(item["taken"]["N"]),
        open_since=parse_time(item["open_since"]["S"]) if "open_since" in item else None,
    )


def hold_item(hold: Hold) -> Item:
    """Return a hold as an entry of the account's `holds`."""
    return {
        "M": {
            "amount": number(hold.amount),
            "since": text(format_time(hold.since)),
            "key": text(hold.key_id),
            "attempt": text(hold.attempt),
        }
    }


def find_hold(account: Item, account_id: str, request_id: str) -> Hold | None:
    """Return the hold of a request in an account's item, or None; the item may be empty."""
    entry = account.get("holds", {"M": {}})["M"].get(request_id)
    if entry is None:
        return None
    fields = entry["M"]
    attempt = fields["attempt"]["S"]
    return Hold(
        account_id=account_id,
        key_id=fields["key"]["S"],
        request_id=request_id,
        since=parse_time(fields["since"]["S"]),
        amount=amount(fields, "amount"),
        attempt=attempt,
        number=hold_number(account, attempt),
    )


def hold_number(account: Item, attempt: str) -> int:
    """Return the number that the account gave to the hold of an attempt."""
    return int(account["numbers"]["M"][attempt]["N"])


def key_item(key: Key, key_sha256: str) -> Item:
    """Return a key's record as an item; absent attributes mean no restriction."""
    item = key_key(key_sha256) | {
        "account": text(key.account_id),
        "key_id": text(key.key_id),
        "label": text(key.label),
        "status": text(key.status),
        "created_at": text(format_time(key.created_at)),
    }
    if key.models is not None:
        item["models"] = {"L": [text(model) for model in sorted(key.models)]}
    if key.budget is not None:
        item["budget"] = number(key.budget)
    if key.expires_at is not None:
        item["expires_at"] = text(format_time(key.expires_at))
    return item


def read_key_item(item: Item) -> Key:
    """Return the key's record in an item."""
    models = item.get("models")
    return Key(
        account_id=item["account"]["S"],
        key_id=item["key_id"]["S"],
        label=item["label"]["S"],
        status=cast("KeyStatus", item["status"]["S"]),
        created_at=parse_time(item["created_at"]["S"]),
        models=frozenset(model["S"] for model in models["L"]) if models else None,
        budget=amount(item, "budget") if "budget" in item else None,
        expires_at=parse_time(item["expires_at"]["S"]) if "expires_at" in item else None,
    )
