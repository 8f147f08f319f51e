"""Running gateways, as `make run` starts them, each in a home of its own."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tollgate.core.keys import key_sha256, make_key
from tollgate.core.units import Micropoints
from tollgate.ledger.accounts import DynamoAccounts
from tollgate.ledger.connection import connect
from tollgate.ledger.model import Key

from local.dynamodb import install
from local.processes import free_port, stop
from tests.e2e.gateway import GATEWAY, Gateway
from tests.fakes.bedrock import CREDENTIALS
from tests.fakes.bedrock_app import REGION, make_bedrock_app
from tests.fakes.replay_upstream import serve_in_thread

ROOT = Path(__file__).parent.parent.parent
STARTED_WITHIN_S = 300.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep these tests in one worker, whose gateways are started once; the vendors' in another."""
    for item in items:
        if "e2e" in item.path.parts:
            group = "vendors" if item.path.stem == "test_vendors" else "e2e"
            item.add_marker(pytest.mark.xdist_group(group))


@contextmanager
def run_gateway(home: Path, *arguments: str, **environment: str) -> Iterator[Gateway]:
    """Start the gateway and yield what its gateway.json says."""
    with (home / "console.log").open("wb") as console:
        process = subprocess.Popen(
            [sys.executable, "-m", GATEWAY, "--port", "0", "--home", str(home), *arguments],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'layers' / 'common'}"} | environment,
            stdout=console,
            stderr=subprocess.STDOUT,
        )
    try:
        yield _wait_for(process, home)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            stop(process)
            raise


def _wait_for(process: subprocess.Popen[bytes], home: Path) -> Gateway:
    described = home / "gateway.json"
    deadline = time.monotonic() + STARTED_WITHIN_S
    while not described.is_file():
        said = (home / "console.log").read_text()
        assert process.poll() is None, said
        assert time.monotonic() < deadline, said
        time.sleep(0.05)
    fields = json.loads(described.read_text())
    del fields["pid"]
    return Gateway(**fields)


def link_database(home: Path) -> Path:
    """Let a new home use the jars of the project's own, which `make run` would fetch."""
    lib = install(ROOT / ".local")
    (home / "dynamodb").mkdir(parents=True)
    (home / "dynamodb" / "lib").symlink_to(lib)
    return home


def open_account(gateway: Gateway, name: str, balance: int) -> Gateway:
    """Return the same gateway with another account's key."""
    client = connect(region="us-east-1", endpoint_url=gateway.dynamodb_url)
    accounts, now = DynamoAccounts(client, gateway.table), datetime.now(UTC)
    key = make_key(secrets.choice)
    accounts.create_account(name, now)
    if balance:
        accounts.grant(name, "test", Micropoints(balance), at=now, note="test")
    record = Key(
        account_id=name, key_id=f"key_{name}", label="test", status="active", created_at=now
    )
    accounts.create_key(record, key_sha256(key))
    return replace(gateway, api_key=key, account=name)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return link_database(tmp_path_factory.mktemp("gateway"))


@pytest.fixture(scope="session")
def running_gateway(home: Path) -> Iterator[Gateway]:
    with run_gateway(home, TOLLGATE_DEMO_PATIENCE_S="2") as gateway:
        yield gateway


@pytest.fixture
def gateway(running_gateway: Gateway) -> Gateway:
    """The gateway with its demo account, nothing held."""
    running_gateway.wait_until_settled()
    return running_gateway


@pytest.fixture(scope="session")
def keepalive_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that fills a silence of half a second, and waits 2.5 s for its upstream.

    For a padded answer it waits twice as long.
    """
    home = link_database(tmp_path_factory.mktemp("keepalive"))
    with run_gateway(home, TOLLGATE_KEEPALIVE_S="0.5", TOLLGATE_DEMO_PATIENCE_S="2.5") as gateway:
        yield gateway


@pytest.fixture
def gateway_logs(home: Path) -> Callable[[], str]:
    """Read what the functions have logged, and the console from where the key has been shown."""

    def read() -> str:
        console = (home / "console.log").read_text().partition("balances are kept.")[2]
        return (home / "functions.log").read_text() + console

    return read


@pytest.fixture
def poor_gateway(running_gateway: Gateway) -> Gateway:
    """An account without a point."""
    return open_account(running_gateway, f"poor-{secrets.token_hex(4)}", 0)


@pytest.fixture
def modest_gateway(running_gateway: Gateway) -> Gateway:
    """An account with a tenth of a point: about a hundred tokens of the demo's output."""
    return open_account(running_gateway, f"modest-{secrets.token_hex(4)}", 100_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragile:
    """A gateway of its own, whose database the test may stop."""

    gateway: Gateway
    home: Path

    def signal_database(self, name: str) -> None:
        """Send KILL, STOP or CONT to the database's process."""
        data = str(self.home / "dynamodb" / "data")
        subprocess.run(["pkill", f"-{name}", "-f", data], check=True)


@pytest.fixture
def fragile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fragile]:
    home = link_database(tmp_path_factory.mktemp("fragile"))
    with run_gateway(home) as gateway:
        yield Fragile(gateway=gateway, home=home)


@pytest.fixture(scope="session")
def dead_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with one model, whose upstream is dead, and no search provider."""
    home = link_database(tmp_path_factory.mktemp("dead"))
    catalog = home / "dead.toml"
    catalog.write_text(_DEAD.format(port=free_port()))
    with run_gateway(home, "--catalog", str(catalog)) as gateway:
        yield gateway


_DEAD = """
[channels.dead]
base_url = "http://127.0.0.1:{port}"

[models.dead]
context_tokens_max = 128000
output_tokens_max = 16384
price = {{ input = 250, cached_input = 125, output = 1000 }}
channels = ["dead"]
"""


@pytest.fixture(scope="session")
def bedrock_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with a role, a channel of kind bedrock, and no vendor's key."""
    home = link_database(tmp_path_factory.mktemp("bedrock"))
    catalog = home / "bedrock.toml"
    with serve_in_thread(make_bedrock_app()) as url:
        catalog.write_text(
            f'[channels.bedrock]\nkind = "bedrock"\nregion = "{REGION}"\nbase_url = "{url}"\n'
            + _describe_bedrock("echo", "demo.echo-v1:0")
            + _describe_bedrock("tools", "demo.tools-v1:0")
            + _describe_bedrock("broken", "demo.broken-v1:0")
            + _describe_bedrock("throttled", "demo.throttled-v1:0")
            + _describe_bedrock("failover", "demo.throttled-v1:0", "demo.echo-v1:0")
        )
        with run_gateway(
            home,
            "--catalog",
            str(catalog),
            AWS_ACCESS_KEY_ID=CREDENTIALS.access_key,
            AWS_SECRET_ACCESS_KEY=CREDENTIALS.secret_key,
            AWS_SESSION_TOKEN=CREDENTIALS.token,
        ) as gateway:
            yield gateway


def _describe_bedrock(name: str, *models: str) -> str:
    routes = ", ".join(
        f'{{ channel = "bedrock", model = "{model}", priority = {priority} }}'
        for priority, model in enumerate(models)
    )
    return f"""
[models."{name}"]
context_tokens_max = 128000
output_tokens_max = 4096
price = {{ input = 300, cached_input = 30, cache_write = 375, output = 1500 }}
channels = [{routes}]
"""
