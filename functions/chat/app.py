"""POST /v1/chat/completions: one metered answer, streamed or whole.

The app runs on the streaming runtime, which takes it out of `handler`; under `sam local` Mangum
serves it buffered. The route is a plain one, since it has no parameters for FastAPI to read:
docs/decisions/0011-plain-routes.md.
"""

from functools import cache, partial

from mangum import Mangum
from tollgate.core.encodings import load_encodings
from tollgate.ledger.rests import DynamoRestBoard
from tollgate.metering.chat import Metering
from tollgate.metering.orders import read_order
from tollgate.provider_keys import make_key_source
from tollgate.settings import Settings
from tollgate.upstream.client import Upstream, new_http_client
from tollgate.upstream.search.client import WebSearch
from tollgate.web.lean_fastapi import Request, Response
from tollgate.web.metrics import make_metrics_log
from tollgate.web.readiness import make_ready
from tollgate.web.requests import read_json
from tollgate.web.responses import make_metered_response
from tollgate.web.services import Services, make_services
from tollgate.web.typed_app import create_typed_app

settings = Settings.read()
app = create_typed_app(
    "Tollgate chat",
    cors_origin=settings.cors_origin,
    log_metrics=make_metrics_log("chat", settings),
)


@cache
def get_services() -> Services:
    """Return the process's services; tests put another function into `app.state`."""
    return make_services(settings)


@cache
def get_metering() -> Metering:
    """Return the process's metering; as above."""
    services = get_services()
    http, keys = new_http_client(), make_key_source(settings)
    board = DynamoRestBoard(services.client, settings.table)
    return Metering(
        ledger=services.ledger,
        upstream=Upstream(http, services.catalog.current, keys, board=board),
        searcher=WebSearch(http, keys),
    )


async def create_chat_completion(request: Request) -> Response:
    """Answer a chat request; the response itself reserves, calls, relays and settles."""
    services: Services = request.app.state.get_services()
    metering: Metering = request.app.state.get_metering()
    key = await services.authenticator.authenticate(request.headers.get("authorization"))
    body = await read_json(request, services.settings.body_bytes_max)
    order = read_order(
        body,
        key=key,
        request_id=request.scope["state"]["request_id"],
        catalog=await services.catalog.current(),
    )
    return make_metered_response(
        request,
        partial(metering.start, order),
        is_stream=order.is_stream,
        keepalive_s=services.settings.keepalive_s,
    )


app.add_route("/v1/chat/completions", create_chat_completion, methods=["POST"])
app.state.get_services = get_services
app.state.get_metering = get_metering
make_ready(settings, get_services, get_metering, preparations=[load_encodings])
handler = Mangum(app, lifespan="off")
