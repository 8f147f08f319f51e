"""docs/security.md names tests that are there; the template gives away neither rights nor keys."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from local.sandbox import ROOT
from local.template import load_template

TEMPLATE: dict[str, Any] = load_template(ROOT / "template.yaml")
PAGE = (ROOT / "docs" / "security.md").read_text()
NAMED = re.findall(r"`(tests/[^`\s]+?\.py)::(\w+)`", PAGE)
FUNCTIONS = {
    name: resource["Properties"]
    for name, resource in TEMPLATE["Resources"].items()
    if resource["Type"] == "AWS::Serverless::Function"
}
# What an access log may say of a request; the path that was asked for is not in it, since a caller
# may have put a key there, and API Gateway writes what it is told as it stands.
LOGGED = re.compile(
    r"apiId|domainName|httpMethod|resourcePath|stage|status|protocol|extendedRequestId|requestId"
    r"|requestTime|requestTimeEpoch|responseLength|responseLatency|xrayTraceId|identity\.sourceIp"
    r"|integration\.\w+|integration(Latency|Status|ErrorMessage)|error\.(responseType|message)"
    r"|endpointType|deploymentId|awsEndpointRequestId"
)


@cache
def find_tests(file: str) -> frozenset[str]:
    """Return the names of a file's test functions, those of classes among them."""
    tree = ast.parse((ROOT / file).read_text())
    nodes = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, nodes))


@pytest.mark.parametrize(("file", "name"), sorted(set(NAMED)))
def test_named_test_is_there(file: str, name: str) -> None:
    """A threat's line that names a test names one that runs."""
    assert name in find_tests(file)


def test_every_threat_names_a_test() -> None:
    """Each row of the page's tables has at least one."""
    threats_part = PAGE.partition("## What is run at random")[0]
    rows = [line for line in threats_part.splitlines() if line.startswith("| ")]
    threats = [row for row in rows if not row.startswith("| threat")]
    untested = [row for row in threats if "`tests/" not in row]

    assert len(threats) > 20
    assert untested == []


def find_statements(part: object) -> Iterator[dict[str, Any]]:
    """Yield the statements that grant something, wherever they are in a part of the template."""
    if isinstance(part, dict) and "Action" in part and "Resource" in part:
        yield part
    inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    for one in inner:
        yield from find_statements(one)


def listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


STATEMENTS = list(find_statements(TEMPLATE["Resources"]))


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda statement: statement.get("Sid"))
def test_rights_name_what_they_are_for(statement: dict[str, Any]) -> None:
    """No action has a star, and no resource but X-Ray's, which has none to name."""
    actions = listed(statement["Action"])
    is_tracing = all(action.startswith("xray:Put") for action in actions)

    assert not [action for action in actions if "*" in action]
    assert not {"dynamodb:DeleteItem", "dynamodb:Scan", "dynamodb:DeleteTable"} & set(actions)
    assert is_tracing or "*" not in str(statement["Resource"])


@pytest.mark.parametrize(
    ("name", "rights"),
    [
        ("ModelsFunction", {"dynamodb:GetItem"}),
        ("BillingFunction", {"dynamodb:GetItem", "dynamodb:Query"}),
    ],
)
def test_readers_may_only_read(name: str, rights: set[str]) -> None:
    """Models and billing change nothing, and may not read the upstream keys."""
    function = FUNCTIONS[name]
    role = str(function.get("Role", {}).get("Fn::GetAtt", "")).partition(".")[0]
    found = find_statements([function, TEMPLATE["Resources"].get(role)])
    actions = {action for statement in found for action in listed(statement["Action"])}

    assert {action for action in actions if not action.startswith(("logs:", "xray:"))} == rights
    assert "TOLLGATE_PROVIDER_SECRET" not in str(function.get("Environment"))


def environments() -> Iterator[tuple[str, object]]:
    for part in (TEMPLATE["Globals"]["Function"], *FUNCTIONS.values()):
        yield from part.get("Environment", {}).get("Variables", {}).items()


def test_no_environment_has_a_secret() -> None:
    """A function is told where its keys are; its configuration, which many may read, has none."""
    variables = dict(environments())

    assert variables["TOLLGATE_PROVIDER_SECRET"] == {"Ref": "ProviderSecretArn"}
    for name, value in variables.items():
        assert not re.search(r"KEY$|KEY_|TOKEN|PASSWORD|CREDENTIAL", name)
        assert "resolve:secretsmanager" not in str(value)


def test_gateway_logs_neither_bodies_nor_paths() -> None:
    """Its access log has only fields that no caller writes; its tracing of data is off."""
    stage = TEMPLATE["Resources"]["Api"]["Properties"]
    for setting in stage.get("MethodSettings", ()):
        assert not setting.get("DataTraceEnabled", False)
        assert setting.get("LoggingLevel", "OFF") in ("OFF", "ERROR")
    written = str(stage.get("AccessLogSetting"))
    for field in re.findall(r"\$context\.([\w.]+)", written):
        assert LOGGED.fullmatch(field), field
