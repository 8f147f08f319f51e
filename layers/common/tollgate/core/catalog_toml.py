"""The catalog's TOML, read and checked; every complaint names the key that is wrong.

Hand-written because a schema library would put its own import (pydantic: a fifth of the models
function's cold start) in front of every first request, for one file.
"""

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from decimal import Decimal
from typing import Any

from tollgate.core.catalog import (
    Catalog,
    Channel,
    ImageTokens,
    Model,
    Route,
    Timeouts,
)
from tollgate.core.prices import Price
from tollgate.core.units import Micropoints, Picopoints
from tollgate.errors import CatalogError

_MILLIONTHS = 1_000_000
_SECONDS_MAX = 1000
_PRICE_MAX = 10**9  # points per million tokens
_NAME = re.compile(r"[^\s\x00-\x1f]{1,200}")
_TOKEN_KINDS = (
    "input",
    "cached_input",
    "cache_write",
    "audio_input",
    "output",
    "reasoning",
    "audio_output",
)
_FALLBACK_KINDS = {
    "cached_input": "input",
    "cache_write": "input",
    "audio_input": "input",
    "reasoning": "output",
    "audio_output": "output",
}


class _Table:
    """One TOML table being read: knows its dotted key and which of its keys nothing has read."""

    def __init__(self, value: object, key: str) -> None:
        if not isinstance(value, dict):
            raise CatalogError(key, "must be a table")
        self._values: dict[str, object] = dict(value)
        self.key = key

    def child(self, name: str) -> str:
        """Return the dotted key of an entry."""
        return f"{self.key}.{name}" if self.key else name

    def names(self) -> list[str]:
        """Return the keys that were not read yet."""
        return list(self._values)

    def take[T](self, name: str, kind: type[T], default: T | None = None) -> T:
        """Return an entry of type `kind`; without a default it must be there."""
        value = self._values.pop(name, default)
        if value is None:
            raise CatalogError(self.child(name), "is missing")
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise CatalogError(self.child(name), f"must be {_KIND_NAMES[kind]}")
        return value

    def take_any(self, name: str) -> object:
        """Return an entry of any type, or None."""
        return self._values.pop(name, None)

    def take_count(self, name: str, *, at_least: int, default: int | None = None) -> int:
        """Return a whole number."""
        value = self.take(name, int, default)
        if not at_least <= value < 2**53:
            raise CatalogError(self.child(name), f"must be a whole number, at least {at_least}")
        return value

    def take_choice(self, name: str, choices: tuple[str, ...], default: str) -> Any:
        """Return one of `choices`; typed by where it goes, a Literal."""
        value = self.take(name, str, default)
        for choice in choices:
            if value == choice:
                return choice
        raise CatalogError(self.child(name), f"must be one of {', '.join(choices)}")

    def end(self) -> None:
        """Complain of a key that nothing reads: a misspelt price must not go unnoticed."""
        for name in self._values:
            raise CatalogError(self.child(name), "is not a known key")


_KIND_NAMES: dict[type, str] = {
    str: "text",
    int: "a whole number",
    dict: "a table",
    list: "a list",
    bool: "true or false",
}


def parse_catalog(text: str) -> Catalog:
    """Return the catalog in `text`.

    Raises: CatalogError: not TOML, or a key is missing, unknown, or of the wrong kind.
    """
    try:
        document = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise CatalogError("catalog", f"is not TOML: {error}") from error
    root = _Table(document, "")
    points_per_usd = root.take_count("points_per_usd", at_least=1, default=100)
    channels = {
        name: _read_channel(_Table(value, f"channels.{name}"), name)
        for name, value in root.take("channels", dict, {}).items()
    }
    models = {
        name: _read_model(_Table(value, f"models.{name}"), name, channels)
        for name, value in root.take("models", dict, {}).items()
    }
    root.end()
    version = hashlib.sha256(text.encode()).hexdigest()[:12]
    return Catalog(version=version, points_per_usd=points_per_usd, channels=channels, models=models)


def _read_channel(table: _Table, name: str) -> Channel:
    kind = table.take_choice("kind", ("openai", "azure"), "openai")
    base_url = table.take("base_url", str).rstrip("/")
    if not re.match(r"https?://[^\s/]+", base_url):
        raise CatalogError(table.child("base_url"), "must be an http or https address")
    channel = Channel(
        name=name,
        kind=kind,
        base_url=base_url,
        key_name=table.take("key", str, "") or None,
        api_version=table.take("api_version", str, "") or None,
        headers=_read_headers(table),
        output_limit_field=table.take_choice(
            "output_limit_field", ("max_tokens", "max_completion_tokens"), "max_tokens"
        ),
        timeouts=_read_timeouts(_Table(table.take("timeouts", dict, {}), table.child("timeouts"))),
    )
    table.end()
    return channel


