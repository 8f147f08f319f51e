"""Which environment gets the lean client."""

import pytest
from botocore.credentials import EnvProvider
from tollgate.aws import clients
from tollgate.aws.botocore_clients import TranslatingClient
from tollgate.aws.client import AwsClient
from tollgate.aws.clients import is_local, is_usual, make_client
from tollgate.aws.wire import Limits

LIMITS = Limits(connect_timeout_s=1.0, read_timeout_s=2.0, attempts_max=3)
LAMBDA = {  # what a function's environment has, as far as AWS's libraries look at it
    "AWS_ACCESS_KEY_ID": "ASIA",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_SESSION_TOKEN": "token",
    "AWS_REGION": "eu-central-1",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
    "AWS_LAMBDA_FUNCTION_NAME": "chat",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
    "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
    "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
    "AWS_XRAY_DAEMON_ADDRESS": "169.254.79.129:2000",
    "LAMBDA_TASK_ROOT": "/var/task",
    "NO_PROXY": "example",
    "HTTPS_PROXY": "",
}


def test_lambda_as_it_comes_is_usual() -> None:
    """With all the variables that Lambda sets, and empty ones."""
    assert is_usual(LAMBDA, "eu-central-1")
    assert is_usual(LAMBDA, "us-gov-west-1")


@pytest.mark.parametrize(
    "variable",
    [
        *("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"),
        *("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"),
        *("AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"),
        *("HTTP_PROXY", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"),
    ],
)
def test_what_aws_tools_understand_is_botocores(variable: str) -> None:
    """One such variable is enough."""
    assert not is_usual(LAMBDA | {variable: "x"}, "eu-central-1")


@pytest.mark.parametrize(
    "variable", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_LAMBDA_FUNCTION_NAME"]
)
def test_without_keys_or_lambda_it_is_botocores(variable: str) -> None:
    """SnapStart's keys are asked of an address; a laptop has profiles."""
    assert not is_usual(LAMBDA | {variable: ""}, "eu-central-1")


@pytest.mark.parametrize(
    "names",
    [
        (),
        ("AWS_SESSION_TOKEN",),
        ("AWS_SECURITY_TOKEN",),
        ("AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"),
    ],
)
def test_keys_are_those_that_botocore_takes(
    monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    """Under the token's older name too, which comes first."""
    environment = {"AWS_ACCESS_KEY_ID": "ASIA", "AWS_SECRET_ACCESS_KEY": "secret"}
    environment |= {name: f"of {name}" for name in names}
    monkeypatch.setattr(clients, "read_environment", lambda: environment)
    expected = EnvProvider(environment).load()

    found = clients._read_keys()

    assert (found.access_key, found.secret_key) == (expected.access_key, expected.secret_key)
    assert found.token == expected.token


@pytest.mark.parametrize(
    "region", ["cn-north-1", "us-iso-east-1", "us-isob-east-1", "eusc-de-east-1", "", "eu-west-1x"]
)
def test_other_partitions_are_botocores(region: str) -> None:
    """Their endpoints have other names or other roots."""
    assert not is_usual(LAMBDA, region)


@pytest.mark.parametrize(
    ("endpoint_url", "expected"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://localhost:8000", True),
        ("http://[::1]:8000", True),
        ("https://127.0.0.1:8000", False),
        ("http://database:8000", False),
        ("http://127.0.0.1.example", False),
        (None, False),
    ],
)
def test_database_on_this_machine(endpoint_url: str | None, expected: bool) -> None:
    """Over plain HTTP; whatever else is named is another's."""
    assert is_local(endpoint_url) is expected


@pytest.mark.parametrize(
    ("environment", "endpoint_url", "kind"),
    [
        (LAMBDA, None, AwsClient),
        (LAMBDA, "http://127.0.0.1:9", AwsClient),
        ({"HTTPS_PROXY": "http://p.example"}, "http://127.0.0.1:9", AwsClient),
        (LAMBDA, "https://db.example", TranslatingClient),
        (LAMBDA | {"AWS_CA_BUNDLE": "/own.pem"}, None, TranslatingClient),
    ],
)
def test_choice(
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    endpoint_url: str | None,
    kind: type,
) -> None:
    """A database on this machine is reached directly whatever the environment says."""
    monkeypatch.setattr(clients, "read_environment", lambda: environment)

    client = make_client(
        "dynamodb", region="eu-central-1", limits=LIMITS, endpoint_url=endpoint_url
    )

    assert type(client) is kind
    client.close()
