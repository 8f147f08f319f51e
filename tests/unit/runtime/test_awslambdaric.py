"""What the runtime relies on in awslambdaric: a new version must not change it unnoticed."""

import inspect

from awslambdaric import bootstrap
from awslambdaric.lambda_config import LambdaConfigProvider
from awslambdaric.lambda_runtime_client import LambdaRuntimeClient
from awslambdaric.lambda_runtime_marshaller import LambdaMarshaller


def test_signatures_that_are_overridden_or_called() -> None:
    """Names and parameters are those of the pinned version."""
    assert list(inspect.signature(bootstrap.run).parameters) == ["handler", "lambda_runtime_client"]
    assert list(inspect.signature(bootstrap._get_handler).parameters) == ["handler"]
    assert list(inspect.signature(LambdaRuntimeClient.post_invocation_result).parameters) == [
        "self",
        "invoke_id",
        "result_data",
        "content_type",
        "invocation_id",
    ]
    assert list(inspect.signature(LambdaMarshaller.marshal_response).parameters) == [
        "self",
        "response",
    ]
    assert {"api_address", "use_thread_polling"} <= set(dir(LambdaConfigProvider))


def test_result_goes_from_the_marshaller_to_the_client() -> None:
    """The loop posts what the marshaller returns, with its content type and both ids."""
    source = inspect.getsource(bootstrap.handle_event_request)

    assert "lambda_runtime_client.marshaller.marshal_response(" in source
    assert "invoke_id, result, result_content_type, invocation_id" in source
