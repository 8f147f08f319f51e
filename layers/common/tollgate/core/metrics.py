"""What a request adds to the deployment's metrics, and the log lines that CloudWatch makes of it.

    [Table, Function]   Requests, TimeToFirstByte, PromptTokens, CompletionTokens, Quota
    [Table, Channel]    UpstreamLatency, UpstreamFailures
    [Table, Code]       Errors
    [Table]             UpstreamFailures, LedgerErrors, Overruns

Each value of a dimension makes a metric of its own, at 0.30 dollars a month while it is written: so
there are few, and what is zero is not written. `Table` tells one deployment from another. Keys,
accounts, prompts and whatever else a caller chooses are no dimension.

Hand-written, since it is one JSON object: to import aws-lambda-powertools takes a cold start
70 ms and 7 MB (aws-embedded-metrics ten times as long), and neither has several dimension sets.
Source: AWS, "Specification: Embedded metric format".
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

NAMESPACE = "Tollgate"
_MICROPOINTS = 1_000_000

type Dimensions = tuple[tuple[str, ...], ...]
TOTAL: Dimensions = (("Table",),)
_FUNCTION: Dimensions = (("Table", "Function"),)
_CHANNEL: Dimensions = (("Table", "Channel"),)
_CODE: Dimensions = (("Table", "Code"),)


@dataclass(slots=True, kw_only=True)
class RequestMetrics:
    """Filled while one request is served; each part of the gateway notes what it sees.

    `code`: of a fixed set, see `web.errors.find_code`. `model`: the catalog's name.
    """

    code: str | None = None
    model: str | None = None
    channel: str | None = None
    upstream_latency_ms: int | None = None
    first_byte_ms: int | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    quota_micropoints: int = 0
    ledger_errors: int = 0
    overruns: int = 0
    failed_channels: list[str] = field(default_factory=list)

    def note_answer(self, channel: str, latency_ms: int) -> None:
        """A channel has answered: a whole answer, or the first event of a stream."""
        self.channel, self.upstream_latency_ms = channel, latency_ms

    def note_failure(self, channel: str) -> None:
        """A channel has failed, or has broken off its answer; another may have helped out."""
        self.failed_channels.append(channel)

    def note_charge(
        self, *, model: str, prompt_tokens: int, completion_tokens: int, quota_micropoints: int
    ) -> None:
        """The request has been charged for."""
        self.model = model
        self.prompt_tokens, self.completion_tokens = prompt_tokens, completion_tokens
        self.quota_micropoints = quota_micropoints


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A figure, and the sets of dimensions under which it counts. `unit`: CloudWatch's word."""

    name: str
    value: float
    unit: str = "Count"
    under: Dimensions = TOTAL


def list_metrics(metrics: RequestMetrics) -> list[Metric]:
    """Return what is to be told of a request; a zero is not."""
    quota = metrics.quota_micropoints / _MICROPOINTS
    latency_ms = metrics.upstream_latency_ms or 0
    found = [
        Metric(name="Requests", value=1, under=_FUNCTION),
        _time("TimeToFirstByte", metrics.first_byte_ms or 0, _FUNCTION),
        Metric(name="PromptTokens", value=metrics.prompt_tokens, under=_FUNCTION),
        Metric(name="CompletionTokens", value=metrics.completion_tokens, under=_FUNCTION),
        Metric(name="Quota", value=quota, unit="None", under=_FUNCTION),
        _time("UpstreamLatency", latency_ms, _CHANNEL),
        Metric(name="Errors", value=int(metrics.code is not None), under=_CODE),
        Metric(name="LedgerErrors", value=metrics.ledger_errors),
        Metric(name="Overruns", value=metrics.overruns),
    ]
    return [metric for metric in found if metric.value]


def _time(name: str, value_ms: int, under: Dimensions) -> Metric:
    return Metric(name=name, value=value_ms, unit="Milliseconds", under=under)


def format_request(
    metrics: RequestMetrics, *, function: str, table: str, request_id: str, at_ms: int
) -> list[str]:
    """Return the request's line, and one for each channel that failed it.

    A line has one value a dimension, so a failed channel cannot be on the line of the one that
    answered. `at_ms`: since the epoch.
    """
    told = {
        "Table": table,
        "Function": function,
        "Channel": metrics.channel,
        "Code": metrics.code,
        "request_id": request_id,
        "model": metrics.model,
    }
    failure = Metric(name="UpstreamFailures", value=1, under=(*TOTAL, *_CHANNEL))
    return [
        _format(list_metrics(metrics), told, at_ms),
        *(
            _format([failure], {"Table": table, "Channel": channel}, at_ms)
            for channel in metrics.failed_channels
        ),
    ]


def format_counts(counts: Mapping[str, int], *, table: str, at_ms: int) -> str | None:
    """Return a line with counts of the whole deployment; None if all are zero."""
    found = [Metric(name=name, value=count) for name, count in counts.items() if count]
    return _format(found, {"Table": table}, at_ms) if found else None


def _format(metrics: Iterable[Metric], told: Mapping[str, str | None], at_ms: int) -> str:
    """Return the JSON object: what is told, the figures, and which of them are metrics of what."""
    groups: dict[Dimensions, list[Metric]] = {}
    for metric in metrics:
        groups.setdefault(metric.under, []).append(metric)
    definitions = [
        {
            "Namespace": NAMESPACE,
            "Dimensions": under,
            "Metrics": [{"Name": one.name, "Unit": one.unit} for one in group],
        }
        for under, group in groups.items()
    ]
    figures = {one.name: one.value for group in groups.values() for one in group}
    names = {name: value for name, value in told.items() if value is not None}
    return json.dumps(
        {"_aws": {"Timestamp": at_ms, "CloudWatchMetrics": definitions}, **names, **figures}
    )
