"""botocore's clients with a lean loader do what its own do, but for the reading."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.loaders import Loader
from botocore.session import get_session
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from tollgate import trust
from tollgate.aws import botocore_clients
from tollgate.aws.answers import Answer
from tollgate.aws.botocore_clients import make_botocore_client as make_botocores
from tollgate.aws.client import AwsClient
from tollgate.aws.clients import make_client
from tollgate.aws.errors import AwsUnansweredError
from tollgate.aws.wire import Limits
from tollgate.trust import make_amazon_context

from tests.fakes.replay_upstream import serve_in_thread

WHOLE = Loader()  # reads all that botocore reads, once
REGIONS = [
    region for one in WHOLE.load_data("partitions")["partitions"] for region in one["regions"]
]
USUAL_REGIONS = [
    region
    for one in WHOLE.load_data("partitions")["partitions"]
    for region in one["regions"]
    if one["id"] in ("aws", "aws-us-gov") and "global" not in region
]
QUICK = Limits(connect_timeout_s=1.0, read_timeout_s=1.0, attempts_max=3)
CALLS: dict[str, Callable[[Any], Any]] = {
    "dynamodb": lambda client: client.get_item(TableName="t", Key={"pk": {"S": "p"}}),
    "secretsmanager": lambda client: client.get_secret_value(SecretId="s"),
}
KEYS = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret"}


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keys of a test's; no profile and no role of the machine's own."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "REQUESTS_CA_BUNDLE")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


def make_plain_client(service: str, region: str) -> Any:
    session = get_session()
    session.register_component("data_loader", WHOLE)
    return session.create_client(service, region_name=region)


def send(client: Any, service: str) -> AWSRequest:
    """Return the request as it would be sent; it is not."""
    requests: list[AWSRequest] = []

    def keep(request: AWSRequest, **_: object) -> AWSResponse:
        requests.append(request)
        answer = AWSResponse(request.url, 200, {}, None)
        answer._content = b"{}"
        return answer

    client.meta.events.register("before-send", keep)
    CALLS[service](client)
    return requests[0]


def scope_of(request: AWSRequest) -> tuple[str, ...]:
    """Return region, service and kind of signature."""
    credential = bytes(request.headers["authorization"]).decode().split("Credential=")[1]
    return tuple(credential.split(",")[0].split("/")[2:])


@pytest.mark.parametrize("service", CALLS)
@pytest.mark.parametrize("region", REGIONS)
def test_endpoint_and_scope_are_botocores(service: str, region: str) -> None:
    """In every region of every partition, without the rules that botocore would read for it."""
    expected = send(make_plain_client(service, region), service)
    found = send(make_botocores(service, region=region, limits=QUICK), service)

    assert (found.url, scope_of(found)) == (expected.url, scope_of(expected))
    assert found.headers["x-amz-target"] == expected.headers["x-amz-target"]


class Wire:
    """Takes a call and gives no answer."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}

    def post(self, headers: dict[str, str], _: bytes, *, is_fresh: bool) -> Answer:
        self.headers = headers
        raise AwsUnansweredError

    def close(self) -> None:
        """Have nothing to close."""


@pytest.mark.parametrize("service", CALLS)
@pytest.mark.parametrize("region", USUAL_REGIONS)
def test_lean_endpoint_and_scope_are_botocores(
    monkeypatch: pytest.MonkeyPatch, service: str, region: str
) -> None:
    """In every region in which the lean client is used: AWS's usual ones and GovCloud's."""
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "chat")
    expected = send(make_plain_client(service, region), service)
    client, wire = make_client(service, region=region, limits=QUICK), Wire()
    assert isinstance(client, AwsClient)
    assert f"https://{client._wire._host}/" == expected.url
    assert client._wire._tls is make_amazon_context()

    client._wire = wire
    with pytest.raises(AwsUnansweredError):
        CALLS[service](client)

    [scope] = re.findall(r"Credential=AKID/\d{8}/([^,]+),", wire.headers["authorization"])
    assert tuple(scope.split("/")) == scope_of(expected)
    assert f"https://{wire.headers['host']}/" == expected.url
    for name in ("x-amz-target", "content-type"):
        assert wire.headers[name] == _text(expected.headers[name])


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode()


@pytest.mark.parametrize("variable", ["AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"])
@pytest.mark.parametrize("region", ["us-east-1", "us-gov-west-1", "eu-central-1"])
def test_unusual_endpoints_are_botocores(
    monkeypatch: pytest.MonkeyPatch, variable: str, region: str
) -> None:
    """Whoever asks for them gets them: botocore reads its rules then."""
    monkeypatch.setenv(variable, "true")
    usual = f"https://dynamodb.{region}.amazonaws.com/"
    expected = send(make_plain_client("dynamodb", region), "dynamodb")
    found = send(make_botocores("dynamodb", region=region, limits=QUICK), "dynamodb")

    assert found.url == expected.url
    assert (found.url == usual) is (region == "us-gov-west-1" and "FIPS" in variable)


