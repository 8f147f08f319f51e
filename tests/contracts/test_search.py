"""What each search provider's adapter owes the search, over sockets and with documented answers.

The bodies are made after the providers' references; SearXNG's own answers are in tests/data.
"""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tollgate.core.catalog import SafeSearch, SearchKind, SearchProvider
from tollgate.core.search_results import SearchResult
from tollgate.core.units import Micropoints
from tollgate.errors import WebSearchFailedError
from tollgate.upstream.client import new_http_client
from tollgate.upstream.keys import EnvKeys
from tollgate.upstream.search.client import ANSWER_BYTES_MAX, APIS, WebSearch

from tests.fakes.scripted_server import Script, ScriptedServer, answer, hang, raw, serving, stream

KEY = "search-key-0123456789"
QUERY = "toll gates & turnpikes in 硬币"
FOUND = [
    ("Toll gates", "https://example.org/gates", "A gate stops a cart.", "2026-11-20"),
    ("Münzen", "http://example.com/m?x=1&y=2", "", None),
]


def _searxng(entries: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "query": QUERY,
        "results": [
            {
                "url": entry["url"],
                "title": entry["title"],
                "content": entry["text"],
                "engine": "brave",
                "engines": ["brave"],
                "score": 1.0,
                "category": "general",
                "publishedDate": entry["date"] and f"{entry['date']}T07:30:00",
            }
            for entry in entries
        ],
        "answers": [],
        "corrections": [],
        "infoboxes": [],
        "suggestions": [],
        "unresponsive_engines": [],
    }


def _tavily(entries: list[dict[str, Any]]) -> dict[str, Any]:
    days = {"2026-11-20": "Fri, 20 Nov 2026 07:30:00 GMT"}
    return {
        "query": QUERY,
        "follow_up_questions": None,
        "answer": None,
        "images": [],
        "results": [
            {
                "title": entry["title"],
                "url": entry["url"],
                "content": entry["text"],
                "score": 0.87,
                "raw_content": None,
            }
            | ({"published_date": days[entry["date"]]} if entry["date"] else {})
            for entry in entries
        ],
        "response_time": 0.9,
        "request_id": "r",
    }


def _brave(entries: list[dict[str, Any]]) -> dict[str, Any]:
    web = {
        "type": "search",
        "results": [
            {
                "type": "search_result",
                "subtype": "generic",
                "title": entry["title"],
                "url": entry["url"],
                "description": entry["text"],
                "language": "en",
                "family_friendly": True,
                "meta_url": {"hostname": "example.org"},
            }
            | ({"page_age": f"{entry['date']}T07:30:00", "age": "4d"} if entry["date"] else {})
            for entry in entries
        ],
        "family_friendly": True,
    }
    answer = {"type": "search", "query": {"original": QUERY, "more_results_available": True}}
    return answer | ({"web": web} if entries else {})


def _sent_form(server: ScriptedServer) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(server.raw_bodies[-1].decode()).items()}


def _sent_json(server: ScriptedServer) -> dict[str, str]:
    sent = {name: str(value) for name, value in server.bodies[-1].items()}
    return {"q": sent.pop("query")} | sent


