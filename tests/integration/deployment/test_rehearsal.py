"""A deployment to moto, and what stands there then; docs/operations.md lists what that shows."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.runtime_api import Kind
from local.sandbox import ROOT, Launch, Pool
from local.template import Function
from tests.rehearsal import BY_CALL, CREDENTIALS, LEFT, Rehearsal, rehearse, serving_moto

SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:tollgate-AbCdEf"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    """A stack with an address for alarms, a dashboard and a secret."""
    folder = tmp_path_factory.mktemp("rehearsal")
    with serving_moto(folder / "moto.log") as url:
        yield rehearse(
            url, folder, AlarmEmail="ops@example.com", Dashboard="on", ProviderSecretArn=SECRET
        )


pytestmark = pytest.mark.xdist_group("rehearsal")  # one moto for all


def test_all_is_made_but_what_is_listed(made: Rehearsal) -> None:
    """CloudFormation's part; a new kind of resource has to be rehearsed, or listed as left."""
    resources = made.template["Resources"]
    chosen_not = {"DomainRecord"}

    assert (
        made.physical.keys()
        == {name for name, one in resources.items() if one["Type"] not in {*BY_CALL, *LEFT}}
        - chosen_not
    )


def test_table_is_as_the_store_needs_it(made: Rehearsal) -> None:
    """Keys, index, protection; moto's CloudFormation ignores the point-in-time recovery."""
    database = made.client("dynamodb")
    table = database.describe_table(TableName=made.outputs["TableName"])["Table"]

    assert [one["AttributeName"] for one in table["KeySchema"]] == ["pk", "sk"]
    assert [one["IndexName"] for one in table["GlobalSecondaryIndexes"]] == ["open-accounts"]
    assert table["DeletionProtectionEnabled"] is True
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"


def test_functions_have_their_environment_and_code(made: Rehearsal) -> None:
    """The table's real name, and the zip that `sam package` has uploaded."""
    functions = made.client("lambda")
    for name in ("Chat", "Images", "Models", "Billing", "Sweep"):
        found = functions.get_function(FunctionName=made.physical[f"{name}Function"])
        variables = found["Configuration"]["Environment"]["Variables"]
        assert variables["TOLLGATE_TABLE"] == made.outputs["TableName"]
        assert ("TOLLGATE_PROVIDER_SECRET" in variables) == (name in ("Chat", "Images"))
        assert found["Configuration"]["CodeSize"] > 0
        assert found["Configuration"]["Role"].endswith(made.physical[f"{name}Role"])


def test_aliases_point_at_published_versions(made: Rehearsal) -> None:
    """Not at $LATEST, of which there are no snapshots."""
    functions = made.client("lambda")
    for name in ("Chat", "Images", "Models", "Billing", "Sweep"):
        alias = functions.get_alias(FunctionName=made.physical[f"{name}Function"], Name="live")
        assert alias["FunctionVersion"] == "1"


def test_roles_have_their_policies(made: Rehearsal) -> None:
    """IAM takes the documents, and the table's real address is in them."""
    database = made.client("dynamodb")
    table = database.describe_table(TableName=made.outputs["TableName"])["Table"]["TableArn"]
    policy = made.client("iam").get_role_policy(
        RoleName=made.physical["ModelsRole"], PolicyName="models"
    )
    document = yaml.safe_load(policy["PolicyDocument"])  # moto has it in Python's notation
    by_sid = {one["Sid"]: one for one in document["Statement"]}

    assert by_sid.keys() == {"ReadKeysAndCatalog", "WriteLog", "WriteTraces"}
    assert by_sid["ReadKeysAndCatalog"]["Resource"] == table
    assert made.physical["ModelsLogs"] in by_sid["WriteLog"]["Resource"]


def test_alarms_and_dashboard_are_taken(made: Rehearsal) -> None:
    """By CloudWatch's own calls, which check names, units and expressions' form."""
    watch = made.client("cloudwatch")
    alarms = watch.describe_alarms()["MetricAlarms"]
    [board] = watch.list_dashboards()["DashboardEntries"]
    shown = watch.get_dashboard(DashboardName=board["DashboardName"])["DashboardBody"]

    assert len(alarms) == 11
    assert {action for one in alarms for action in one["AlarmActions"]} == {
        made.physical["AlarmTopic"]
    }
    assert made.outputs["TableName"] in json.dumps(json.loads(shown))


def test_address_is_subscribed(made: Rehearsal) -> None:
    """AWS then asks it to confirm."""
    topic = made.client("sns").list_subscriptions_by_topic(TopicArn=made.outputs["AlarmTopicArn"])

    assert [(one["Protocol"], one["Endpoint"]) for one in topic["Subscriptions"]] == [
        ("email", "ops@example.com")
    ]


def tollgate(made: Rehearsal, *arguments: str) -> Any:
    """Return what the operator's command answers."""
    command = [Path(sys.executable).with_name("tollgate"), "--json", "--endpoint-url", made.url]
    command += ["--table", made.outputs["TableName"], *arguments]
    environment = os.environ | CREDENTIALS
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def invoke(made: Rehearsal, name: str, event: dict[str, Any], log: Path) -> Any:
    """Run a function as the stack describes it, but for where its DynamoDB is."""
    found = made.client("lambda").get_function_configuration(FunctionName=made.physical[name])
    function = Function(
        name=name,
        handler=found["Handler"],
        timeout_s=found["Timeout"],
        memory_mb=found["MemorySize"],
        environment=found["Environment"]["Variables"] | {"TOLLGATE_DYNAMODB_URL": made.url},
    )
    pool = Pool(function, Launch(environment=os.environ | CREDENTIALS, log=log), 1)
    parts = await pool.invoke(json.dumps(event).encode(), "request-1")
    part = await parts.get()
    await pool.stop()
    assert part.kind is Kind.BUFFERED
    return json.loads(part.data)


async def test_first_customer_sees_the_models(made: Rehearsal, tmp_path: Path) -> None:
    """The README's steps after a deployment: an account, a key, a request."""
    tollgate(made, "account", "create", "alice", "--grant", "1000")
    key = tollgate(made, "key", "create", "alice", "--label", "laptop")["key"]
    text = (ROOT / "events" / "models.list.json").read_text()
    event = json.loads(text.replace("sk-tg-REPLACE-WITH-A-KEY", key))

    answer = await invoke(made, "ModelsFunction", event, tmp_path / "functions.log")

    assert answer["statusCode"] == 200
    assert "gpt-4o-mini" in {one["id"] for one in json.loads(answer["body"])["data"]}


async def test_scheduled_sweep_finds_nothing_to_do(made: Rehearsal, tmp_path: Path) -> None:
    """On the stack's table and index; an idle one writes no metric."""
    event = json.loads((ROOT / "events" / "sweep.schedule.json").read_text())
    log = tmp_path / "functions.log"

    figures = await invoke(made, "SweepFunction", event, log)

    assert set(figures.values()) == {0}
    assert "_aws" not in log.read_text()