def test_endpoint_and_keys_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Lambda hands them down: keys with a session's token; and a service's own endpoint."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "https://dynamodb.vpce.example")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ASIA")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")

    request = send(make_botocores("dynamodb", region="eu-west-1", limits=QUICK), "dynamodb")

    assert request.url == "https://dynamodb.vpce.example/"
    assert scope_of(request) == ("eu-west-1", "dynamodb", "aws4_request")
    assert b"Credential=ASIA/" in request.headers["authorization"]
    assert request.headers["x-amz-security-token"] in ("token", b"token")


def test_keys_of_a_containers_role(monkeypatch: pytest.MonkeyPatch) -> None:
    """As SnapStart and containers hand them down: asked of an address, with a token."""
    asked = []

    async def answer(request: Request) -> Response:
        asked.append(request.headers["authorization"])
        keys = {"AccessKeyId": "ASIA", "SecretAccessKey": "secret", "Token": "of-role"}
        return JSONResponse(keys | {"Expiration": "2099-01-01T00:00:00Z"})

    with serve_in_thread(Starlette(routes=[Route("/role", answer)])) as url:
        for name in KEYS:
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{url}/role")
        monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "let-me-in")
        request = send(make_botocores("dynamodb", region="us-east-1", limits=QUICK), "dynamodb")

    assert asked == ["let-me-in"]
    assert request.headers["x-amz-security-token"] in ("of-role", b"of-role")


def test_failures_are_tried_again() -> None:
    """The configured number of times, as botocore's standard mode does."""
    asked = []

    async def answer(request: Request) -> Response:
        asked.append(json.loads(await request.body()))
        return JSONResponse({} if len(asked) == 3 else {"message": "no"}, 200 if asked[2:] else 500)

    with serve_in_thread(Starlette(routes=[Route("/", answer, methods=["POST"])])) as url:
        client = make_botocores("dynamodb", region="us-east-1", limits=QUICK, endpoint_url=url)
        CALLS["dynamodb"](client)

    assert asked == [{"TableName": "t", "Key": {"pk": {"S": "p"}}}] * 3


def test_settings_that_are_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile that is nowhere is an error of ours, and so is a lack of keys."""
    with monkeypatch.context() as patch:
        patch.setenv("AWS_PROFILE", "nowhere")
        with pytest.raises(AwsUnansweredError):
            make_client("dynamodb", region="us-east-1", limits=QUICK)
    for name in KEYS:
        monkeypatch.delenv(name)
    client = make_client("dynamodb", region="us-east-1", limits=QUICK)
    with pytest.raises(AwsUnansweredError):
        CALLS["dynamodb"](client)


@pytest.fixture
def roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A layer's file of Amazon's roots."""
    file = tmp_path / "amazon.pem"
    file.touch()
    monkeypatch.setattr(
        botocore_clients, "find_amazon_roots", lambda: trust.find_amazon_roots(tmp_path)
    )
    return file


def verify_of(client: Any) -> object:
    return client._endpoint.http_session._verify


@pytest.mark.parametrize(
    ("region", "endpoint_url", "variable", "is_amazons"),
    [
        ("us-east-1", None, None, True),
        ("us-gov-west-1", None, None, True),
        ("ap-southeast-7", None, None, True),
        ("cn-north-1", None, None, False),
        ("eusc-de-east-1", None, None, False),
        ("us-east-1", "https://db.example", None, False),
        ("us-east-1", None, ("AWS_ENDPOINT_URL_DYNAMODB", "https://db.example"), False),
        ("us-east-1", None, ("AWS_ENDPOINT_URL", "https://db.example"), False),
        ("us-east-1", None, ("AWS_CA_BUNDLE", "/own.pem"), False),
    ],
)
def test_amazons_roots_are_for_awss_own_endpoints(
    roots: Path,
    monkeypatch: pytest.MonkeyPatch,
    region: str,
    endpoint_url: str | None,
    variable: tuple[str, str] | None,
    is_amazons: bool,
) -> None:
    """Elsewhere botocore trusts whom it would trust, or whom the operator says."""
    if variable:
        monkeypatch.setenv(*variable)
    client = make_botocores("dynamodb", region=region, limits=QUICK, endpoint_url=endpoint_url)

    assert (verify_of(client) == str(roots)) is is_amazons
    if variable == ("AWS_CA_BUNDLE", "/own.pem"):
        assert verify_of(client) == "/own.pem"