def _read_headers(table: _Table) -> dict[str, str]:
    headers = table.take("headers", dict, {})
    for name, value in headers.items():
        if not isinstance(value, str) or re.search(r"[\r\n]", f"{name}{value}"):
            raise CatalogError(table.child(f"headers.{name}"), "must be text of one line")
    return dict(headers)


def _read_timeouts(table: _Table) -> Timeouts:
    seconds = {}
    for field in fields(Timeouts):
        value = table.take_any(field.name)
        if value is None:
            continue
        if (
            isinstance(value, bool)
            or not isinstance(value, int | Decimal)
            or not 0 < value < _SECONDS_MAX
        ):
            raise CatalogError(table.child(field.name), "must be seconds, above 0 and below 1000")
        seconds[field.name] = float(value)
    table.end()
    return Timeouts(**seconds)


def _read_model(table: _Table, name: str, channels: Mapping[str, Channel]) -> Model:
    if not _NAME.fullmatch(name):
        raise CatalogError(table.key, "a model's name has 1 to 200 characters and no space")
    context = table.take_count("context_tokens_max", at_least=1)
    model = Model(
        name=name,
        owned_by=table.take("owned_by", str, "tollgate"),
        created=table.take_count("created", at_least=0, default=0),
        context_tokens_max=context,
        output_tokens_max=min(context, table.take_count("output_tokens_max", at_least=1)),
        encoding=table.take_choice("encoding", ("o200k_base", "cl100k_base"), "o200k_base"),
        image_tokens=_read_image_tokens(table),
        price=_read_price(table.take_any("price"), table.child("price")),
        routes=_read_routes(table, name, channels),
        tier_percents=_read_tiers(table),
    )
    table.end()
    return model


def _read_image_tokens(parent: _Table) -> ImageTokens:
    table = _Table(
        parent.take("image_tokens", dict, {"scheme": "flat", "base": 2048}),
        parent.child("image_tokens"),
    )
    scheme = table.take_choice("scheme", ("tile", "patch", "flat"), "flat")
    image_tokens = ImageTokens(
        scheme=scheme,
        base=table.take_count("base", at_least=0, default=0),
        tile=table.take_count("tile", at_least=0, default=0),
        patches_max=table.take_count("patches_max", at_least=1, default=1536),
        multiplier_percent=table.take_count("multiplier_percent", at_least=1, default=100),
    )
    table.end()
    return image_tokens


def _read_tiers(parent: _Table) -> dict[str, int]:
    tiers = _Table(parent.take("service_tiers", dict, {}), parent.child("service_tiers"))
    return {name: tiers.take_count(name, at_least=1) for name in tiers.names()}


def _read_routes(parent: _Table, model: str, channels: Mapping[str, Channel]) -> tuple[Route, ...]:
    key = parent.child("channels")
    entries = parent.take("channels", list)
    if not entries:
        raise CatalogError(key, "must name at least one channel")
    return tuple(
        _read_route(entry, f"{key}[{position}]", model, channels)
        for position, entry in enumerate(entries)
    )


def _read_route(entry: object, key: str, model: str, channels: Mapping[str, Channel]) -> Route:
    table = _Table({"channel": entry} if isinstance(entry, str) else entry, key)
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
        return _price(dict.fromkeys(_TOKEN_KINDS, 0), request=0, search=0)
    table = _Table(value, key) if isinstance(value, dict) else None
    if table is None:
        raise CatalogError(key, 'must be a table, or "free"')
    kinds = {kind: _read_amount(table, kind) for kind in _TOKEN_KINDS}
    amounts = {name: _read_amount(table, name) or 0 for name in ("request", "search")}
    table.end()
    for kind in ("input", "output"):
        if kinds[kind] is None:
            raise CatalogError(f"{key}.{kind}", "is missing")
    for kind, fallback in _FALLBACK_KINDS.items():
        if kinds[kind] is None:
            kinds[kind] = kinds[fallback]
    return _price({kind: found or 0 for kind, found in kinds.items()}, **amounts)


def _price(picopoints: Mapping[str, int], *, request: int, search: int) -> Price:
    return Price(
        **{kind: Picopoints(amount) for kind, amount in picopoints.items()},
        request=Micropoints(request),
        search=Micropoints(search),
    )


def _read_amount(table: _Table, name: str) -> int | None:
    """Return a price in millionths of a point: a token's picopoints, or micropoints."""
    value = table.take_any(name)
    if value is None:
        return None
    problem = "must be a number of points, 0 or more, with at most 6 decimals"
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise CatalogError(table.child(name), problem)
    amount = Decimal(value)
    if not amount.is_finite() or not 0 <= amount <= _PRICE_MAX:
        raise CatalogError(table.child(name), problem)
    scaled = amount * _MILLIONTHS
    if scaled != int(scaled):
        raise CatalogError(table.child(name), problem)
    return int(scaled)
