"""What the template must say for streaming, safety and money; each was once got wrong somewhere."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from tollgate.core.metrics import NAMESPACE, RequestMetrics, format_counts, format_request
from tollgate.ledger.sweep import HOLD_AGE_MAX, Tally
from tollgate.ledger.table import create_table
from tollgate.runtime import stream as runtime_stream
from tollgate.web.envelope import ALLOWED_HEADERS, ALLOWED_METHODS

from functions.billing.sweep import MARGIN_S, measure
from local.sandbox import ROOT
from local.template import load_template

RESOURCES: dict[str, Any] = load_template(ROOT / "template.yaml")["Resources"]
FUNCTIONS = {
    name: resource["Properties"]
    for name, resource in RESOURCES.items()
    if resource["Type"] == "AWS::Serverless::Function"
}


_SEARCH = re.compile(rf"\{{{NAMESPACE},([A-Za-z,]+)\}} MetricName=\"(\w+)\"")
STREAMING = ("ChatFunction", "ImagesFunction")


@pytest.mark.parametrize("name", STREAMING)
def test_answers_stream(name: str) -> None:
    """The value is RESPONSE_STREAM: any other passes validation and buffers."""
    for event in FUNCTIONS[name]["Events"].values():
        assert event["Properties"]["ResponseTransferMode"] == "RESPONSE_STREAM"
        assert event["Properties"]["TimeoutInMillis"] == 900_000
        assert FUNCTIONS[name]["Timeout"] * 1000 <= event["Properties"]["TimeoutInMillis"]


def test_images_have_their_three_routes() -> None:
    """Each with all methods, so that a wrong one is answered in OpenAI's form."""
    events = [event["Properties"] for event in FUNCTIONS["ImagesFunction"]["Events"].values()]

    assert {(event["Path"], event["Method"]) for event in events} == {
        (f"/v1/images/{task}", "ANY") for task in ("generations", "edits", "variations")
    }


def test_forms_are_binary() -> None:
    """Else API Gateway would hand on files as broken text; a slash is ~1 in SAM."""
    assert RESOURCES["Api"]["Properties"]["BinaryMediaTypes"] == ["multipart~1form-data"]


def test_api_is_regional() -> None:
    """An edge-optimized API cuts a stream that is silent for thirty seconds."""
    assert RESOURCES["Api"]["Properties"]["EndpointConfiguration"] == {"Type": "REGIONAL"}


@pytest.mark.parametrize("name", STREAMING)
def test_wrapper_is_in_the_layer_and_not_called_bootstrap(name: str) -> None:
    """The emulator would start a file called bootstrap in place of the runtime."""
    variables = FUNCTIONS[name]["Environment"]["Variables"]
    wrapper = ROOT / "layers" / "common" / "stream-runtime"

    assert variables["AWS_LAMBDA_EXEC_WRAPPER"] == "/opt/python/stream-runtime"
    assert wrapper.stat().st_mode & 0o111 == 0o111
    assert b"\r" not in wrapper.read_bytes()


def test_billing_has_its_reads_under_each_prefix() -> None:
    """Clients differ in where they look; a wrong method is answered by the app, in its form."""
    events = FUNCTIONS["BillingFunction"]["Events"].values()
    prefixes = ("/v1/billing", "/v1/dashboard/billing", "/dashboard/billing")
    reads = ("subscription", "usage", "credit_grants")

    assert {event["Properties"]["Path"] for event in events} == {
        *(f"{prefix}/{read}" for prefix in prefixes for read in reads),
        "/v1/billing/requests",
    }
    assert {event["Properties"]["Method"] for event in events} == {"ANY"}


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_handlers_exist(name: str) -> None:
    """The handler's module is the function's own app."""
    package, _, attribute = FUNCTIONS[name]["Handler"].rpartition(".")

    assert attribute == "handler"
    assert (ROOT / (package.replace(".", "/") + ".py")).is_file()
    assert FUNCTIONS[name]["CodeUri"] == "/".join(package.split(".")[:-1])


def test_table_outlives_the_stack() -> None:
    """Balances are kept when the stack goes, and can be restored to any second."""
    table = RESOURCES["Table"]

    assert table["DeletionPolicy"] == table["UpdateReplacePolicy"] == "Retain"
    assert table["Properties"]["DeletionProtectionEnabled"] is True
    assert table["Properties"]["PointInTimeRecoverySpecification"] == {
        "PointInTimeRecoveryEnabled": True
    }


def test_cors_is_the_same_at_the_gateway_and_in_the_functions() -> None:
    """A preflight is answered by API Gateway on AWS and by the app elsewhere."""
    cors = RESOURCES["Api"]["Properties"]["Cors"]

    assert cors["AllowHeaders"].strip("'") == ALLOWED_HEADERS
    assert cors["AllowMethods"].strip("'") == ALLOWED_METHODS


def test_gateway_errors_have_openais_form() -> None:
    """What API Gateway answers by itself is JSON with the four keys and a request id."""
    for name, answer in RESOURCES["Api"]["Properties"]["GatewayResponses"].items():
        text = answer["ResponseTemplates"]["application/json"]
        body = json.loads(text.replace("$context.error.messageString", '"words"'))
        headers = answer["ResponseParameters"]["Headers"]
        assert set(body["error"]) == {"message", "type", "param", "code"}, name
        assert headers["x-request-id"] == "context.requestId", name
        assert "access-control-allow-origin" in headers, name


