"""FastAPI, imported without the validators of its forty models of OpenAPI, which nothing asks for.

pydantic builds a model's validator where the class is made, or, with `defer_build`, when it is
first used. FastAPI leaves that at its default, and so 20 of the 200 ms that its import takes go
into validators that only its `/openapi.json` needs, which no function serves. The setting is
pydantic's own, and is back at its default when the import is done. Functions import from here.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import BaseModel

__all__ = ["Depends", "FastAPI", "Query", "Request", "RequestValidationError", "Response"]


@contextmanager
def deferring_validators() -> Iterator[None]:
    """Let models that are defined meanwhile be built when they are first used."""
    BaseModel.model_config["defer_build"] = True
    try:
        yield
    finally:
        del BaseModel.model_config["defer_build"]


with deferring_validators():
    from fastapi import Depends, FastAPI, Query, Request, Response
    from fastapi.exceptions import RequestValidationError
