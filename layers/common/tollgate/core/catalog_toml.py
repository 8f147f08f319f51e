"""The catalog's TOML, read and checked; every complaint names the key that is wrong.

What each key means is in docs/catalog.md.
"""

import hashlib
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from tollgate.core.catalog import (
    Catalog,
    Channel,
    ImageTokens,
    Model,
    ModelKind,
    Route,
)
from tollgate.core.channel_toml import read_channel
from tollgate.core.image_toml import read_image_defaults, read_image_output, read_image_price
from tollgate.core.prices import Price
from tollgate.core.search_toml import read_search_provider
from tollgate.core.toml_table import POINTS_PROBLEM, Table, dotted_key
from tollgate.core.units import Micropoints, Picopoints
from tollgate.errors import CatalogError

_DEFAULT_IMAGE_TOKENS: Mapping[str, object] = {"scheme": "flat", "base": 2048}
_FALLBACK_KINDS: Mapping[str, str | None] = {
    "input": None,
    "output": None,
    "cached_input": "input",
    "cache_write": "input",
    "audio_input": "input",
    "reasoning": "output",
    "audio_output": "output",
}


def parse_catalog(text: str) -> Catalog:
    """Return the catalog in `text`.

    Raises: CatalogError: not TOML, or a key is missing, unknown, or of the wrong kind.
    """
    root = Table(_parse_toml(text), "")
    points_per_usd = root.take_count("points_per_usd", at_least=1, default=100)
    channels = {
        name: read_channel(table, name) for name, table in root.take_tables("channels").items()
    }
    models = {
        name: _read_model(table, name, channels)
        for name, table in root.take_tables("models").items()
    }
    for model in models.values():
        _check_fallback(model, models)
    search = [
        read_search_provider(table, name) for name, table in root.take_tables("search").items()
    ]
    image_model = _read_image_model(root, models)
    root.end()
    return Catalog(
        version=hashlib.sha256(text.encode()).hexdigest()[:12],
        points_per_usd=points_per_usd,
        channels=channels,
        models=models,
        search=tuple(sorted(search, key=lambda provider: provider.priority)),
        image_model=image_model,
    )


def _parse_toml(text: str) -> dict[str, object]:
    try:
        text.encode()
        return tomllib.loads(text, parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError) as error:
        # Beside TOMLDecodeError: half characters, numbers too long for Python, endless brackets.
        raise CatalogError("catalog", f"is not TOML: {error}") from error


def _read_image_model(root: Table, models: Mapping[str, Model]) -> str | None:
    name = root.take("image_model", str, "")
    if not name:
        return None
    if name not in models or models[name].kind != "image":
        raise CatalogError("image_model", f"there is no image model {name!r}")
    return name


def _read_model(table: Table, name: str, channels: Mapping[str, Channel]) -> Model:
    table.check_name(name)
    kind = table.take_choice("kind", ("chat", "image"), "chat")
    of_kind = _read_image_fields(table) if kind == "image" else _read_chat_fields(table)
    model = Model(
        name=name,
        kind=kind,
        owned_by=table.take("owned_by", str, "tollgate"),
        created=table.take_count("created", at_least=0, default=0),
        encoding=table.take_choice("encoding", ("o200k_base", "cl100k_base"), "o200k_base"),
        image_tokens=_read_image_tokens(table.take_table("image_tokens", _DEFAULT_IMAGE_TOKENS)),
        routes=_read_routes(table, name, kind, channels),
        refused_fields=_read_refused(table),
        **of_kind,
    )
    table.end()
    return model


def _read_chat_fields(table: Table) -> dict[str, Any]:
    context = table.take_count("context_tokens_max", at_least=1)
    return {
        "context_tokens_max": context,
        "output_tokens_max": min(context, table.take_count("output_tokens_max", at_least=1)),
        "price": _read_price(table.take_any("price"), table.child("price")),
        "tier_percents": _read_tiers(table.take_table("service_tiers")),
        "fallback": _read_fallback(table),
    }


def _read_fallback(table: Table) -> tuple[str, ...]:
    names = table.take("fallback", list, [])
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise CatalogError(table.child("fallback"), "must be a list of models, each named once")
    return tuple(names)


