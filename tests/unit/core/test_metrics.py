"""The lines that CloudWatch makes metrics of."""

import json
from typing import Any

from tollgate.core.metrics import RequestMetrics, format_counts, format_request


def lines(metrics: RequestMetrics) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for line in format_request(
            metrics, function="chat", table="t", request_id="r-1", at_ms=1_795_521_600_123
        )
    ]


def series(line: dict[str, Any]) -> dict[tuple[str, ...], dict[str, float]]:
    """Return, as CloudWatch reads a line, the figures under each set of dimensions' values."""
    found: dict[tuple[str, ...], dict[str, float]] = {}
    for definition in line["_aws"]["CloudWatchMetrics"]:
        assert definition["Namespace"] == "Tollgate"
        for names in definition["Dimensions"]:
            assert all(isinstance(line[name], str) for name in names)
            values = {one["Name"]: line[one["Name"]] for one in definition["Metrics"]}
            found.setdefault(tuple(line[name] for name in names), {}).update(values)
    return found


def answered() -> RequestMetrics:
    metrics = RequestMetrics(first_byte_ms=350)
    metrics.note_answer("openai", 300)
    metrics.note_charge(
        model="m", prompt_tokens=8, completion_tokens=5, quota_micropoints=1_340_000
    )
    return metrics


def test_answered_request() -> None:
    """Each figure stands under its own dimensions, once; what did not happen is not there."""
    [line] = lines(answered())

    assert series(line) == {
        ("t", "chat"): {
            "Requests": 1,
            "TimeToFirstByte": 350,
            "PromptTokens": 8,
            "CompletionTokens": 5,
            "Quota": 1.34,
        },
        ("t", "openai"): {"UpstreamLatency": 300},
    }
    assert line["_aws"]["Timestamp"] == 1_795_521_600_123
    assert (line["request_id"], line["model"]) == ("r-1", "m")


def test_units() -> None:
    """Of CloudWatch's own set: any other word loses the line."""
    [line] = lines(answered())
    units = {
        one["Name"]: one["Unit"]
        for definition in line["_aws"]["CloudWatchMetrics"]
        for one in definition["Metrics"]
    }

    assert units == {
        "Requests": "Count",
        "TimeToFirstByte": "Milliseconds",
        "PromptTokens": "Count",
        "CompletionTokens": "Count",
        "Quota": "None",
        "UpstreamLatency": "Milliseconds",
    }


def test_refused_request() -> None:
    """It is a request and an error by its code; nothing else costs a metric."""
    [line] = lines(RequestMetrics(code="invalid_api_key"))

    assert series(line) == {("t", "chat"): {"Requests": 1}, ("t", "invalid_api_key"): {"Errors": 1}}
    assert "model" not in line


def test_what_an_operator_is_woken_for() -> None:
    """Under the deployment alone, so that an alarm can name it."""
    [line] = lines(RequestMetrics(code="ledger_unavailable", ledger_errors=2, overruns=1))

    assert series(line)["t",] == {"LedgerErrors": 2, "Overruns": 1}


def test_failed_channels_have_lines_of_their_own() -> None:
    """One that failed and one that answered are not the same value of a dimension."""
    metrics = answered()
    metrics.note_failure("groq")
    metrics.note_failure("azure")

    request, *failures = [series(line) for line in lines(metrics)]

    assert ("t", "openai") in request
    assert failures == [
        {("t",): {"UpstreamFailures": 1}, ("t", name): {"UpstreamFailures": 1}}
        for name in ("groq", "azure")
    ]


def test_counts_of_a_deployment() -> None:
    """What is zero is not written; where all is, there is no line, and so no cost."""
    line = format_counts({"HoldsHealed": 3, "HoldsFailed": 0}, table="t", at_ms=1)

    assert line is not None
    assert series(json.loads(line)) == {("t",): {"HoldsHealed": 3}}
    assert format_counts({"HoldsHealed": 0, "HoldsFailed": 0}, table="t", at_ms=1) is None
