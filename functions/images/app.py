"""POST /v1/images/generations, /edits and /variations: metered images, streamed or whole.

The app runs on the streaming runtime, which takes it out of `handler`: an image may take longer
than 29 seconds, and an answer may be larger than 6 MB. Under `sam local` Mangum serves it buffered.
"""

from functools import cache, partial

from mangum import Mangum
from tollgate.core.encodings import load_encodings
from tollgate.core.multipart import parse_form
from tollgate.ledger.rests import DynamoRestBoard
from tollgate.metering.chat import Metering
from tollgate.metering.image_bodies import ImageBody, read_form_body, read_json_body
from tollgate.metering.image_orders import read_image_order
from tollgate.metering.images import ImageJob
from tollgate.provider_keys import make_key_source
from tollgate.settings import Settings
from tollgate.upstream.client import Upstream, new_http_client
from tollgate.upstream.image_calls import ImageTask
from tollgate.web.lean_fastapi import Request, Response
from tollgate.web.metrics import make_metrics_log
from tollgate.web.readiness import make_ready
from tollgate.web.requests import read_body, read_json
from tollgate.web.responses import make_metered_response
from tollgate.web.services import Services, make_services
from tollgate.web.typed_app import create_typed_app

settings = Settings.read()
app = create_typed_app(
    "Tollgate images",
    cors_origin=settings.cors_origin,
    log_metrics=make_metrics_log("images", settings),
)


@cache
def get_services() -> Services:
    """Return the process's services; tests put another function into `app.state`."""
    return make_services(settings)


@cache
def get_metering() -> Metering:
    """Return the process's metering; as above."""
    services = get_services()
    upstream = Upstream(
        new_http_client(),
        services.catalog.current,
        make_key_source(settings),
        board=DynamoRestBoard(services.client, settings.table),
    )
    return Metering(ledger=services.ledger, upstream=upstream)


async def create_image(request: Request) -> Response:
    """Make images from a prompt."""
    return await _serve("generations", request)


async def create_image_edit(request: Request) -> Response:
    """Make images from images and a prompt."""
    return await _serve("edits", request)


async def create_image_variation(request: Request) -> Response:
    """Make images like an image."""
    return await _serve("variations", request)


async def _serve(task: ImageTask, request: Request) -> Response:
    """Answer an image request; the response itself reserves, calls, relays and settles."""
    services: Services = request.app.state.get_services()
    metering: Metering = request.app.state.get_metering()
    key = await services.authenticator.authenticate(request.headers.get("authorization"))
    order = read_image_order(
        await _read(request, services.settings.body_bytes_max),
        task=task,
        key=key,
        request_id=request.scope["state"]["request_id"],
        catalog=await services.catalog.current(),
    )
    return make_metered_response(
        request,
        partial(ImageJob, metering, order),
        is_stream=order.is_stream,
        keepalive_s=services.settings.keepalive_s,
    )


async def _read(request: Request, bytes_max: int) -> ImageBody:
    content_type = request.headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() == "multipart/form-data":
        return read_form_body(parse_form(await read_body(request, bytes_max), content_type))
    return read_json_body(await read_json(request, bytes_max))


app.add_route("/v1/images/generations", create_image, methods=["POST"])
app.add_route("/v1/images/edits", create_image_edit, methods=["POST"])
app.add_route("/v1/images/variations", create_image_variation, methods=["POST"])
app.state.get_services = get_services
app.state.get_metering = get_metering
make_ready(settings, get_services, get_metering, preparations=[load_encodings])
handler = Mangum(app, lifespan="off")