def _check_fallback(model: Model, models: Mapping[str, Model]) -> None:
    """Complain of a fallback that could not serve. Two models may name each other: see `Model`."""
    for position, name in enumerate(model.fallback):
        key = f"{dotted_key('models', model.name)}.fallback[{position}]"
        other = models.get(name)
        if other is None or other.kind != "chat":
            raise CatalogError(key, f"there is no chat model {name!r}")
        if other is model:
            raise CatalogError(key, "a model cannot stand in for itself")
        if other.price is None:
            raise CatalogError(key, f"{name!r} has no price")


def _read_image_fields(table: Table) -> dict[str, Any]:
    price = read_image_price(table.take_any("price"), table.child("price"))
    output = read_image_output(table.take_any("image_output"), table.child("image_output"))
    if price is not None and price.images is None and output is None:
        # Without either, an answer without usage would be free.
        raise CatalogError(table.child("image_output"), "is missing; or give price.images")
    return {
        "price": price,
        "image_output": output,
        "image_defaults": read_image_defaults(table.take_table("image_defaults")),
    }


def _read_image_tokens(table: Table) -> ImageTokens:
    image_tokens = ImageTokens(
        scheme=table.take_choice("scheme", ("tile", "patch", "flat"), "flat"),
        base=table.take_count("base", at_least=0, default=0),
        tile=table.take_count("tile", at_least=0, default=0),
        patches_max=table.take_count("patches_max", at_least=1, default=1536),
        multiplier_percent=table.take_count("multiplier_percent", at_least=1, default=100),
    )
    table.end()
    return image_tokens


def _read_refused(table: Table) -> frozenset[str]:
    names = table.take("refused_fields", list, [])
    if not all(isinstance(name, str) and name and name == name.casefold() for name in names):
        raise CatalogError(table.child("refused_fields"), "must be a list of lower-case names")
    return frozenset(names)


def _read_tiers(table: Table) -> dict[str, int]:
    return {name: table.take_count(name, at_least=1) for name in table.names()}


def _read_routes(
    parent: Table, model: str, kind: ModelKind, channels: Mapping[str, Channel]
) -> tuple[Route, ...]:
    key = parent.child("channels")
    entries = parent.take("channels", list)
    if not entries:
        raise CatalogError(key, "must name at least one channel")
    routes: dict[tuple[str, str], Route] = {}
    for position, entry in enumerate(entries):
        route = _read_route(entry, f"{key}[{position}]", model, channels)
        if (route.channel, route.upstream_model) in routes:
            raise CatalogError(f"{key}[{position}]", "names a channel and model a second time")
        if kind == "image" and channels[route.channel].kind == "bedrock":
            raise CatalogError(f"{key}[{position}]", "a bedrock channel serves chat models only")
        routes[route.channel, route.upstream_model] = route
    return tuple(routes.values())


def _read_route(entry: object, key: str, model: str, channels: Mapping[str, Channel]) -> Route:
    table = Table({"channel": entry} if isinstance(entry, str) else entry, key)
    channel = table.take("channel", str)
    if channel not in channels:
        raise CatalogError(key, f"there is no channel {channel!r}")
    route = Route(
        channel=channel,
        upstream_model=table.take("model", str, model),
        priority=table.take_count("priority", at_least=0, default=0),
        weight=table.take_count("weight", at_least=1, default=1),
    )
    table.end()
    return route


def _read_price(value: object, key: str) -> Price | None:
    if value is None:
        return None
    if value == "free":
        return _make_price(dict.fromkeys(_FALLBACK_KINDS, 0), request=0)
    if not isinstance(value, dict):
        raise CatalogError(key, 'must be a table, or "free"')
    table = Table(value, key)
    kinds: dict[str, int] = {}
    for kind, fallback in _FALLBACK_KINDS.items():
        amount = table.take_points(kind)
        if amount is None and fallback is None:
            raise CatalogError(table.child(kind), f"is missing; {POINTS_PROBLEM}")
        kinds[kind] = kinds[fallback or kind] if amount is None else amount
    if kinds["cached_input"] > kinds["input"]:
        # A hold assumes that no input is dearer than fresh input.
        raise CatalogError(table.child("cached_input"), "must not be above input")
    request = table.take_points("request") or 0
    table.end()
    return _make_price(kinds, request=request)


def _make_price(picopoints: Mapping[str, int], *, request: int) -> Price:
    kinds: dict[str, Any] = {kind: Picopoints(amount) for kind, amount in picopoints.items()}
    return Price(**kinds, request=Micropoints(request))
