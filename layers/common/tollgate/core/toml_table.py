"""One table of a TOML file while it is read: typed entries, and complaints that name the key.

Hand-written because a schema library would put its own import (pydantic: a fifth of the models
function's cold start) in front of every first request, for one file.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from tollgate.errors import CatalogError

COUNT_MAX = 2**53 - 1
POINTS_PROBLEM = "must be a number of points, 0 or more, with at most 6 decimals"
_POINTS_MAX = 10**9
_POINTS_DECIMALS = 6
_ADDRESS = re.compile(r"https?://[^\s/?#]+(/[^\s?#]*)?")
_NAME_CHARACTERS_MAX = 200
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_KIND_NAMES: Mapping[type, str] = {
    str: "text",
    int: "a whole number",
    dict: "a table",
    list: "a list",
}


def dotted_key(parent: str, name: str) -> str:
    """Return the key as TOML writes it, so that it can be searched for: `models."gpt-4.1"`."""
    quoted = name if _BARE_KEY.fullmatch(name) else f'"{name}"'
    return f"{parent}.{quoted}" if parent else quoted


class Table:
    """One table being read: knows its dotted key and which of its entries nothing has read.

    Every method raises CatalogError where an entry is not what it should be.
    """

    def __init__(self, value: object, key: str) -> None:
        """`value`: what TOML has at `key`; refused unless it is a table."""
        if not isinstance(value, dict):
            raise CatalogError(key, "must be a table")
        self._values: dict[str, object] = dict(value)
        self.key = key

    def child(self, name: str) -> str:
        """Return the dotted key of an entry."""
        return dotted_key(self.key, name)

    def names(self) -> list[str]:
        """Return the keys that were not read yet."""
        return list(self._values)

    def take[T](self, name: str, kind: type[T], default: T | None = None) -> T:
        """Return an entry of type `kind`; without a default it must be there."""
        value = self._values.pop(name, default)
        if value is None:
            raise CatalogError(self.child(name), f"is missing; must be {_KIND_NAMES[kind]}")
        if not isinstance(value, kind) or isinstance(value, bool):
            raise CatalogError(self.child(name), f"must be {_KIND_NAMES[kind]}")
        return value

    def take_table(self, name: str, default: Mapping[str, object] | None = None) -> "Table":
        """Return the table at `name`, an empty one where it is absent and has no default."""
        value = self._values.pop(name, {} if default is None else default)
        return Table(value, self.child(name))

    def take_tables(self, name: str) -> "dict[str, Table]":
        """Return the tables in the table at `name`, by their names."""
        outer = self.take_table(name)
        return {entry: outer.take_table(entry) for entry in outer.names()}

    def take_any(self, name: str) -> object:
        """Return an entry of any type, or None."""
        return self._values.pop(name, None)

    def take_flag(self, name: str, *, default: bool) -> bool:
        """Return true or false."""
        value = self._values.pop(name, default)
        if not isinstance(value, bool):
            raise CatalogError(self.child(name), "must be true or false")
        return value

    def take_count(self, name: str, *, at_least: int, default: int | None = None) -> int:
        """Return a whole number."""
        value = self.take(name, int, default)
        if not at_least <= value <= COUNT_MAX:
            raise CatalogError(self.child(name), f"must be a whole number, at least {at_least}")
        return value

    def take_number(self, name: str, problem: str) -> Decimal | None:
        """Return a finite number, or None where it is absent; `problem` says what is expected."""
        value = self._values.pop(name, None)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            raise CatalogError(self.child(name), problem)
        number = Decimal(value)
        if not number.is_finite():
            raise CatalogError(self.child(name), problem)
        return number

    def take_points(self, name: str) -> int | None:
        """Return points as millionths, or None where it is absent.

        Points per million tokens are a token's picopoints then, and points are micropoints.
        """
        amount = self.take_number(name, POINTS_PROBLEM)
        if amount is None:
            return None
        if not 0 <= amount <= _POINTS_MAX or amount != round(amount, _POINTS_DECIMALS):
            raise CatalogError(self.child(name), POINTS_PROBLEM)
        return int(amount.scaleb(_POINTS_DECIMALS))

    def take_seconds(self, name: str, *, below: int) -> float | None:
        """Return seconds above 0 and below `below`, or None where it is absent."""
        problem = f"must be seconds, above 0 and below {below}"
        value = self.take_number(name, problem)
        if value is None:
            return None
        if not 0 < value < below:
            raise CatalogError(self.child(name), problem)
        return float(value)

    def take_address(self, name: str, default: str | None = None) -> str:
        """Return an http or https address without query, and without a slash at its end."""
        address = self.take(name, str, default).rstrip("/")
        if not _ADDRESS.fullmatch(address):
            raise CatalogError(self.child(name), "must be an http or https address")
        return address

    def take_choice(self, name: str, choices: tuple[str, ...], default: str) -> Any:
        """Return one of `choices`; typed by where it goes, a Literal."""
        value = self.take(name, str, default)
        if value not in choices:
            raise CatalogError(self.child(name), f"must be one of {', '.join(choices)}")
        return value

    def check_name(self, name: str) -> None:
        """Complain of a name that could not stand in a request or in a log's line."""
        is_fit = 1 <= len(name) <= _NAME_CHARACTERS_MAX and name.isprintable() and " " not in name
        if not is_fit:
            raise CatalogError(self.key, "a name has 1 to 200 printable characters and no space")

    def end(self) -> None:
        """Complain of an entry that nothing read: a misspelt price must not go unnoticed."""
        for name in self._values:
            raise CatalogError(self.child(name), "is not a known key")
