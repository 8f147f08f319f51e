"""One request's money, from hold to settled, whatever happens in between.

    reserve ──▶ (price ──▶ journal ──▶ settle) | release

`close` ends every path: it settles what was journaled, journals what was not, releases the rest,
and tries again for a while, since the sweep that heals a crash comes minutes later and gives back
what was not journaled.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace

from tollgate.core.metrics import RequestMetrics
from tollgate.core.units import Micropoints
from tollgate.errors import LedgerUnavailableError, TollgateError
from tollgate.ledger.model import Hold, Ledger, Reservation, UsageRecord

_log = logging.getLogger("tollgate.ledger")
RETRY_DELAYS_S = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
_WAITED_FOR = 4  # of these delays, while the caller waits for the end of the answer


class Charge:
    """The hold of one request and what becomes of it. Every method may be called again."""

    def __init__(
        self,
        ledger: Ledger,
        reservation: Reservation,
        budget_s: Callable[[], float],
        delays_s: Sequence[float] = RETRY_DELAYS_S,
        *,
        metrics: RequestMetrics | None = None,
    ) -> None:
        """`budget_s`: seconds until the Lambda must be done; `delays_s`: between tries."""
        self._ledger = ledger
        self._reservation = replace(reservation, attempt=secrets.token_urlsafe(8))
        self._budget_s = budget_s
        self._delays_s = delays_s
        self._metrics = metrics or RequestMetrics()
        self._hold: Hold | None = None
        self._reserving: asyncio.Future[Hold] | None = None
        self._record: UsageRecord | None = None
        self._standing: UsageRecord | None = None
        self._is_closed = False

    async def reserve(self) -> Hold:
        """Set the money aside.

        Raises: InsufficientQuotaError; AccountInactiveError; RequestInProgressError;
            LedgerUnavailableError.
        """
        loop = asyncio.get_running_loop()
        # If the caller is cancelled the thread goes on, and `close` must know.
        self._reserving = loop.run_in_executor(None, self._ledger.reserve, self._reservation)
        self._hold = await asyncio.shield(self._reserving)
        return self._hold

    async def cover(self, quota: Micropoints) -> Micropoints:
        """Return what can be charged of `quota`: all of it, or hold plus balance if that is less.

        An upstream that ignored its output limit may report more than was held. The hold is then
        raised before the journal is written, so that record, answer and charge stay one number.
        """
        hold = self._require_hold()
        if quota <= hold.amount:
            return quota
        try:
            self._hold = await asyncio.to_thread(self._ledger.extend, hold, quota)
        except LedgerUnavailableError:
            self._metrics.ledger_errors += 1
            _log.warning("overrun not covered: the ledger is unavailable", extra=self._fields())
        covered = min(quota, self._require_hold().amount)
        if covered < quota:
            self._metrics.overruns += 1
            _log.error("overrun", extra=self._fields() | {"overrun_micropoints": quota - covered})
        return covered

    async def journal(self, record: UsageRecord) -> UsageRecord | None:
        """Write the usage record now; if the ledger fails for long, `close` goes on trying.

        Return the record that stands and that this hold pays for: what is charged. None if the
        ledger fails, or if the record is another hold's; `close` says in the log what came of it.

        The caller waits some seconds for it: an answer that is complete before its record is
        written would be free if the Lambda died between the two.
        """
        self._record = replace(record, hold_number=self._require_hold().number)
        if not await self._retry(self._write_record, self._delays_s[:_WAITED_FOR]):
            _log.warning("journal delayed: the ledger is unavailable", extra=self._fields())
        return self._find_own()

    async def close(self) -> None:
        """Settle or release. Never raises for the ledger's sake; what stays undone is logged."""
        if self._is_closed:
            return
        self._is_closed = True
        await self._await_reserve()
        if self._record is not None:
            await self._settle()
        elif self._hold is not None:
            await self._finish("release", self._release)

    async def _await_reserve(self) -> None:
        """Learn how an interrupted or failed reserve ended.

        One of unknown outcome may have taken effect: a single release finds out. It is not
        repeated, so that a dead database does not keep the sandbox from the next request.
        """
        if self._hold is not None or self._reserving is None:
            return
        try:
            self._hold = await self._reserving
        except LedgerUnavailableError:
            with suppress(LedgerUnavailableError):
                presumed = self._reservation.hold(Micropoints(0))  # of unknown amount
                await asyncio.to_thread(self._ledger.release, presumed)
        except TollgateError:
            return  # refused: nothing is held, and the caller has the reason

    async def _settle(self) -> None:
        """Spend what the record says; nothing if it is the record of another hold.

        That is so if another run of this request was charged before, or if the sweep took this
        one for dead: its caller has the answer for nothing, and nobody pays twice.
        """
        if self._standing is None:
            if not await self._finish("journal", self._write_record):
                return
            _log.warning("recorded late", extra=self._fields() | self._standing_fields())
        if self._find_own() is not None:
            await self._finish("settle", self._spend)
        else:
            fields = self._fields() | self._standing_fields()
            _log.warning("recorded before: this answer is not charged", extra=fields)
            await self._finish("release", self._release)

    def _find_own(self) -> UsageRecord | None:
        """Return the record that stands, if this hold pays for it."""
        standing = self._standing
        is_own = standing is not None and standing.hold_number == self._require_hold().number
        return standing if is_own else None

    def _write_record(self) -> None:
        if self._record is not None:
            self._standing = self._ledger.journal(self._record)

    def _spend(self) -> None:
        if self._standing is not None:
            self._ledger.settle(self._require_hold(), self._standing.quota)

    def _release(self) -> None:
        self._ledger.release(self._require_hold())

    async def _finish(self, verb: str, call: Callable[[], None]) -> bool:
        """Call the ledger until it answers or time is up; return whether it did, or log it."""
        if await self._retry(call, self._delays_s):
            return True
        fields = self._fields() | ({"record": asdict(self._record)} if self._record else {})
        _log.error("ledger unavailable: %s left undone, its hold stays", verb, extra=fields)
        return False

    async def _retry(self, call: Callable[[], None], delays_s: Sequence[float]) -> bool:
        """Call the ledger until it answers or time is up; return whether it did."""
        for delay_s in (*delays_s, None):
            try:
                await asyncio.to_thread(call)
            except LedgerUnavailableError:
                if delay_s is None or self._budget_s() < delay_s:
                    self._metrics.ledger_errors += 1
                    return False
                await asyncio.sleep(delay_s)
            else:
                break
        return True

    def _require_hold(self) -> Hold:
        if self._hold is None:
            raise AssertionError("reserve comes first")
        return self._hold

    def _standing_fields(self) -> dict[str, object]:
        standing = self._standing
        if standing is None:
            return {}
        return {"quota_micropoints": standing.quota, "outcome": standing.outcome}

    def _fields(self) -> dict[str, object]:
        reservation = self._reservation
        return {"request_id": reservation.request_id, "account": reservation.account_id}
