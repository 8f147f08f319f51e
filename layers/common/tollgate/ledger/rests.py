"""The board of rests on DynamoDB: one item, an attribute a channel or model of one.

    CHANNELS / RESTS    rest:<channel>           = {until_ms, faults, asked_ms, probe}
                        rest:<channel> <model>   the same

Kept small, so that a look is half a read unit and a write a few units. Who writes when:
`upstream.shared_rests`, whose `RestBoard` this is. No money hangs on it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from tollgate.core.rests import Board, Rest
from tollgate.ledger import items
from tollgate.ledger.connection import reaching_the_ledger
from tollgate.ledger.items import Item
from tollgate.ledger.writes import ConditionalWriter

_KEY: Item = {"pk": {"S": "CHANNELS"}, "sk": {"S": "RESTS"}}
_PREFIX = "rest:"  # keeps a channel called "pk" apart from the key


class DynamoRestBoard:
    """Implements `upstream.shared_rests.RestBoard`. The client is safe to share by threads."""

    def __init__(self, client: Any, table: str) -> None:
        """`client`: from `connection.connect`."""
        self._client = client
        self._table = table
        self._writer = ConditionalWriter(client, table)

    async def read(self) -> Board:
        """Return the board, eventually consistent: it is looked at again soon."""
        return await asyncio.to_thread(self._read)

    async def post(self, key: str, rest: Rest, *, stale: Sequence[str] = ()) -> tuple[bool, Board]:
        """Write `rest` unless a longer one stands, and remove `stale` ones with it."""
        condition = "attribute_not_exists(#c) OR #c.until_ms < :until"
        values = _values(rest) | {":until": items.number(rest.until_ms)}
        names = {f"#s{n}": _PREFIX + name for n, name in enumerate(stale)}
        update = "SET #c = :rest" + (f" REMOVE {', '.join(names)}" if names else "")
        return await asyncio.to_thread(self._write, key, update, condition, values, names)

    async def claim(self, key: str, probe: Rest, *, now_ms: int) -> tuple[bool, Board]:
        """Write `probe` over a rest that is over: for one of all who try."""
        values = _values(probe) | {":now": items.number(now_ms)}
        return await asyncio.to_thread(
            self._write, key, "SET #c = :rest", "#c.until_ms <= :now", values
        )

    async def replace(self, key: str, rest: Rest, *, probe_ms: int) -> tuple[bool, Board]:
        """Write `rest` over the probe that has until `probe_ms`."""
        values = _values(rest) | {":until": items.number(probe_ms), ":yes": items.number(1)}
        condition = "#c.until_ms = :until AND #c.probe = :yes"
        return await asyncio.to_thread(self._write, key, "SET #c = :rest", condition, values)

    async def remove(self, key: str, *, until_ms: int) -> None:
        """Remove the rest of `key` unless it goes beyond `until_ms` and is no probe."""
        values = {":until": items.number(until_ms), ":yes": items.number(1)}
        condition = "#c.until_ms <= :until OR #c.probe = :yes"
        await asyncio.to_thread(self._write, key, "REMOVE #c", condition, values)

    def _read(self) -> Board:
        with reaching_the_ledger():
            answer = self._client.get_item(TableName=self._table, Key=_KEY)
        return _read_board(answer.get("Item", {}))

    def _write(
        self,
        key: str,
        update: str,
        condition: str,
        values: Item,
        stale: Mapping[str, str] = MappingProxyType({}),
    ) -> tuple[bool, Board]:
        answer = self._writer.update(
            _KEY,
            update=update,
            condition=condition,
            names={"#c": _PREFIX + key, **stale},
            values=values,
            is_read_whole=True,
        )
        return answer.is_written, _read_board(answer.item)


def _values(rest: Rest) -> Item:
    fields = {
        "until_ms": rest.until_ms,
        "faults": rest.faults,
        "asked_ms": rest.asked_ms,
        "probe": int(rest.is_probe),
    }
    return {":rest": items.numbers(fields)}


def _read_board(item: Item) -> Board:
    rests = ((name, _read_rest(value)) for name, value in item.items() if name.startswith(_PREFIX))
    return {name.removeprefix(_PREFIX): rest for name, rest in rests if rest is not None}


def _read_rest(value: Item) -> Rest | None:
    """Return a rest; None for what is none: an operator's hand must not fail requests.

    Those of an earlier version have neither `asked_ms` nor `probe`.
    """
    try:
        fields = {name: int(field["N"]) for name, field in value["M"].items()}
        return Rest(
            until_ms=fields["until_ms"],
            faults=fields["faults"],
            asked_ms=fields.get("asked_ms", 0),
            is_probe=bool(fields.get("probe", 0)),
        )
    except (KeyError, ValueError, TypeError, AttributeError):
        return None
