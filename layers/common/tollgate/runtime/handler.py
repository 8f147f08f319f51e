"""The function's handler, and which of its invocations are streamed."""

from collections.abc import Callable
from typing import Any

from awslambdaric import bootstrap
from mangum import Mangum
from mangum.handlers import APIGateway

from tollgate.runtime.answer import StreamedAnswer


def load_handler(name: str) -> Callable[[Any, Any], Any]:
    """Return the handler called `name` (`package.module.attribute`), streaming if it is Mangum's.

    Raises: awslambdaric's FaultException: there is no such module or attribute.
    """
    handler: Callable[[Any, Any], Any] = bootstrap._get_handler(name)  # noqa: SLF001 - pinned
    return StreamingHandler(handler) if isinstance(handler, Mangum) else handler


class StreamingHandler:
    """Answers API Gateway's REST events with a stream, and all else as the handler itself."""

    def __init__(self, mangum: Mangum) -> None:
        """`mangum`: its app is called, with the scope that its own handlers make of an event."""
        self._mangum = mangum

    def __call__(self, event: Any, context: Any) -> Any:
        """Return the answer to be streamed; nothing has run yet."""
        request = self._mangum.infer(event, context)
        if not isinstance(request, APIGateway):
            return self._mangum(event, context)
        return StreamedAnswer(self._mangum.app, dict(request.scope), request.body)
