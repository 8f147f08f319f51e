"""`make openapi`: the OpenAPI document of the whole API, out of the functions' own apps.

    python -m local.openapi > docs/openapi.json

Paths and methods are what FastAPI finds in the four apps; bodies and answers come from
`local.openapi_schemas`, since the apps pass on fields that they do not know and so validate by
hand. A route without an entry there is an error, and so is an entry without a route. It is not in
the layer: no function pays for it at its start.
"""

import json
import re
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

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
        app: FastAPI = import_module(f"functions.{name}.app").app
        for path, methods in _read_paths(app).items():
            paths[path] = {method: _describe(method, path) for method in methods}
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


def _read_paths(app: FastAPI) -> Mapping[str, Mapping[str, Any]]:
    found: Mapping[str, Mapping[str, Any]] = get_openapi(
        title=app.title, version="1", routes=app.routes
    )["paths"]
    return found


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
