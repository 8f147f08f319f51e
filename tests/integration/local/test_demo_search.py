"""The demo search, as SearXNG answers."""

import socket
from collections.abc import AsyncIterator

import httpx
import pytest

from local.demo_search import find_pages
from local.demo_upstream import make_demo_app
from local.serving import serving


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        async with (
            serving(make_demo_app(chunks_per_s=0), listener),
            httpx.AsyncClient(base_url=url, trust_env=False) as client,
        ):
            yield client


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_found_by_a_word(client: httpx.AsyncClient, method: str) -> None:
    """In an address or a form."""
    fields = {"q": "who was out in the storm?", "format": "json"}
    where = {"params": fields} if method == "GET" else {"data": fields}
    answer = (await client.request(method, "/search", **where)).json()  # type: ignore[arg-type]

    assert [page["url"] for page in answer["results"]] == ["https://example.net/storm"]
    assert set(answer) == {
        *("query", "results", "answers", "corrections", "infoboxes", "suggestions"),
        "unresponsive_engines",
    }


@pytest.mark.parametrize(
    ("fields", "status"),
    [({"q": "demo-search-fail", "format": "json"}, 500), ({"q": "toll"}, 403)],
)
async def test_failures(client: httpx.AsyncClient, fields: dict[str, str], status: int) -> None:
    """On demand, and where JSON was not asked for, as where an instance does not allow it."""
    assert (await client.post("/search", data=fields)).status_code == status


def test_pages() -> None:
    """Some for any query, none on demand, a hostile one in front on demand."""
    assert len(find_pages("xyzzy")) == 3
    assert find_pages("demo-search-empty") == []
    assert "PWNED" in find_pages("demo-search-inject")[0]["content"]
