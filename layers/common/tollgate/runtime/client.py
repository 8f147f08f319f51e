"""awslambdaric's client and marshaller, with one more kind of result: a stream.

Relies on `bootstrap.run(handler, client)` calling `wait_next_invocation()`, then
`marshaller.marshal_response(result)` and `post_invocation_result(invoke_id, result, content_type,
invocation_id)`; a test holds awslambdaric to that.
"""

import asyncio
from typing import Any

from awslambdaric.lambda_runtime_client import InvocationRequest, LambdaRuntimeClient
from awslambdaric.lambda_runtime_exception import FaultException
from awslambdaric.lambda_runtime_marshaller import LambdaMarshaller

from tollgate.runtime.answer import StreamedAnswer
from tollgate.runtime.connection import ApiConnection, NoEventError
from tollgate.runtime.stream import CONTENT_TYPE, ResponseStream

EVENT_HEADERS = {
    "invoke_id": "lambda-runtime-aws-request-id",
    "x_amzn_trace_id": "lambda-runtime-trace-id",
    "invoked_function_arn": "lambda-runtime-invoked-function-arn",
    "client_context": "lambda-runtime-client-context",
    "cognito_identity": "lambda-runtime-cognito-identity",
    "tenant_id": "lambda-runtime-aws-tenant-id",
    "content_type": "content-type",
    "invocation_id": "lambda-runtime-invocation-id",
}


class StreamingMarshaller(LambdaMarshaller):  # type: ignore[misc] # awslambdaric has no types
    """Lets a streamed answer pass as it is."""

    def marshal_response(self, response: Any) -> tuple[Any, str]:
        """Return what is posted, and its content type."""
        if isinstance(response, StreamedAnswer):
            return response, CONTENT_TYPE
        marshalled: tuple[Any, str] = super().marshal_response(response)
        return marshalled


class StreamingClient(LambdaRuntimeClient):  # type: ignore[misc] # awslambdaric has no types
    """Asks for events on a connection of its own, and streams answers on the same.

    A streamed answer runs on the process's one event loop, so that the app's clients live on.
    """

    marshaller = StreamingMarshaller()

    def __init__(self, address: str) -> None:
        """`address`: the Runtime API's host:port."""
        super().__init__(address)
        self._api = ApiConnection(address)
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)

    def wait_next_invocation(self) -> InvocationRequest:
        """Return the next event; handlers of signals run while it waits.

        Raises: FaultException: there is none; the process then ends.
        """
        try:
            headers, body = self._api.next_event()
        except NoEventError as error:
            raise FaultException(
                FaultException.LAMBDA_RUNTIME_CLIENT_ERROR,
                f"LAMBDA_RUNTIME Failed to get next invocation: {error}",
            ) from error
        values = {field: headers.get(name) or None for field, name in EVENT_HEADERS.items()}
        deadline_ms = int(headers.get("lambda-runtime-deadline-ms", 0))
        return InvocationRequest(event_body=body, deadline_time_in_ms=deadline_ms, **values)

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
        stream = ResponseStream(self._api, invoke_id, invocation_id)
        self._loop.run_until_complete(result_data.run(stream))
