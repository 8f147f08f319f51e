"""What orders of every kind read of a request: its model, and fields of a known type."""

from collections.abc import Collection, Iterable, Mapping

from tollgate.core.affixes import ModelName, parse_model_name
from tollgate.core.catalog import Catalog, Model, ModelKind
from tollgate.core.prices import Price
from tollgate.errors import (
    InvalidRequestError,
    ModelNotAllowedError,
    ModelNotFoundError,
    WrongModelKindError,
)
from tollgate.ledger.model import Key

_ENDPOINTS: Mapping[ModelKind, tuple[str, str]] = {
    "chat": ("a chat", "v1/chat/completions"),
    "image": ("an image", "v1/images"),
}


def read_model(
    body: Mapping[str, object], *, kind: ModelKind, key: Key, catalog: Catalog
) -> tuple[ModelName, Model, Price]:
    """Return the model that `body` names, on sale, of this kind, and allowed for the key.

    Raises: InvalidRequestError: no model is named; ModelNotFoundError; WrongModelKindError;
        ModelNotAllowedError.
    """
    asked = body.get("model")
    if asked is None and kind == "image":
        asked = catalog.image_model
    if not isinstance(asked, str) or not asked:
        raise InvalidRequestError("you must provide a model parameter", param="model")
    name = parse_model_name(asked, catalog.models)
    model = catalog.models[name.base]
    if model.price is None:
        raise ModelNotFoundError(asked)
    if model.kind != kind:
        wanted, endpoint = _ENDPOINTS[kind]
        raise WrongModelKindError(wanted=wanted, endpoint=endpoint)
    if key.models is not None and model.name not in key.models:
        raise ModelNotAllowedError(model.name)
    if read_typed(body, "official", bool):
        name = ModelName(base=name.base, is_web=name.is_web, is_official=True)
    return name, model, model.price


def check_spelling(names: Iterable[str], known: Collection[str], *, within: str = "") -> None:
    """Refuse a name that is a known one but for its case: Go's JSON reads it as that field.

    So "N" would reach the upstream as another `n` than the one that is paid for. `within`: the path
    of the object that has the names, with its dot.

    Raises: InvalidRequestError: names the field as it was spelled.
    Source: Go's encoding/json, "preferring exact matches but also accepting case-insensitive ones".
    """
    for name in names:
        if name not in known and name.casefold() in known:
            meant = name.casefold()
            raise InvalidRequestError(f"'{name}' must be spelled '{meant}'.", param=within + name)


def check_refused(names: Iterable[str], model: Model) -> None:
    """Refuse a field that the model's catalog entry refuses, in whatever case.

    Raises: InvalidRequestError: names the field as it was spelled.
    """
    for name in names:
        if name.casefold() in model.refused_fields:
            raise InvalidRequestError(f"'{name}' is not available for this model.", param=name)


def read_typed[T](body: Mapping[str, object], field: str, kind: type[T]) -> T | None:
    """Return a field of type `kind`, or None where it is absent or null.

    Raises: InvalidRequestError.
    """
    value = body.get(field)
    if value is None or isinstance(value, kind):
        return value
    wanted = {bool: "a boolean", dict: "an object", str: "a string"}[kind]
    raise InvalidRequestError(f"'{field}' must be {wanted}.", param=field)


def read_count(
    body: Mapping[str, object], field: str, count_max: int, *, at_least: int = 1
) -> int | None:
    """Return a whole number from `at_least` to `count_max`, or None where it is absent or null.

    Raises: InvalidRequestError.
    """
    value = body.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not at_least <= value <= count_max:
        raise InvalidRequestError(
            f"'{field}' must be an integer from {at_least} to {count_max}.", param=field
        )
    return value
