"""GET /v1/models and /v1/models/{model}: what this key may use. Reads only.

Some clients give up on a slow first answer, so this is kept quick when cold: Starlette alone, and
neither FastAPI and pydantic nor httpx nor the tokenizer is imported (docs/decisions, number 5).
"""

from functools import cache

from mangum import Mangum
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tollgate.core.affixes import parse_model_name
from tollgate.core.catalog import Catalog, Model
from tollgate.errors import ModelNotAllowedError, ModelNotFoundError
from tollgate.ledger.model import Key
from tollgate.settings import Settings
from tollgate.web.app import answer_json, create_app
from tollgate.web.metrics import make_metrics_log
from tollgate.web.readiness import make_ready
from tollgate.web.services import Services, make_services

settings = Settings.read()


@cache
def get_services() -> Services:
    """Return the process's services; tests put another function into `app.state`."""
    return make_services(settings)


async def list_models(request: Request) -> Response:
    """List the base names that the key may use, sorted."""
    key, catalog = await _open(request)
    models = [catalog.models[name] for name in sorted(catalog.models)]
    data = [_describe(model, model.name) for model in models if _is_offered(model, key)]
    return answer_json({"object": "list", "data": data})


async def retrieve_model(request: Request) -> Response:
    """Describe one model; affixes are accepted and the answer has the name asked for."""
    key, catalog = await _open(request)
    name: str = request.path_params["model"]
    found = _find(name, catalog)
    if not _is_offered(found, key):
        raise ModelNotAllowedError(found.name)
    return answer_json(_describe(found, name))


async def _open(request: Request) -> tuple[Key, Catalog]:
    """Return the caller's key and the catalog in force.

    Raises: AuthenticationError; LedgerUnavailableError; CatalogError.
    """
    services: Services = request.app.state.get_services()
    key = await services.authenticator.authenticate(request.headers.get("authorization"))
    return key, await services.catalog.current()


def _find(name: str, catalog: Catalog) -> Model:
    model = catalog.models[parse_model_name(name, catalog.models).base]
    if model.price is None:
        raise ModelNotFoundError(name)
    return model


def _is_offered(model: Model, key: Key) -> bool:
    return model.price is not None and (key.models is None or model.name in key.models)


def _describe(model: Model, name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": model.created, "owned_by": model.owned_by}


app = create_app(
    [
        Route("/v1/models", list_models, methods=["GET"]),
        Route("/v1/models/{model:path}", retrieve_model, methods=["GET"]),
    ],
    cors_origin=settings.cors_origin,
    log_metrics=make_metrics_log("models", settings),
)
app.state.get_services = get_services
make_ready(settings, get_services)
handler = Mangum(app, lifespan="off")
