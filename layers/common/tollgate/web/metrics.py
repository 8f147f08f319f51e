"""A request's metrics on their way: from its ASGI scope into the log, a line a request."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

from starlette.types import Scope

from tollgate.core.metrics import RequestMetrics, format_request
from tollgate.settings import Settings
from tollgate.web.errors import find_code

type LogMetrics = Callable[[RequestMetrics, str], None]


def find_metrics(scope: Scope) -> RequestMetrics:
    """Return the request's metrics, made when they are first asked for."""
    found: RequestMetrics = scope.setdefault("state", {}).setdefault("metrics", RequestMetrics())
    return found


def note_error(scope: Scope, error: BaseException) -> None:
    """Count the error that a request is answered with."""
    metrics = find_metrics(scope)
    metrics.code = find_code(error)
    metrics.ledger_errors += metrics.code == "ledger_unavailable"


def make_metrics_log(function: str, settings: Settings, *, out: TextIO | None = None) -> LogMetrics:
    """Return what writes a request's lines, by its metrics and its id. `out` None: stdout.

    They go past `logging`, whose JSON would wrap them: CloudWatch looks for them at the top.
    """

    def log_metrics(metrics: RequestMetrics, request_id: str) -> None:
        lines = format_request(
            metrics,
            function=function,
            table=settings.table,
            request_id=request_id,
            at_ms=int(time.time() * 1000),
        )
        # Looked up now: Lambda's runtime puts an unbuffered one in its place after the import.
        (out or sys.stdout).write("".join(f"{line}\n" for line in lines))

    return log_metrics
