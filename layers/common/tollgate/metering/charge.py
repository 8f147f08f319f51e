"""One request's money, from hold to settled, whatever happens in between.

    reserve ──▶ (price ──▶ journal ──▶ settle) | release

`close` ends every path: it settles what was journaled, journals what was not, releases the rest,
and tries again for as long as the Lambda lives, since the sweep that heals a crash comes later.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict

from tollgate.core.units import Micropoints
from tollgate.errors import LedgerUnavailableError, TollgateError
from tollgate.ledger.model import Hold, Ledger, Reservation, UsageRecord

_log = logging.getLogger("tollgate.ledger")
RETRY_DELAYS_S = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)


class Charge:
    """The hold of one request and what becomes of it. Every method may be called again."""

    def __init__(
        self,
        ledger: Ledger,
        reservation: Reservation,
        budget_s: Callable[[], float],
        delays_s: Sequence[float] = RETRY_DELAYS_S,
    ) -> None:
        """`budget_s`: seconds until the Lambda must be done; `delays_s`: between tries."""
        self._ledger = ledger
        self._reservation = reservation
        self._budget_s = budget_s
        self._delays_s = delays_s
        self._hold: Hold | None = None
        self._reserving: asyncio.Task[Hold] | None = None
        self._record: UsageRecord | None = None
        self._is_journaled = False
        self._is_closed = False

    async def reserve(self) -> Hold:
        """Set the money aside.

        Raises: InsufficientQuotaError; AccountInactiveError; LedgerUnavailableError.
        """
        work = asyncio.to_thread(self._ledger.reserve, self._reservation)
        # A task of its own: if the caller is cancelled the thread goes on, and `close` must know.
        self._reserving = asyncio.create_task(work)
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
            _log.warning("overrun not covered: the ledger is unavailable", extra=self._fields())
        covered = min(quota, self._require_hold().amount)
        if covered < quota:
            _log.error("overrun", extra=self._fields() | {"overrun_micropoints": quota - covered})
        return covered

    async def journal(self, record: UsageRecord) -> None:
        """Write the usage record now; if the ledger fails, `close` goes on trying."""
        self._record = record
        try:
            await asyncio.to_thread(self._ledger.journal, record)
        except LedgerUnavailableError:
            _log.warning("journal delayed: the ledger is unavailable", extra=self._fields())
            return
        self._is_journaled = True

    async def close(self) -> None:
        """Settle or release. Never raises for the ledger's sake; what stays undone is logged."""
        if self._is_closed:
            return
        self._is_closed = True
        await self._await_reserve()
        if self._record is not None:
            await self._settle(self._record)
        elif self._hold is not None:
            await self._retry("release", self._ledger.release, self._hold)

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
                await asyncio.to_thread(self._ledger.release, _presumed_hold(self._reservation))
        except TollgateError:
            return  # refused: nothing is held, and the caller has the reason

    async def _settle(self, record: UsageRecord) -> None:
        if not self._is_journaled:
            self._is_journaled = await self._retry("journal", self._ledger.journal, record)
        if self._is_journaled:
            await self._retry("settle", self._ledger.settle, self._require_hold(), record.quota)

    async def _retry[**P](
        self, verb: str, call: Callable[P, None], *args: P.args, **kwargs: P.kwargs
    ) -> bool:
        """Call the ledger until it answers or time is up; return whether it did."""
        for delay_s in (*self._delays_s, None):
            try:
                await asyncio.to_thread(call, *args, **kwargs)
            except LedgerUnavailableError:
                if delay_s is None or self._budget_s() < delay_s:
                    break
                await asyncio.sleep(delay_s)
            else:
                return True
        fields = self._fields() | ({"record": asdict(self._record)} if self._record else {})
        _log.error("ledger unavailable: %s left undone, its hold stays", verb, extra=fields)
        return False

    def _require_hold(self) -> Hold:
        if self._hold is None:
            raise AssertionError("reserve comes first")
        return self._hold

    def _fields(self) -> dict[str, object]:
        reservation = self._reservation
        return {"request_id": reservation.request_id, "account": reservation.account_id}


def _presumed_hold(reservation: Reservation) -> Hold:
    """Return the hold that a reserve of unknown outcome may have left, of unknown amount."""
    return Hold(
        account_id=reservation.account_id,
        key_id=reservation.key_id,
        request_id=reservation.request_id,
        since=reservation.since,
        amount=Micropoints(0),
    )
