"""The models function on a ledger in memory: what a key may use, and every way to be refused."""

from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from tollgate.core.keys import make_key
from tollgate.ledger.model import Key
from tollgate.web.auth import Authenticator
from tollgate.web.live_catalog import LiveCatalog

from tests.functions import load_function
from tests.unit.web.test_app import call

NOW = datetime(2026, 11, 24, tzinfo=UTC)
SECRET = make_key(lambda characters: characters[0])
CATALOG = """
[channels.c]
base_url = "http://c"
"""
MODEL = """
[models."{name}"]
owned_by = "o"
created = 5
context_tokens_max = 1000
output_tokens_max = 100
{price}
channels = [{{ channel = "c", model = "x" }}]
"""
PRICE = "price = { input = 1, output = 1 }"


class Store:
    """A table with a catalog in it, and a key."""

    def __init__(self, key: Key) -> None:
        self.key = key

    def find_key(self, key_sha256: str) -> Key | None:
        return self.key

    def load_catalog(self, known_version: str | None) -> str | None:
        priced = [MODEL.format(name=name, price=PRICE) for name in ("b", "org/a", "c")]
        return "".join([CATALOG, *priced, MODEL.format(name="free-of-price", price="")])


def make_services(models: frozenset[str] | None) -> Any:
    key = Key(account_id="a", key_id="k", label="", status="active", created_at=NOW, models=models)
    store: Any = Store(key)
    return SimpleNamespace(
        authenticator=Authenticator(store, lambda: NOW), catalog=LiveCatalog(store, None)
    )


@pytest.fixture
def app() -> Iterator[Any]:
    """The app; `app.state.get_services` is a test's to change."""
    app = load_function("models").app
    before = app.state.get_services
    app.state.get_services = lambda: make_services(None)
    yield app
    app.state.get_services = before


async def get(app: Any, path: str, secret: str = SECRET) -> tuple[int, Any]:
    headers = [(b"authorization", f"Bearer {secret}".encode())]
    status, _, body = await call(app, "GET", path, headers=headers)
    return status, body


async def test_models_with_a_price_are_listed(app: Any) -> None:
    """Sorted, by their base names."""
    status, body = await get(app, "/v1/models")

    assert status == 200
    assert body["object"] == "list"
    assert [one["id"] for one in body["data"]] == ["b", "c", "org/a"]
    assert body["data"][0] == {"id": "b", "object": "model", "created": 5, "owned_by": "o"}


async def test_key_sees_its_models(app: Any) -> None:
    """A key with a list of models is offered no others."""
    app.state.get_services = lambda: make_services(frozenset({"b"}))

    assert [one["id"] for one in (await get(app, "/v1/models"))[1]["data"]] == ["b"]
    status, body = await get(app, "/v1/models/c")
    assert (status, body["error"]["code"]) == (403, "model_not_allowed")


@pytest.mark.parametrize("name", ["b", "web-b", "b-official", "org/a", "web-org/a-official"])
async def test_model_is_described_by_the_name_asked_for(app: Any, name: str) -> None:
    """With affixes, and with a slash in it."""
    status, body = await get(app, f"/v1/models/{name}")

    assert (status, body["id"], body["owned_by"]) == (200, name, "o")


@pytest.mark.parametrize("name", ["nobody", "free-of-price", "web-free-of-price"])
async def test_model_that_is_not_sold(app: Any, name: str) -> None:
    """Unknown and without a price are the same."""
    status, body = await get(app, f"/v1/models/{name}")

    assert (status, body["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/models", 401),
        ("GET", "/v1/models/b", 401),
        ("POST", "/v1/models", 405),
        ("DELETE", "/v1/models/b", 405),
        ("GET", "/v1/other", 404),
        ("OPTIONS", "/v1/models", 204),
    ],
)
async def test_every_answer_has_its_form(app: Any, method: str, path: str, status: int) -> None:
    """OpenAI's error object, a request id and CORS, without FastAPI too."""
    found, headers, body = await call(app, method, path)

    assert found == status
    assert headers["x-request-id"]
    assert headers["access-control-allow-origin"] == "*"
    if status >= 400:
        assert set(body["error"]) == {"message", "type", "param", "code"}
        assert body["error"]["type"] == "invalid_request_error"
