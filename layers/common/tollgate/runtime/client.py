"""awslambdaric's client and marshaller, with one more kind of result: a stream.

Relies on `bootstrap.run(handler, client)` calling `marshaller.marshal_response(result)` and then
`post_invocation_result(invoke_id, result, content_type, invocation_id)`; a test holds awslambdaric
to that.
"""

import asyncio
from typing import Any

from awslambdaric.lambda_runtime_client import LambdaRuntimeClient
from awslambdaric.lambda_runtime_marshaller import LambdaMarshaller

from tollgate.runtime.answer import StreamedAnswer
from tollgate.runtime.stream import CONTENT_TYPE, ResponseStream


class StreamingMarshaller(LambdaMarshaller):  # type: ignore[misc] # awslambdaric has no types
    """Lets a streamed answer pass as it is."""

    def marshal_response(self, response: Any) -> tuple[Any, str]:
        """Return what is posted, and its content type."""
        if isinstance(response, StreamedAnswer):
            return response, CONTENT_TYPE
        marshalled: tuple[Any, str] = super().marshal_response(response)
        return marshalled


class StreamingClient(LambdaRuntimeClient):  # type: ignore[misc] # awslambdaric has no types
    """Runs a streamed answer on the process's one event loop, so that the app's clients live on."""

    marshaller = StreamingMarshaller()

    def __init__(self, address: str, use_thread_for_polling_next: bool) -> None:  # noqa: FBT001
        """As awslambdaric's: the Runtime API's host:port, and whether /next waits in a thread."""
        super().__init__(address, use_thread_for_polling_next)
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)

    def post_invocation_result(
        self,
        invoke_id: str,
        result_data: Any,
        content_type: str = "application/json",
        invocation_id: str | None = None,
    ) -> None:
        """Post the result; returns, and so lets /next be asked, when the app is done."""
        if not isinstance(result_data, StreamedAnswer):
            super().post_invocation_result(invoke_id, result_data, content_type, invocation_id)
            return
        stream = ResponseStream(self.lambda_runtime_address, invoke_id, invocation_id)
        self._loop.run_until_complete(result_data.run(stream))
