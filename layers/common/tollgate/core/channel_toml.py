"""A channel's table in the catalog: what each kind must have and must not have."""

import re
from dataclasses import fields
from typing import Any

from tollgate.core.catalog import Channel, Timeouts
from tollgate.core.toml_table import Table
from tollgate.errors import CatalogError

_SECONDS_MAX = 1000
_REGION = re.compile(r"[a-z]{2}(-[a-z]+){1,3}-[0-9]{1,2}")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")


def read_channel(table: Table, name: str) -> Channel:
    """Return the channel called `name`. Raises: CatalogError."""
    table.check_name(name)
    kind = table.take_choice("kind", ("openai", "azure", "bedrock"), "openai")
    of_kind = _read_bedrock_fields(table) if kind == "bedrock" else _read_openai_fields(table)
    channel = Channel(
        name=name,
        kind=kind,
        headers=_read_headers(table.take_table("headers")),
        timeouts=_read_timeouts(table.take_table("timeouts")),
        **of_kind,
    )
    table.end()
    return channel


def _read_openai_fields(table: Table) -> dict[str, Any]:
    return {
        "base_url": table.take_address("base_url"),
        "key_name": table.take("key", str, "") or None,
        "api_version": table.take("api_version", str, "") or None,
        "output_limit_field": table.take_choice(
            "output_limit_field", ("max_tokens", "max_completion_tokens"), "max_tokens"
        ),
        "has_stream_options": table.take_flag("stream_options", default=True),
    }


def _read_bedrock_fields(table: Table) -> dict[str, Any]:
    if table.take_any("key") is not None:
        raise CatalogError(table.child("key"), "a bedrock channel has none: the role signs")
    region = table.take("region", str)
    if not _REGION.fullmatch(region):
        raise CatalogError(table.child("region"), 'must be a region of AWS, such as "us-east-1"')
    address = f"https://bedrock-runtime.{region}.amazonaws.com"
    return {"region": region, "base_url": table.take_address("base_url", address)}


def _read_headers(table: Table) -> dict[str, str]:
    headers = {name: table.take(name, str) for name in table.names()}
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise CatalogError(table.child(name), "must be a header: ASCII text of one line")
    return headers


def _read_timeouts(table: Table) -> Timeouts:
    given = {
        field.name: table.take_seconds(field.name, below=_SECONDS_MAX) for field in fields(Timeouts)
    }
    table.end()
    return Timeouts(**{name: value for name, value in given.items() if value is not None})
