"""What the runtime relies on in awslambdaric: a new version must not change it unnoticed."""

import inspect
import re

from awslambdaric import bootstrap
from awslambdaric.lambda_config import LambdaConfigProvider
from awslambdaric.lambda_runtime_client import LambdaRuntimeClient
from awslambdaric.lambda_runtime_marshaller import LambdaMarshaller
from tollgate.runtime.client import EVENT_HEADERS


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
    assert list(inspect.signature(LambdaRuntimeClient.wait_next_invocation).parameters) == ["self"]
    assert list(inspect.signature(LambdaMarshaller.marshal_response).parameters) == [
        "self",
        "response",
    ]
    assert "api_address" in dir(LambdaConfigProvider)


def test_result_goes_from_the_marshaller_to_the_client() -> None:
    """The loop posts what the marshaller returns, with its content type and both ids."""
    source = inspect.getsource(bootstrap.handle_event_request)

    assert "lambda_runtime_client.marshaller.marshal_response(" in source
    assert "invoke_id, result, result_content_type, invocation_id" in source


def test_event_has_what_awslambdarics_own_client_gives_it() -> None:
    """Each field is read from the same header of /next's answer."""
    source = inspect.getsource(LambdaRuntimeClient.wait_next_invocation)

    read = dict(re.findall(r'(\w+)=headers\.get\("([^"]+)"\)', source))

    deadline = {"deadline_time_in_ms": "lambda-runtime-deadline-ms"}
    assert {field: name.lower() for field, name in read.items()} == EVENT_HEADERS | deadline
    assert "event_body=response_body" in source
