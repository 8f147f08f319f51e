"""A request while it is served, as the response that sends it sees it; and its ledger's records."""

import logging
from collections.abc import AsyncGenerator
from datetime import datetime
from string import punctuation
from typing import Protocol
from urllib.parse import quote

from tollgate.core.catalog import Model
from tollgate.core.metrics import RequestMetrics
from tollgate.core.prices import Usage
from tollgate.core.units import Micropoints
from tollgate.core.usage import usage_counts
from tollgate.ledger.model import Ask, Key, Outcome, Reservation, UsageRecord

_log = logging.getLogger("tollgate.request")
_HEADER_CHARACTERS = punctuation.replace("%", "")


class Order(Protocol):
    """What the ledger's records take from an order of any kind."""

    @property
    def key(self) -> Key:
        """Who orders."""

    @property
    def request_id(self) -> str:
        """The id of the hold and of the usage record."""

    @property
    def model(self) -> Model:
        """What is ordered."""

    @property
    def is_stream(self) -> bool:
        """Whether the answer is streamed."""


class Job(Protocol):
    """One order on its way. Either `completion` or `frames` runs; `close` always follows.

    Both raise any TollgateError; before the first frame nothing is charged.
    """

    @property
    def headers(self) -> dict[str, str]:
        """What the answer's header says of the metering, known once the upstream has answered."""

    async def completion(self) -> bytes:
        """Serve the order as one JSON object."""

    def frames(self) -> AsyncGenerator[bytes]:
        """Serve the order as SSE frames, each whole."""

    async def close(self) -> None:
        """End the hold: settle, or charge what was sent, or release. Call it shielded, always."""


def answered_by(channel: str) -> dict[str, str]:
    """Return the header that says which channel served; nothing while none has."""
    return {"x-tollgate-channel": header_text(channel)} if channel else {}


def header_text(name: str) -> str:
    """Return a catalog's name as a header may have it: what is not ASCII percent-encoded."""
    return quote(name, safe=_HEADER_CHARACTERS)


def make_reservation(order: Order, ask: Ask, since: datetime) -> Reservation:
    """Return the hold that an order asks for. `since`: aware UTC."""
    return Reservation(
        account_id=order.key.account_id,
        key_id=order.key.key_id,
        request_id=order.request_id,
        since=since,
        ask=ask,
        budget=order.key.budget,
    )


def make_record(
    order: Order,
    usage: Usage,
    quota: Micropoints,
    *,
    endpoint: str,
    channel: str,
    since: datetime,
    finished_at: datetime,
    outcome: Outcome,
    searches: int = 0,
) -> UsageRecord:
    """Return the usage record of an order that was answered. Times are aware UTC."""
    return UsageRecord(
        account_id=order.key.account_id,
        key_id=order.key.key_id,
        request_id=order.request_id,
        since=since,
        finished_at=finished_at,
        endpoint=endpoint,
        model=order.model.name,
        channel=channel,
        tokens=usage_counts(usage) | ({"search": searches} if searches else {}),
        is_exact=usage.is_exact,
        is_stream=order.is_stream,
        quota=quota,
        outcome=outcome,
    )


def record_fields(record: UsageRecord) -> dict[str, object]:
    """Return what the log says of a charged request: no word of prompt, answer or key."""
    return {
        "request_id": record.request_id,
        "channel": record.channel,
        "account": record.account_id,
        "key": record.key_id,
        "model": record.model,
        "outcome": record.outcome,
        "quota_micropoints": record.quota,
        "duration_ms": int((record.finished_at - record.since).total_seconds() * 1000),
        **{f"tokens_{kind}": count for kind, count in record.tokens.items()},
    }


def tell_charged(metrics: RequestMetrics, record: UsageRecord | None) -> None:
    """Tell metrics and log what a request has come to, by its record; None: not charged yet."""
    if record is None:
        return
    metrics.note_charge(
        model=record.model,
        prompt_tokens=record.tokens.get("prompt", 0),
        completion_tokens=record.tokens.get("completion", 0),
        quota_micropoints=record.quota,
    )
    _log.info("charged", extra=record_fields(record))