def test_index_of_open_accounts_is_the_stores() -> None:
    """Databases on this machine are made by `create_table`, and must be what AWS has."""
    made: dict[str, Any] = {}

    class Client:
        def create_table(self, **arguments: Any) -> None:
            made.update(arguments)

        def describe_table(self, **_: Any) -> Any:
            return {"Table": {"TableStatus": "ACTIVE"}}

    create_table(Client(), "t")
    properties = RESOURCES["Table"]["Properties"]

    for name in ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes"):
        assert properties[name] == made[name], name


def test_sweep_is_called_often_and_ends_before_the_next() -> None:
    """Every few minutes, once, and never longer than that."""
    sweep = FUNCTIONS["SweepFunction"]

    assert sweep["Events"]["Sweep"]["Properties"]["Schedule"] == "rate(5 minutes)"
    assert sweep["Timeout"] < 300
    assert sweep["EventInvokeConfig"]["MaximumRetryAttempts"] == 0


def test_sweep_has_most_of_its_time_before_its_margin() -> None:
    """What the margin is for is tried in `unit/ledger/test_writes.py`."""
    assert FUNCTIONS["SweepFunction"]["Timeout"] > 2 * MARGIN_S


def test_metrics_pass_the_log_level() -> None:
    """A line without a level counts as INFO; whatever the stack's level, it must be written."""
    common = load_template(ROOT / "template.yaml")["Globals"]["Function"]
    levels = [common, *FUNCTIONS.values()]

    assert {one["LoggingConfig"].get("ApplicationLogLevel", "INFO") for one in levels} == {"INFO"}
    assert common["Environment"]["Variables"]["TOLLGATE_LOG_LEVEL"] == {"Ref": "LogLevel"}


def test_failed_holds_alarm_also_when_sweeps_are_late() -> None:
    """Each quarter of an hour has three sweeps; two bad ones in an hour are enough."""
    alarm = RESOURCES["HoldsFailedAlarm"]["Properties"]

    assert (alarm["Period"], alarm["EvaluationPeriods"], alarm["DatapointsToAlarm"]) == (900, 4, 2)


def test_hold_is_old_when_no_function_that_made_it_can_live() -> None:
    """The longest time-out and five minutes for clocks and waiting."""
    longest_s = max(function["Timeout"] for function in FUNCTIONS.values())

    assert HOLD_AGE_MAX.total_seconds() >= longest_s + 300


def list_written() -> set[tuple[str, tuple[str, ...]]]:
    """Return the metrics that the code can write, each with the dimensions that it has."""
    metrics = RequestMetrics(code="c", first_byte_ms=1, ledger_errors=1, overruns=1)
    metrics.note_answer("c", 1)
    metrics.note_failure("c")
    metrics.note_charge(model="m", prompt_tokens=1, completion_tokens=1, quota_micropoints=1)
    texts = format_request(metrics, function="f", table="t", request_id="r", at_ms=0)
    texts.append(format_counts(dict.fromkeys(measure(Tally()), 1), table="t", at_ms=0) or "")
    return {
        (metric["Name"], tuple(names))
        for text in texts
        for definition in json.loads(text)["_aws"]["CloudWatchMetrics"]
        for names in definition["Dimensions"]
        for metric in definition["Metrics"]
    }


def list_watched(node: Any) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield our own metrics that alarms name, in whatever form."""
    if isinstance(node, dict):
        if node.get("Namespace") == NAMESPACE:
            yield node["MetricName"], tuple(one["Name"] for one in node["Dimensions"])
        for value in node.values():
            yield from list_watched(value)
    elif isinstance(node, list):
        for value in node:
            yield from list_watched(value)


def list_shown(dashboard: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield our own metrics that a dashboard shows, named or searched for."""
    for widget in json.loads(dashboard)["widgets"]:
        for first, *others in widget["properties"]["metrics"]:
            if isinstance(first, dict):
                [(dimensions, name)] = _SEARCH.findall(first["expression"])
                yield name, tuple(dimensions.split(","))
            elif first == NAMESPACE:
                name, *dimensions = (one for one in others if isinstance(one, str))
                yield name, tuple(dimensions[::2])


def test_alarms_watch_metrics_that_are_written() -> None:
    """A metric by another name, or with other dimensions, would never alarm."""
    alarms = [one for one in RESOURCES.values() if one["Type"] == "AWS::CloudWatch::Alarm"]
    watched = set(list_watched(alarms))

    assert {name for name, _ in watched} == {
        *("HoldsHealed", "HoldsFailed", "SweepsUnfinished"),
        *("LedgerErrors", "Overruns", "UpstreamFailures"),
    }
    assert watched <= list_written()


def test_dashboard_shows_metrics_that_are_written() -> None:
    """All that requests write but the sum of failures, which is shown by channel."""
    text = RESOURCES["DashboardPage"]["Properties"]["DashboardBody"]["Fn::Sub"]
    shown = set(list_shown(text))
    by_sweep = {(name, ("Table",)) for name in measure(Tally())}

    assert shown <= list_written()
    assert list_written() - shown - by_sweep == {("UpstreamFailures", ("Table",))}


def test_an_answers_end_is_waited_for_as_long_as_a_function_lives() -> None:
    """Given up sooner, /next would be asked while it is still read: Lambda then cuts it off."""
    longest_s = max(function["Timeout"] for function in FUNCTIONS.values())

    assert longest_s <= runtime_stream._ACCEPTED_WITHIN_S
