"""An upstream with channels at given addresses, one after another by priority; its time stands."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tollgate.core.catalog import Catalog, Channel, Route, Timeouts
from tollgate.upstream.client import ChatCall, EventStream, Upstream, new_http_client
from tollgate.upstream.cooldowns import CooldownRules
from tollgate.upstream.keys import EnvKeys, KeySource
from tollgate.upstream.shared_rests import RestBoard

from tests.fakes.models import make_catalog, make_model, make_timeouts
from tests.fakes.scripted_server import CHUNK, DONE, Script, ScriptedServer, serving, stream

KEY = "sk-operator-0123456789abcdef"
GOOD = stream(CHUNK, DONE)
ROLE = b'data: {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}\n\n'
EXPECTED = ['{"choices": [{"index": 0, "delta": {"content": "hi"}}]}', "[DONE]"]


class World:
    """An upstream with channels `c0`, `c1`, … at the given addresses, in this order."""

    def __init__(
        self,
        urls: list[str],
        timeouts: Timeouts,
        keys: KeySource,
        rules: CooldownRules,
        board: RestBoard | None,
    ) -> None:
        self.now_s = 0.0
        self.channels = {
            f"c{n}": Channel(name=f"c{n}", base_url=url, key_name="KEY", timeouts=timeouts)
            for n, url in enumerate(urls)
        }
        self.upstream = Upstream(
            new_http_client(),
            self._current,
            keys,
            clock=lambda: self.now_s,
            rules=rules,
            board=board,
        )

    async def _current(self) -> Catalog:
        return make_catalog(self.channels)

    def call(
        self,
        *,
        is_stream: bool = True,
        budget_s: Callable[[], float] = lambda: 60.0,
        upstream_model: str = "u",
    ) -> ChatCall:
        routes = [
            Route(channel=name, upstream_model=upstream_model, priority=n)
            for n, name in enumerate(self.channels)
        ]
        return ChatCall(
            model=make_model(*routes),
            body={"messages": []},
            output_limit=None,
            is_stream=is_stream,
            budget_s=budget_s,
        )

    async def read(self, call: ChatCall | None = None) -> tuple[str, list[str]]:
        async with (
            asyncio.timeout(10),
            await self.upstream.open_stream(call or self.call()) as events,
        ):
            data = [event.data async for event in events]
            events.note_complete()
            return events.channel, data


@asynccontextmanager
async def world(
    *urls: str,
    timeouts: Timeouts | None = None,
    keys: KeySource | None = None,
    rules: CooldownRules | None = None,
    board: RestBoard | None = None,
) -> AsyncIterator[World]:
    made = World(
        list(urls),
        timeouts or make_timeouts(),
        keys or EnvKeys({"KEY": KEY}),
        rules or CooldownRules(),
        board,
    )
    try:
        yield made
    finally:
        await made.upstream.aclose()


@asynccontextmanager
async def pair(
    *first: Script, timeouts: Timeouts | None = None, rules: CooldownRules | None = None
) -> AsyncIterator[tuple[World, ScriptedServer, ScriptedServer]]:
    """A first channel with these scripts, and a second one that streams well."""
    async with (
        serving(*first) as one,
        serving(GOOD) as two,
        world(one.base_url, two.base_url, timeouts=timeouts, rules=rules) as made,
    ):
        yield made, one, two


async def drain(events: EventStream) -> list[str]:
    """Return the data up to the failure, which goes on."""
    return [event.data async for event in events]
