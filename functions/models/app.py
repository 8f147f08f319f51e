"""GET /v1/models and /v1/models/{model}: what this key may use. Reads only.

Some clients give up on a slow first answer, so this is kept quick when cold: neither httpx nor the
tokenizer is imported, and the routes take the request and return responses, since the first typed
parameter or answer makes pydantic build as long as all of our modules take to import.
"""

from functools import cache
from typing import Annotated

from fastapi import Depends, Request, Response
from mangum import Mangum
from tollgate.core.affixes import parse_model_name
from tollgate.core.catalog import Catalog, Model
from tollgate.errors import ModelNotAllowedError, ModelNotFoundError
from tollgate.ledger.model import Key
from tollgate.settings import Settings
from tollgate.web.app import answer_json, create_app
from tollgate.web.services import Services, make_services

settings = Settings.read()
app = create_app("Tollgate models", cors_origin=settings.cors_origin)


@cache
def get_services() -> Services:
    """Return the process's services; tests override this dependency."""
    return make_services(settings)


@app.get("/v1/models")
async def list_models(
    request: Request, services: Annotated[Services, Depends(get_services)]
) -> Response:
    """List the base names that the key may use, sorted."""
    key = await services.authenticator.authenticate(request.headers.get("authorization"))
    catalog = await services.catalog.current()
    models = [catalog.models[name] for name in sorted(catalog.models)]
    data = [_describe(model, model.name) for model in models if _is_offered(model, key)]
    return answer_json({"object": "list", "data": data})


@app.get("/v1/models/{model:path}")
async def retrieve_model(
    request: Request, services: Annotated[Services, Depends(get_services)]
) -> Response:
    """Describe one model; affixes are accepted and the answer has the name asked for."""
    key = await services.authenticator.authenticate(request.headers.get("authorization"))
    name: str = request.path_params["model"]
    found = _find(name, await services.catalog.current())
    if not _is_offered(found, key):
        raise ModelNotAllowedError(found.name)
    return answer_json(_describe(found, name))


def _find(name: str, catalog: Catalog) -> Model:
    model = catalog.models[parse_model_name(name, catalog.models).base]
    if model.price is None:
        raise ModelNotFoundError(name)
    return model


def _is_offered(model: Model, key: Key) -> bool:
    return model.price is not None and (key.models is None or model.name in key.models)


def _describe(model: Model, name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": model.created, "owned_by": model.owned_by}


handler = Mangum(app, lifespan="off")
