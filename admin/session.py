"""One run of the command: the table that it works on, and how it says what it found."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import boto3
from rich.console import Console
from rich.table import Table
from tollgate.core.json_text import write_decimals
from tollgate.core.units import Micropoints, format_points, points_number
from tollgate.ledger.accounts import DynamoAccounts
from tollgate.ledger.adoption import Adopted, adopt
from tollgate.ledger.connection import connect
from tollgate.ledger.open_accounts import DynamoSweptLedger
from tollgate.ledger.store import DynamoLedger

type Row = Mapping[str, object]
_PIPE_COLUMNS = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Where the ledger is, and whether a person or a script reads the answer."""

    table: str
    endpoint_url: str | None
    region: str | None
    is_json: bool

    def accounts(self) -> DynamoAccounts:
        """Return the operator's side of the ledger."""
        return DynamoAccounts(self._connect(), self.table)

    def ledger(self) -> DynamoLedger:
        """Return the requests' side of the ledger."""
        return DynamoLedger(self._connect(), self.table)

    def swept_ledger(self) -> DynamoSweptLedger:
        """Return the sweep's side of the ledger."""
        return DynamoSweptLedger(self._connect(), self.table)

    def adopt(self, source: str) -> Adopted:
        """Copy another table's items into this one."""
        return adopt(self._connect(), source=source, target=self.table)

    def _connect(self) -> Any:
        region = self.region or boto3.Session().region_name or "us-east-1"
        return connect(region=region, endpoint_url=self.endpoint_url, read_timeout_s=10.0)

    def show(self, rows: Sequence[Row], *, title: str, is_single: bool = False) -> None:
        """Print rows: a table for people, JSON for scripts (one object if `is_single`)."""
        if self.is_json:
            _print_json(rows[0] if is_single else list(rows))
        elif rows:
            _print_table(rows)
        else:
            print(f"No {title}.")

    def show_with_total(
        self, rows: Sequence[Row], total: Row, *, title: str, note: str = ""
    ) -> None:
        """Print rows and a total: a last line for people, beside the rows for scripts.

        `note`: what people have to know to read it, below it.
        """
        if self.is_json:
            _print_json({title: list(rows), "total": total})
        elif rows:
            first, *_ = rows[0]
            _print_table([*rows, {first: "total", **total}])
            if note:
                print(note)
        else:
            print(f"No {title}.")

    def say(self, words: str, row: Row) -> None:
        """Print one sentence for people, or the facts behind it as JSON."""
        if self.is_json:
            _print_json(row)
        else:
            print(words)


class Points:
    """An amount that is text for people and a number for scripts."""

    def __init__(self, amount: Micropoints) -> None:
        self.amount = amount

    def __str__(self) -> str:
        return format_points(self.amount)


def _print_json(value: object) -> None:
    print(write_decimals(json.dumps(value, indent=2, default=_number)))


def _number(value: object) -> object:
    """Return what JSON has no form for: points as the number that they are written as."""
    return points_number(value.amount) if isinstance(value, Points) else str(value)


def _print_table(rows: Sequence[Row]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, value in rows[0].items():
        is_number = isinstance(value, int | Points) and not isinstance(value, bool)
        table.add_column(
            name.replace("_", " "),
            justify="right" if is_number else "left",
            overflow="fold",
            no_wrap=name in ("account", "key_id", "request_id", "time"),
        )
    for row in rows:
        values = (row.get(name) for name in rows[0])
        table.add_row(*("" if value is None else str(value) for value in values))
    is_piped = not sys.stdout.isatty()
    Console(width=_PIPE_COLUMNS if is_piped else None, highlight=False).print(table)
