"""The provider secret, read by either client from a Secrets Manager over a socket."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from tollgate import provider_keys
from tollgate.aws.clients import make_client
from tollgate.errors import ConfigurationError
from tollgate.provider_keys import make_key_source
from tollgate.settings import Settings

from tests.fakes.replay_upstream import serve_in_thread

BINARY = "c2VjcmV0"
NAME = "arn:aws:secretsmanager:us-east-1:123456789012:secret:tollgate"


@dataclass(slots=True)
class SecretsManager:
    """Answers GetSecretValue with `secret`, or with an error if that is None."""

    secret: str | None
    asked: list[Any] = field(default_factory=list)

    async def answer(self, request: Request) -> Response:
        self.asked.append((request.headers["x-amz-target"], await request.json()))
        if self.secret is None:
            return JSONResponse({"__type": "AccessDeniedException", "message": "no"}, 400)
        kind = "SecretBinary" if self.secret == BINARY else "SecretString"
        return JSONResponse({"ARN": NAME, "Name": "tollgate", kind: self.secret})


@pytest.fixture(params=["lean", "botocore"])
def manager(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SecretsManager]:
    """A Secrets Manager, and a client that is led to it."""
    manager = SecretsManager(json.dumps({"OPENAI_API_KEY": "sk-operator"}))
    app = Starlette(routes=[Route("/", manager.answer, methods=["POST"])])
    with serve_in_thread(app) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        if request.param == "lean":
            make = partial(make_client, endpoint_url=url)
            monkeypatch.setattr(provider_keys, "make_client", make)
        yield manager


async def test_keys_come_from_the_named_secret(manager: SecretsManager) -> None:
    """One read serves all keys; the secret is asked for by the name in the settings."""
    source = make_key_source(Settings.read({"TOLLGATE_PROVIDER_SECRET": NAME}))

    keys = [await source.key("OPENAI_API_KEY") for _ in range(2)]

    assert keys == ["sk-operator", "sk-operator"]
    assert manager.asked == [("secretsmanager.GetSecretValue", {"SecretId": NAME})]


@pytest.mark.parametrize("secret", [None, "not json", '{"OTHER": "x"}', BINARY])
async def test_secret_without_the_key_is_the_operators_mistake(
    manager: SecretsManager, secret: str | None
) -> None:
    """Refused, malformed or incomplete: an error that quotes no key."""
    manager.secret = secret
    source = make_key_source(Settings.read({"TOLLGATE_PROVIDER_SECRET": NAME}))

    with pytest.raises(ConfigurationError):
        await source.key("OPENAI_API_KEY")


async def test_without_a_secret_the_environment_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each key is the variable of its name."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-here")

    assert await make_key_source(Settings.read({})).key("OPENAI_API_KEY") == "sk-here"