def _sent_address(server: ScriptedServer) -> dict[str, str]:
    query = urlsplit(server.paths[-1]).query
    return {name: values[0] for name, values in parse_qs(query).items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """How one kind is asked and answers. `safe_search`: its parameter and three values.

    `sent`: all that is sent beside query, safe search and options, for seven results.
    """

    kind: SearchKind
    make_answer: Callable[[list[dict[str, Any]]], dict[str, Any]]
    read_sent: Callable[[ScriptedServer], dict[str, str]]
    path: str
    key_header: tuple[str, str]
    safe_search: tuple[str, str | None, str, str]
    sent: Mapping[str, str]
    options: Mapping[str, str]


BENCHES = [
    Bench(
        kind="searxng",
        make_answer=_searxng,
        read_sent=_sent_form,
        path="/v1/search",
        key_header=("authorization", f"Bearer {KEY}"),
        safe_search=("safesearch", "0", "1", "2"),
        sent={"format": "json"},
        options={"language": "de", "engines": "mojeek,brave"},
    ),
    Bench(
        kind="tavily",
        make_answer=_tavily,
        read_sent=_sent_json,
        path="/v1/search",
        key_header=("authorization", f"Bearer {KEY}"),
        safe_search=("safe_search", None, "True", "True"),
        sent={
            "max_results": "7",
            "include_answer": "False",
            "include_images": "False",
            "include_raw_content": "False",
        },
        options={"search_depth": "advanced", "topic": "news"},
    ),
    Bench(
        kind="brave",
        make_answer=_brave,
        read_sent=_sent_address,
        path="/v1/res/v1/web/search",
        key_header=("x-subscription-token", KEY),
        safe_search=("safesearch", "off", "moderate", "strict"),
        sent={"count": "7", "text_decorations": "false", "result_filter": "web"},
        options={"country": "DE", "search_lang": "de"},
    ),
]


@pytest.fixture(params=BENCHES, ids=[bench.kind for bench in BENCHES])
def bench(request: pytest.FixtureRequest) -> Bench:
    found: Bench = request.param
    return found


def test_every_kind_has_a_bench() -> None:
    """A new adapter cannot stay outside of this suite."""
    assert {bench.kind for bench in BENCHES} == set(APIS)


def entries(*rows: tuple[str, str, str, str | None]) -> list[dict[str, Any]]:
    return [dict(zip(("title", "url", "text", "date"), row, strict=True)) for row in rows]


def good(bench: Bench, *rows: tuple[str, str, str, str | None]) -> Script:
    return answer(json.dumps(bench.make_answer(entries(*rows))).encode())


@asynccontextmanager
async def searching(
    bench: Bench, *scripts: Script, **fields: Any
) -> AsyncIterator[tuple[Callable[[], Any], ScriptedServer]]:
    """Yield a search at a provider with these scripts, and the provider's server."""
    async with new_http_client() as http, serving(*scripts) as server:
        search = WebSearch(http, EnvKeys({"KEY": KEY}))
        provider = SearchProvider(
            name="p",
            kind=bench.kind,
            base_url=server.base_url,
            price=Micropoints(5),
            **{"key_name": "KEY", "timeout_s": 5.0, **fields},
        )
        yield lambda: search.search(QUERY, [provider], budget_s=20.0), server


async def find(bench: Bench, *scripts: Script, **fields: Any) -> list[SearchResult]:
    async with searching(bench, *scripts, **fields) as (search, _):
        return [*(await search()).results]


async def test_results_have_title_address_text_and_day(bench: Bench) -> None:
    """In the provider's order; a result without a text or a day is one."""
    found = await find(bench, good(bench, *FOUND))

    assert [(one.title, one.url, one.text, one.date) for one in found] == FOUND


async def test_nothing_found_is_an_answer(bench: Bench) -> None:
    """An empty list is no failure."""
    assert await find(bench, good(bench)) == []


async def test_odd_entries_spoil_nothing(bench: Bench) -> None:
    """What is no result is skipped, what has no text has none, markup goes."""
    body = bench.make_answer(
        entries(("A <b>b</b> &amp; c", "https://example.org/1", "x", None), *FOUND)
    )
    results = body["web"]["results"] if bench.kind == "brave" else body["results"]
    results[1] = {"url": "https://example.org/2", "title": None, "content": 5, "description": []}
    results[2] = {"url": None, "title": "no address"}
    results.append({"url": "https://example.org/3", "title": "&#" + "9" * 5000 + ";"})
    results += [None, "text", 5, [], {}]

    found = await find(bench, answer(json.dumps(body).encode()))

    assert [(one.title, one.url) for one in found] == [
        ("A b & c", "https://example.org/1"),
        ("https://example.org/2", "https://example.org/2"),
        ("\ufffd", "https://example.org/3"),
    ]


async def test_query_and_key_are_sent(bench: Bench) -> None:
    """The whole query, whatever its letters; the key in its header and nowhere else."""
    async with searching(bench, good(bench)) as (search, server):
        await search()
        sent = bench.read_sent(server)

    name, value = bench.key_header
    assert (sent["q"], urlsplit(server.paths[0]).path) == (QUERY, bench.path)
    assert server.headers[0][name] == value
    assert KEY not in server.paths[0].encode().decode() + server.raw_bodies[0].decode()
    assert server.headers[0]["accept"] == "application/json"


async def test_no_key_where_none_is_named() -> None:
    """SearXNG may stand open in a private network."""
    async with searching(BENCHES[0], good(BENCHES[0]), key_name=None) as (search, server):
        await search()

    assert "authorization" not in server.headers[0]


@pytest.mark.parametrize(("position", "level"), [(0, "off"), (1, "moderate"), (2, "strict")])
async def test_safe_search(bench: Bench, position: int, level: SafeSearch) -> None:
    """Each level in the provider's own words."""
    async with searching(bench, good(bench), safe_search=level) as (search, server):
        await search()
        sent = bench.read_sent(server)

    name, *values = bench.safe_search
    assert sent.get(name) == values[position]


async def test_all_that_is_sent(bench: Bench) -> None:
    """The catalog's options go as they are, no more results are asked for than are shown, and
    nothing is asked for that is not used.
    """  # noqa: D205 - one sentence
    fields: dict[str, Any] = {"options": bench.options, "results_max": 7, "safe_search": "strict"}
    async with searching(bench, good(bench), **fields) as (search, server):
        await search()
        sent = bench.read_sent(server)

    name, *_, strict = bench.safe_search
    assert sent == {"q": QUERY, name: strict, **bench.sent, **bench.options}


NO_RESULTS: dict[str, Script] = {
    "html": answer(b"<html>busy</html>", content_type="text/html"),
    "not-json": answer(b'{"results": ['),
    "not-utf-8": answer(b'{"results": "\xff"}'),
    "list": answer(b"[]"),
    "error-under-200": answer(b'{"error": "quota"}'),
    "results-an-object": answer(b'{"results": {}, "web": {"results": {}}}'),
    "results-null": answer(b'{"results": null, "web": null, "type": "search"}'),
    "empty-body": answer(b""),
    "no-http": raw(b"SSH-2.0-x\r\n\r\n"),
    "reset": raw(b"", ending="reset"),
    "breaks-off": stream(b'{"results": [', ending="close"),
    "hangs": hang,
    "stalls": stream(b'{"results": [', ending="hang"),
    "too-large": answer(b'{"results": [' + b" " * ANSWER_BYTES_MAX + b"]}"),
    "too-large-in-pieces": stream(*[b" " * 65_536] * 40),
    "redirect": answer(status=302, head="location: http://127.0.0.1:1/\r\n"),
    **{f"status-{status}": answer(b'{"detail": "x"}', status=status) for status in
       (400, 401, 402, 403, 404, 422, 429, 432, 500, 502, 503, 504)},
}  # fmt: skip


@pytest.mark.parametrize("case", NO_RESULTS)
async def test_whatever_is_no_answer_is_a_failure(bench: Bench, case: str) -> None:
    """One error, in bounded time, that says nothing of the operator's trouble."""
    is_hung = case in ("hangs", "stalls")
    with pytest.raises(WebSearchFailedError) as caught:
        await find(bench, NO_RESULTS[case], timeout_s=0.5 if is_hung else 15.0)

    is_late = is_hung or case == "status-504"
    assert str(caught.value) == str(WebSearchFailedError(is_timeout=is_late))


async def test_a_search_is_not_repeated_on_a_connection_of_its_own(bench: Bench) -> None:
    """It may have been made, and each is paid for."""
    async with searching(bench, raw(b"", ending="reset"), good(bench)) as (search, server):
        with pytest.raises(WebSearchFailedError):
            await search()

    assert len(server.paths) == 1


async def test_a_redirect_is_not_followed(bench: Bench) -> None:
    """The key and the query go where the catalog says."""
    async with serving(good(bench)) as elsewhere:
        moved = answer(status=307, head=f"location: {elsewhere.base_url}/search\r\n")
        with pytest.raises(WebSearchFailedError):
            await find(bench, moved)

    assert elsewhere.paths == []
