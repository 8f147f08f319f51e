"""`make openapi`: the OpenAPI document of the whole API, out of the functions' own apps.

    python -m local.openapi > docs/openapi.json

Paths and methods are those of the four apps' routes; bodies and answers come from
`local.openapi_schemas`, since the apps pass on fields that they do not know and so validate by
hand. A route without an entry there is an error, and so is an entry without a route. It is not in
the layer: no function pays for it at its start.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Route

from local.openapi_schemas import COMPONENTS, OPERATIONS

FUNCTIONS = ("chat", "images", "models", "billing")
_SERVERS = [
    {
        "url": "https://{api}.execute-api.{region}.amazonaws.com/api",
        "description": "A deployment; its output BaseUrl has the values.",
        "variables": {"api": {"default": "example"}, "region": {"default": "us-east-1"}},
    },
    {"url": "http://127.0.0.1:3000", "description": "make run"},
]
_DESCRIPTION = (
    "OpenAI's API, metered with prepaid keys. Fields that are not named here are accepted and go "
    "to the upstream as they are. Every route answers OPTIONS."
)


def make_document() -> dict[str, Any]:
    """Return the document, an OpenAPI 3.1 object.

    Raises: KeyError: a route has no entry in `OPERATIONS`. ValueError: an entry has no route.
    """
    paths: dict[str, dict[str, Any]] = {}
    for name in FUNCTIONS:
        app: Starlette = import_module(f"functions.{name}.app").app
        for method, path in _read_routes(app):
            paths.setdefault(path, {})[method] = _describe(method, path)
    _check_entries(paths)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tollgate",
            "version": "1",
            "description": _DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": _SERVERS,
        "security": [{"key": []}],
        "paths": dict(sorted(paths.items())),
        "components": COMPONENTS,
    }


def _read_routes(app: Starlette) -> Iterator[tuple[str, str]]:
    """Yield the methods and paths of an app; HEAD comes with each GET and is not told apart."""
    for route in app.routes:
        if not isinstance(route, Route):
            raise TypeError(f"{route!r} has neither path nor methods")
        for method in sorted((route.methods or set()) - {"HEAD"}):
            yield method.lower(), route.path_format


def _describe(method: str, path: str) -> dict[str, Any]:
    """Return one operation: what the table says of it, and the parameters in its path."""
    operation = dict(OPERATIONS[method, path])
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)\}", path)
    ]
    parameters += operation.pop("parameters", [])
    return operation | ({"parameters": parameters} if parameters else {})


def _check_entries(paths: Mapping[str, Mapping[str, Any]]) -> None:
    stale = {(method, path) for method, path in OPERATIONS if method not in paths.get(path, {})}
    if stale:
        raise ValueError(f"no app has {sorted(stale)}")


def main() -> None:
    """Print the document."""
    json.dump(make_document(), sys.stdout, indent=1, ensure_ascii=False)
    print()


if __name__ == "__main__":
    main()
