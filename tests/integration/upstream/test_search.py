"""Several search providers: who is asked next, how long, how often, and what is logged."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tollgate.core.catalog import SearchProvider
from tollgate.core.units import Micropoints
from tollgate.errors import WebSearchFailedError
from tollgate.upstream.client import new_http_client
from tollgate.upstream.keys import EnvKeys, KeySource, SecretKeys
from tollgate.upstream.search.client import Findings, WebSearch

from tests.fakes.scripted_server import Script, ScriptedServer, answer, hang, raw, serving

KEY = "search-key-0123456789"
QUERY = "zeppelin quagmire"
PAGE = {"title": "xylophone", "url": "https://example.org/xylophone", "content": "vuvuzela"}
GOOD = answer(json.dumps({"results": [PAGE]}).encode())
DOWN = answer(status=500)


class World:
    """A search with providers `p0`, `p1`, … at the given servers, in this order."""

    def __init__(
        self, search: WebSearch, servers: list[ScriptedServer], timeouts_s: tuple[float, float]
    ) -> None:
        self.servers = servers
        self._search = search
        self._providers = [
            SearchProvider(
                name=f"p{n}",
                kind="tavily",
                base_url=server.base_url,
                key_name="KEY",
                price=Micropoints(n),
                timeout_s=timeouts_s[n],
            )
            for n, server in enumerate(servers)
        ]

    async def find(self, budget_s: float = 60.0) -> Findings:
        async with asyncio.timeout(60):
            return await self._search.search(QUERY, self._providers, budget_s=budget_s)

    @property
    def asked(self) -> list[int]:
        """How often each provider was asked."""
        return [len(server.paths) for server in self.servers]


@asynccontextmanager
async def world(
    *scripts: tuple[Script, ...],
    keys: KeySource | None = None,
    timeouts_s: tuple[float, float] = (15.0, 15.0),
    **fields: Any,
) -> AsyncIterator[World]:
    async with new_http_client() as http, serving(*scripts[0]) as one, serving(*scripts[-1]) as two:
        search = WebSearch(http, keys or EnvKeys({"KEY": KEY}), **fields)
        yield World(search, [one, two][: len(scripts)], timeouts_s)


@pytest.mark.parametrize(
    "script", [DOWN, answer(status=401), answer(status=429), answer(b"{}"), raw(b"x"), hang]
)
async def test_next_provider_answers_where_one_fails(script: Script) -> None:
    """And it is the one that is named, with its own price."""
    first_s = 0.5 if script is hang else 15.0
    async with world((script,), (GOOD,), timeouts_s=(first_s, 15.0)) as made:
        found = await made.find()

    assert (found.provider.name, found.provider.price) == ("p1", 1)
    assert [result.title for result in found.results] == ["xylophone"]


async def test_second_is_not_asked_where_the_first_answers() -> None:
    """One search is paid for, not two."""
    async with world((GOOD,), (GOOD,)) as made:
        await made.find()

    assert made.asked == [1, 0]


async def test_all_failed() -> None:
    """One error for the caller, whatever the reasons were."""
    async with world((DOWN,), (answer(status=401),)) as made:
        with pytest.raises(WebSearchFailedError, match="The web search failed"):
            await made.find()

    assert made.asked == [1, 1]


async def test_hung_providers_say_that_they_were_too_slow() -> None:
    """Each has its own time."""
    async with world((hang,), (hang,), timeouts_s=(1.0, 1.0)) as made:
        with pytest.raises(WebSearchFailedError, match="too long"):
            await made.find()
        await asyncio.wait_for(made.servers[0].hung_up.wait(), 5)

    assert made.asked == [1, 1]


async def test_the_whole_has_a_limit() -> None:
    """What the first has used up the second has not; a request without time asks nobody."""
    async with world((hang,), (GOOD,), total_s=1.0) as made:
        with pytest.raises(WebSearchFailedError, match="too long"):
            await made.find()
        with pytest.raises(WebSearchFailedError, match="too long"):
            await made.find(budget_s=0)

    assert made.asked == [1, 0]


async def test_failed_provider_rests() -> None:
    """It comes last for a while, then first again."""
    now_s = 0.0
    async with world((DOWN, GOOD), (GOOD,), clock=lambda: now_s) as made:
        first = (await made.find()).provider.name
        second = (await made.find()).provider.name
        now_s = 31.0
        third = (await made.find()).provider.name

    assert (first, second, third) == ("p1", "p1", "p0")
    assert made.asked == [2, 2]


async def test_resting_provider_is_asked_where_nobody_else_is() -> None:
    """Rest is an order, not a refusal."""
    async with world((DOWN, GOOD)) as made:
        with pytest.raises(WebSearchFailedError):
            await made.find()
        assert (await made.find()).provider.name == "p0"


async def test_rest_ends_with_an_answer() -> None:
    """A provider that answered while it rested is the first again."""
    now_s = 0.0
    too_many = answer(status=429, head="retry-after: 5\r\n")
    async with world((DOWN, GOOD), (GOOD, too_many, GOOD), clock=lambda: now_s) as made:
        found = []
        for now_s in (0.0, 1.0, 10.0):  # noqa: B007 - read by the clock
            found.append((await made.find()).provider.name)  # noqa: PERF401

    assert found == ["p1", "p0", "p0"]


async def test_a_hurried_request_rests_nobody() -> None:
    """Where its own time ran out, the provider is not to blame."""
    async with world((hang, GOOD), (GOOD,)) as made:
        with pytest.raises(WebSearchFailedError, match="too long"):
            await made.find(budget_s=0.2)
        assert (await made.find()).provider.name == "p0"


async def test_a_hung_provider_rests_where_it_had_the_searchs_time() -> None:
    """The search's own limit ran out on it, not the request's."""
    async with world((hang, GOOD), (GOOD,), total_s=0.5) as made:
        with pytest.raises(WebSearchFailedError, match="too long"):
            await made.find()
        assert (await made.find()).provider.name == "p1"


async def test_a_querys_own_refusal_rests_nobody() -> None:
    """The next query may be fine."""
    async with world((answer(status=422), GOOD), (GOOD,)) as made:
        first = (await made.find()).provider.name
        second = (await made.find()).provider.name

    assert (first, second) == ("p1", "p0")


async def test_rotated_key_is_used_at_once() -> None:
    """A rejected key is looked up again, and the same provider asked with its successor."""
    secrets = iter(['{"KEY": "old-key"}', '{"KEY": "new-key"}'])
    ticks = iter(range(0, 10_000, 100))
    keys = SecretKeys(lambda: next(secrets), clock=lambda: float(next(ticks)))
    async with world((answer(status=401), GOOD), keys=keys) as made:
        found = await made.find()
        sent = [headers["authorization"] for headers in made.servers[0].headers]

    assert found.provider.name == "p0"
    assert sent == ["Bearer old-key", "Bearer new-key"]


async def test_missing_key_is_a_failure_of_its_provider() -> None:
    """Nothing is sent without it."""
    async with world((GOOD,), keys=EnvKeys({})) as made:
        with pytest.raises(WebSearchFailedError, match="The web search failed"):
            await made.find()

    assert made.asked == [0]


async def test_connection_closed_without_notice_is_made_anew() -> None:
    """The second try is on a new connection."""
    async with world((GOOD, raw(b"", ending="reset"), GOOD)) as made:
        await made.find()
        found = await made.find()

    assert found.provider.name == "p0"
    assert made.asked == [3]
    assert made.servers[0].connections == 2


async def test_connection_broken_on_its_first_request_is_not_repeated() -> None:
    """The provider may have searched: nobody pays twice, the next one is asked."""
    async with world((raw(b"", ending="reset"), GOOD), (GOOD,)) as made:
        found = await made.find()

    assert found.provider.name == "p1"
    assert made.asked == [1, 1]


async def test_hostile_words_fail_nothing() -> None:
    """A character's number of more digits than Python reads is a sign that stands for none."""
    page = PAGE | {"title": "&#" + "9" * 5000 + ";", "content": "&#x" + "f" * 5000}
    async with world((answer(json.dumps({"results": [page]}).encode()),)) as made:
        [result] = (await made.find()).results

    assert (result.title, result.text) == ("\ufffd", "\ufffd")


async def test_answer_that_cannot_be_read_is_its_providers_failure() -> None:
    """The next one is asked; nobody rests, for the next answer may be fine."""
    page = PAGE | {"score": 0}
    unreadable = json.dumps({"results": [page]}).replace(": 0", ": " + "9" * 5000)
    async with world((answer(unreadable.encode()), GOOD), (GOOD,)) as made:
        first = (await made.find()).provider.name
        second = (await made.find()).provider.name

    assert (first, second) == ("p1", "p0")


async def test_log_has_neither_query_nor_results_nor_key(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A line a search: who, how it went, how long."""
    caplog.set_level(logging.DEBUG, "tollgate")
    async with world((DOWN,), (GOOD,)) as made:
        await made.find()

    lines = [vars(record) for record in caplog.records if record.name.startswith("tollgate")]
    assert [(line["msg"], line["provider"]) for line in lines] == [
        ("search failed", "p0"),
        ("searched", "p1"),
    ]
    assert (lines[0]["reason"], lines[0]["status"], lines[1]["results"]) == ("unavailable", 500, 1)
    for word in ("zeppelin", "quagmire", "xylophone", "vuvuzela", KEY):
        assert word not in str(lines)
