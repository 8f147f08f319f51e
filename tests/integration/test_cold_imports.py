"""What a function does not import when it starts cold, seen in a process of its own."""

import os
import subprocess
import sys

import pytest

from local.sandbox import ROOT

HEAVY = ("fastapi", "pydantic", "httpx", "tiktoken", "boto3")


@pytest.mark.parametrize(
    ("function", "absent"),
    [
        ("models", HEAVY),
        ("billing", ("httpx", "tiktoken", "boto3")),
        ("chat", ("tiktoken", "boto3", "tollgate.upstream.bedrock")),
        ("images", ("tiktoken", "boto3", "tollgate.upstream.bedrock")),
    ],
)
def test_function_starts_without(function: str, absent: tuple[str, ...]) -> None:
    """Each of these takes longer to import than the function's own modules do."""
    code = f"import sys, functions.{function}.app; print(*sys.modules)"
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'layers' / 'common'}"}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )

    loaded = set(result.stdout.split())
    assert f"functions.{function}.app" in loaded
    assert loaded.isdisjoint(absent)


def run(code: str, **environment: str) -> str:
    """Return what a process of its own prints."""
    path = {"PYTHONPATH": f"{ROOT}:{ROOT / 'layers' / 'common'}"}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | path | environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


LAMBDA = {
    "PATH": "/usr/bin:/bin",
    "PYTHONPATH": f"{ROOT}:{ROOT / 'layers' / 'common'}",
    "AWS_LAMBDA_FUNCTION_NAME": "function",
    "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
    "AWS_REGION": "eu-central-1",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "ASIA",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_SESSION_TOKEN": "token",
    "AWS_XRAY_DAEMON_ADDRESS": "169.254.79.129:2000",
    "TOLLGATE_PROVIDER_SECRET": "tollgate",
}


def run_on_lambda(code: str, change: dict[str, str]) -> str:
    """Return what a new process prints, in Lambda's environment with a change."""
    found = subprocess.run(
        [sys.executable, "-c", code],
        env=LAMBDA | change,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return found.stdout


@pytest.mark.parametrize("module", ["chat.app", "images.app", "models.app", "billing.app"])
@pytest.mark.parametrize("change", [{}, {"TOLLGATE_DYNAMODB_URL": "http://127.0.0.1:9"}])
def test_requests_need_no_botocore(module: str, change: dict[str, str]) -> None:
    """On Lambda as it comes all parts are made without it, the reader of the secret among them."""
    code = f"""
import sys, functions.{module}
from tollgate.aws.clients import make_client
from tollgate.provider_keys import _LIMITS
make_client("secretsmanager", region="eu-central-1", limits=_LIMITS)
print(sum(name.partition(".")[0] in ("boto3", "botocore", "urllib3") for name in sys.modules))
"""
    assert run_on_lambda(code, change) == "0\n"


def test_sweep_needs_no_botocore_but_where_aws_is_unusual() -> None:
    """The control: a variable of AWS's tools brings it back, before the first event."""
    code = "import sys, functions.billing.sweep\nprint('botocore.session' in sys.modules)"
    for change, expected in (({}, "False\n"), ({"AWS_CONFIG_FILE": "/dev/null"}, "True\n")):
        assert run_on_lambda(code, change) == expected


def test_models_of_openapi_wait_until_they_are_called() -> None:
    """A function starts without them, and FastAPI still has its own where somebody asks."""
    code = """
import sys, functions.chat.app
print("fastapi.openapi.models" in sys.modules)
from fastapi import Depends, FastAPI
from fastapi.security import APIKeyHeader, HTTPBearer, OAuth2PasswordBearer
app = FastAPI(title="late")
for at, scheme in enumerate((APIKeyHeader(name="k"), HTTPBearer(), OAuth2PasswordBearer("t"))):
    app.get(f"/{at}", dependencies=[Depends(scheme)])(lambda: None)
found = app.openapi()
print(found["info"]["title"], *sorted(found["components"]["securitySchemes"]))
print(found["components"]["securitySchemes"]["APIKeyHeader"]["in"])
print("fastapi.openapi.models" in sys.modules)
"""

    assert run(code).split("\n")[:-1] == [
        "False",
        "late APIKeyHeader HTTPBearer OAuth2PasswordBearer",
        "header",
        "True",
    ]


def test_fastapi_that_is_there_already_stays_as_it_is() -> None:
    """A process that had FastAPI before, as tests have, keeps its models."""
    code = """
import fastapi.openapi.models as models, functions.chat.app, sys
print(sys.modules["fastapi.openapi.models"] is models, models.OpenAPI.__name__)
"""

    assert run(code) == "True OpenAPI\n"


@pytest.mark.parametrize(
    ("function", "parts"),
    [
        ("chat", ("services", "metering")),
        ("images", ("services", "metering")),
        ("models", ("services",)),
        ("billing", ("desk",)),
    ],
)
def test_parts_are_made_before_the_first_event(function: str, parts: tuple[str, ...]) -> None:
    """On Lambda: nothing is left to be made where a request has a seventh of a processor."""
    code = f"import functions.{function}.app as app\n" + "".join(
        f"print(app.get_{part}.cache_info().misses)\n" for part in parts
    )

    assert set(run(code, AWS_LAMBDA_INITIALIZATION_TYPE="on-demand").split()) == {"1"}
    assert set(run(code).split()) == {"0"}


def test_runtime_puts_the_start_aside_for_the_collector() -> None:
    """The collector works again, and does not look at what the imports left."""
    code = (
        "import gc, tollgate.runtime.entry\nprint(gc.isenabled(), gc.get_freeze_count() > 50_000)"
    )
    failing = "import gc\ntry: import tollgate.runtime.entry\nfinally: print(gc.isenabled())"

    assert run(code, _HANDLER="functions.chat.app.handler") == "True True\n"
    with pytest.raises(subprocess.CalledProcessError) as failure:
        run(failing, _HANDLER="functions.nothing.handler")
    assert failure.value.stdout == "True\n"
