"""FastAPI, imported without its forty models of OpenAPI, which wait until somebody calls one.

FastAPI imports them with itself, a quarter of its start, and calls them for `/openapi.json` and for
security schemes: no function here has either. So a hollow module stands in their place while
FastAPI is imported, whose classes make way for the real ones at the first call. Afterwards it is
taken away again: who imports `fastapi.openapi.models` gets FastAPI's own. Functions import from
here; where FastAPI was imported before, nothing is changed.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

__all__ = ["Depends", "FastAPI", "Query", "Request", "RequestValidationError", "Response"]

_MODELS = "fastapi.openapi.models"


class _Late(type):
    """A class of the hollow module: the real one's instances and attributes, when asked for."""

    def __call__(cls, *args: Any, **fields: Any) -> Any:
        """Return an instance of the real class; while FastAPI is imported, a default, of this."""
        if isinstance(sys.modules.get(_MODELS), _HollowModule):
            return super().__call__()
        return cls._find()(*args, **fields)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(cls._find(), name)

    def _find(cls) -> Any:
        return getattr(import_module(_MODELS), cls.__name__)


class _HollowModule(ModuleType):
    """Has every class that is asked for by name."""

    def __getattr__(self, name: str) -> _Late:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Late(name, (), {})


@contextmanager
def _hollowing_models() -> Iterator[None]:
    if "fastapi" in sys.modules:
        yield
        return
    sys.modules[_MODELS] = _HollowModule(_MODELS)
    try:
        yield
    finally:
        del sys.modules[_MODELS]


with _hollowing_models():
    from fastapi import Depends, FastAPI, Query, Request, Response
    from fastapi.exceptions import RequestValidationError
