"""The upstream as the rest of Tollgate sees it: a call goes in, the first good answer comes out.

routes in order ──▶ attempt ──▶ first event or whole body ──▶ the caller's
                      │ fails: log, rest, next channel
                      │ refuses the request: the caller's fault, no further channel
                      └ none left: `failures.conclude`
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

import httpx

from tollgate.core.catalog import Catalog, Channel, ChannelKind, Route, Timeouts
from tollgate.errors import ConfigurationError, UpstreamRefusedError, UpstreamTimeoutError
from tollgate.trust import make_tls_context
from tollgate.upstream.attempts import Attempt
from tollgate.upstream.cooldowns import CooldownRules
from tollgate.upstream.failures import ChannelFailedError, conclude
from tollgate.upstream.keys import KeySource
from tollgate.upstream.patience import is_blamed, is_cut_short, stretch
from tollgate.upstream.rests import Rests
from tollgate.upstream.shared_rests import RestBoard
from tollgate.upstream.streams import EventStream
from tollgate.upstream.transport import AiohttpTransport, DirectClient
from tollgate.upstream.turns import Turn, Turns
from tollgate.upstream.vendor_requests import Call, ChatCall
from tollgate.upstream.vendors import Vendor, find_vendor

__all__ = ["Call", "ChatCall", "Completion", "EventStream", "Upstream", "new_http_client"]

_log = logging.getLogger("tollgate.upstream")
_UNAUTHORIZED = 401
_CONNECTIONS_MAX = 100
_IDLE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """A whole answer, as the vendor wrote it, and the channel that gave it."""

    channel: str
    body: dict[str, object]


def new_http_client() -> httpx.AsyncClient:
    """Return the client that a process makes once: one pool.

    HTTP/1.1. The environment's proxies and .netrc are not read: where the keys go is the catalog's
    to say. Time-outs are set for each request.
    """
    return DirectClient(
        AiohttpTransport(tls=make_tls_context(), connections_max=_CONNECTIONS_MAX, idle_s=_IDLE_S)
    )


class Upstream:
    """Asks a model's channels in order until one answers. One for a process."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        catalog: Callable[[], Awaitable[Catalog]],
        keys: KeySource,
        *,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
        rules: CooldownRules = CooldownRules(),  # noqa: B008 - frozen
        board: RestBoard | None = None,
        vendors: Callable[[ChannelKind], Vendor] = find_vendor,
    ) -> None:
        """`catalog` returns the one in force; `clock`: seconds; `draw`: 0 <= x < 1.

        `board`: where other processes tell which channels rest; None: each learns for itself.
        `vendors` tells how channels of a kind are spoken to.
        """
        self._http = http
        self._catalog = catalog
        self._keys = keys
        self._clock = clock
        self._draw = draw
        self._rules = rules
        self._vendors = vendors
        self._rests = Rests(clock=clock, rules=rules, board=board)

    def look(self) -> None:
        """Begin to learn which channels rest, while something else is awaited before the call."""
        self._rests.look()

    async def complete(self, call: Call) -> Completion:
        """Return the first whole answer.

        Raises: UpstreamRefusedError, UpstreamRateLimitedError, UpstreamTimeoutError,
            UpstreamUnavailableError: see `failures.conclude` for which.
        """

        async def attempt(attempt: Attempt) -> Completion:
            return Completion(channel=attempt.channel, body=await attempt.complete())

        return await self._try_channels(call, attempt)

    async def open_stream(self, call: Call) -> EventStream:
        """Return the first stream whose first event has come. Raises as `complete`."""
        return await self._try_channels(call, Attempt.open_stream)

    async def open_either(self, call: Call) -> EventStream | Completion:
        """Return the first answer to a call that asks for a stream, even if it is a whole one.

        Some vendors do not know `stream` for images: they have made the image all the same.
        Raises as `complete`.
        """

        async def attempt(attempt: Attempt) -> EventStream | Completion:
            answer = await attempt.open_either()
            if isinstance(answer, EventStream):
                return answer
            return Completion(channel=attempt.channel, body=answer)

        return await self._try_channels(call, attempt)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._rests.aclose()
        await self._http.aclose()

    async def _try_channels[T](self, call: Call, attempt: Callable[[Attempt], Awaitable[T]]) -> T:
        channels = (await self._catalog()).channels
        await self._rests.catch_up()
        turns = Turns(call, channels=channels, rests=self._rests, random=self._draw)
        async with aclosing(turns.take()) as taken:
            async for turn in taken:
                try:
                    return await self._try_route(call, turn, attempt)
                except ChannelFailedError as failure:
                    turns.note_failure(turn, failure)
        if call.budget_s() <= 0:
            raise UpstreamTimeoutError
        failures = turns.failures
        raise conclude(failures, model=call.model.name, rules=self._rules) from (
            failures[-1] if failures else None
        )

    async def _try_route[T](
        self, call: Call, turn: Turn, attempt: Callable[[Attempt], Awaitable[T]]
    ) -> T:
        """Try one channel, and keep the books of what came of it; of a stream, of its end."""
        began, leave, is_answered = self._clock(), turn.leave, False
        try:
            answer = await self._try_keys(call, turn, attempt)
            is_answered = True
        except ChannelFailedError as failure:
            self._note_failure(call, turn, failure, began)
            raise
        except UpstreamRefusedError:
            self._rests.note_answer(leave)
            raise
        finally:
            if not is_answered:
                self._rests.end(leave)
        if isinstance(answer, EventStream):
            note, has_key = self._rests.note_ending, turn.has_key
            answer.report_to(lambda ending: note(leave, ending, has_key=has_key))
        else:
            self._rests.note_answer(leave)
        call.metrics.note_answer(turn.route.channel, self._since_ms(began))
        return answer

    def _note_failure(
        self, call: Call, turn: Turn, failure: ChannelFailedError, began: float
    ) -> None:
        if failure.reason != "unsupported":  # the channel was not asked
            call.metrics.note_failure(turn.route.channel)
        self._log_failure(call, turn.route, failure, began)
        timeouts = turn.channel.timeouts if turn.channel else Timeouts()
        if not is_blamed(failure, timeouts, share_s=turn.share_s, fair_s=self._rules.fair_s):
            self._rests.note_spared(turn.leave, failure)
            return
        is_cut = is_cut_short(failure, timeouts, call, share_s=turn.share_s)
        self._rests.note_failure(turn.leave, failure, is_cut_short=is_cut, has_key=turn.has_key)

    async def _try_keys[T](
        self,
        call: Call,
        turn: Turn,
        attempt: Callable[[Attempt], Awaitable[T]],
    ) -> T:
        """Try the channel with its key, and once more if a rejected key has a successor."""
        channel = turn.channel
        if channel is None:
            raise ChannelFailedError("unavailable", is_resting=False)
        key = await self._find_key(call, channel)
        try:
            return await attempt(await self._make_attempt(call, turn, channel, key))
        except ChannelFailedError as failure:
            if failure.status != _UNAUTHORIZED or not await self._is_renewed(call, channel, key):
                raise
        key = await self._find_key(call, channel)
        return await attempt(await self._make_attempt(call, turn, channel, key))

    async def _make_attempt(
        self, call: Call, turn: Turn, channel: Channel, key: str | None
    ) -> Attempt:
        vendor, route = self._vendors(channel.kind), turn.route
        return Attempt(
            http=self._http,
            vendor=vendor,
            channel=channel.name,
            request=await vendor.make_request(call, channel=channel, route=route, key=key),
            shape=call.shape,
            timeouts=stretch(channel.timeouts, call, share_s=turn.share_s),
            budget_s=call.budget_s(),
            share_s=turn.share_s,
            secrets=(key,) if key else (),
            renamed=(route.upstream_model, call.model.name),
        )

    async def _find_key(self, call: Call, channel: Channel) -> str | None:
        if channel.key_name is None:
            return None
        try:
            async with asyncio.timeout(call.budget_s()):
                return await self._keys.key(channel.key_name)
        except TimeoutError as error:
            raise ChannelFailedError("timeout", is_resting=False) from error
        except ConfigurationError as error:
            raise ChannelFailedError("credentials", is_resting=False) from error

    async def _is_renewed(self, call: Call, channel: Channel, key: str | None) -> bool:
        if channel.key_name is None or key is None:
            return False
        try:
            async with asyncio.timeout(call.budget_s()):
                return await self._keys.renew(channel.key_name, key)
        except (TimeoutError, ConfigurationError):
            return False

    def _log_failure(
        self, call: Call, route: Route, failure: ChannelFailedError, began: float
    ) -> None:
        """Log one line: neither bodies nor keys, not even the vendor's words."""
        cause = type(failure.__cause__).__name__ if failure.__cause__ else None
        fields = {
            "channel": route.channel,
            "model": call.model.name,
            "reason": failure.reason,
            "status": failure.status,
            "cause": cause,
            "duration_ms": self._since_ms(began),
        }
        _log.warning("channel failed", extra=fields)

    def _since_ms(self, began: float) -> int:
        return int((self._clock() - began) * 1000)
