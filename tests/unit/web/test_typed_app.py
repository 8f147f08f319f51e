"""The FastAPI app factory: what FastAPI reads is refused in OpenAI's form."""

from typing import Annotated, Any

import pytest
from fastapi import Query
from tollgate.web.typed_app import create_typed_app

from tests.unit.web.test_app import call


@pytest.fixture
def app() -> Any:
    app = create_typed_app("test", cors_origin="*")

    @app.get("/v1/ok")
    async def ok(number: Annotated[int, Query(ge=1)] = 1) -> dict[str, object]:
        return {"number": number}

    return app


@pytest.mark.parametrize("value", ["x", "0", "secret-words"])
async def test_bad_parameter_is_400(app: Any, value: str) -> None:
    """Never 422; the parameter is named and its value is not repeated."""
    status, headers, body = await call(app, "GET", f"/v1/ok?number={value}")

    assert status == 400
    assert headers["x-request-id"]
    assert body["error"] == {
        "message": "Invalid value for 'number'.",
        "type": "invalid_request_error",
        "param": "number",
        "code": None,
    }


async def test_good_parameter_is_read(app: Any) -> None:
    """As FastAPI converts it."""
    assert (await call(app, "GET", "/v1/ok?number=7"))[2] == {"number": 7}
