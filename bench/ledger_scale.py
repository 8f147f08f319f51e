"""What a request writes, and where one account meets the limits of one DynamoDB partition.

Item sizes are those of the store's own items, by AWS's rules; the rest is a simulation of arrivals
on paper: no database is asked. docs/ledger.md#scale has the figures and what they mean.
Source: AWS, "DynamoDB item sizes and formats", "Best practices for partition keys".
"""

import heapq
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from tollgate.core.units import Micropoints
from tollgate.ledger import items
from tollgate.ledger.items import Item
from tollgate.ledger.model import Ask, Reservation, UsageRecord

PARTITION_UNITS_S = 1000
ITEM_BYTES_MAX = 400 * 1024
STREAM_S = 15.0
TRANSACTION_S = 0.010  # assumed; AWS promises single-digit milliseconds for single writes
_UNIT_BYTES = 1024
_NOW = datetime(2026, 11, 24, 12, 0, 0, 123000, tzinfo=UTC)
_NOTHING = Ask(worst=Micropoints(0), floor=Micropoints(0), least=Micropoints(0), is_limited=False)

# Public prices of us-east-1, on demand, since November 2024; dollars.
WRITE_UNIT_MILLION = 0.625
READ_UNIT_MILLION = 0.125
GIGABYTE_MONTH = 0.25


def value_bytes(value: Item) -> int:
    """Return the size of one typed value, without its name."""
    [(kind, content)] = value.items()
    if kind == "N":
        digits = len(str(abs(int(content))).rstrip("0")) or 1
        return 1 + math.ceil(digits / 2) + (int(content) < 0)
    if kind == "M":
        return 3 + sum(1 + len(name) + value_bytes(entry) for name, entry in content.items())
    return 1 if kind in ("BOOL", "NULL") else len(content.encode())


def item_bytes(item: Item) -> int:
    """Return the size of an item as DynamoDB counts it for capacity."""
    return sum(len(name.encode()) + value_bytes(value) for name, value in item.items())


def write_units(size: int) -> int:
    """Return the units of one plain write; a transaction's write takes twice as many."""
    return max(1, math.ceil(size / _UNIT_BYTES))


def busy_account(holds: int, keys: int = 3) -> Item:
    """Return an account as the store keeps it, with so many streams running."""
    dice = random.Random(1)
    item = items.account_item("a-customer", _NOW)
    for name in ("balance", "held", "spent", "granted", "taken"):
        item[name] = items.number(dice.randrange(10**8, 10**9))
    item |= {"open": items.text(items.OPEN_PK), "open_since": items.text(items.format_time(_NOW))}
    for number in range(holds):
        hold = Reservation(
            account_id="a-customer",
            key_id=f"key_{number % keys:012x}",
            request_id=f"{dice.getrandbits(128):032x}"[:32] + "----",
            since=_NOW,
            attempt=f"{number:011d}",
            ask=_NOTHING,
        ).hold(Micropoints(dice.randrange(10**5, 10**6)))
        item["holds"]["M"][hold.request_id] = items.hold_item(hold)
        item["numbers"]["M"][hold.attempt] = items.number(dice.randrange(10**6))
    for number in range(keys):
        item["key_used"]["M"][f"key_{number:012x}"] = items.number(dice.randrange(10**8))
    return item


def usual_record() -> UsageRecord:
    """Return a usage record of the usual size."""
    return UsageRecord(
        account_id="a-customer",
        key_id="key_0123456789ab",
        request_id="0" * 36,
        since=_NOW,
        finished_at=_NOW,
        endpoint="chat.completions",
        model="gpt-4o-mini",
        channel="openai",
        tokens={"prompt": 1322, "completion": 123, "cached": 1024, "reasoning": 64},
        is_exact=True,
        is_stream=True,
        quota=Micropoints(1_340_000),
        outcome="complete",
        hold_number=123_456,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A way to keep holds: bytes of an account without any, and of each; over so many items."""

    name: str
    base: int
    hold: int
    shards: int = 1

    def units(self, holds: int) -> int:
        """Return the units of one write to the account with so many holds in all."""
        return write_units(self.base + self.hold * math.ceil(holds / self.shards))

    @property
    def holds_max(self) -> int:
        """The streams at once that fit into the items at all."""
        return (ITEM_BYTES_MAX - self.base) // self.hold * self.shards


def layouts() -> list[Layout]:
    """Return today's layout, measured, and the two ways past it."""
    base = item_bytes(busy_account(0))
    hold = (item_bytes(busy_account(100)) - base) // 100
    # A name of 22 characters (the id's 16 bytes), and 24 bytes: amount, time, key, attempt, number.
    compact = 1 + 22 + 24
    return [
        Layout(name="today", base=base, hold=hold),
        Layout(name="compact holds", base=base, hold=compact),
        Layout(name="8 balance shards", base=base, hold=hold, shards=8),
        Layout(name="compact, 8 shards", base=base, hold=compact, shards=8),
    ]


def simulate(layout: Layout, streams: int, seconds: int = 120) -> float:
    """Return the mean units a second that the busiest shard takes, `streams` at once on average.

    Streams come at random and last `STREAM_S` on average. The day's sums lie in the account's own
    partition; they go with the first shard.
    """
    dice, now, running = random.Random(streams), 0.0, streams
    ends = [dice.expovariate(1 / STREAM_S) for _ in range(streams)]
    heapq.heapify(ends)
    taken: Counter[int] = Counter()
    arrival = dice.expovariate(streams / STREAM_S)
    while now < seconds:
        if not ends or arrival < ends[0]:
            now, running = arrival, running + 1
            heapq.heappush(ends, now + dice.expovariate(1 / STREAM_S))
            arrival = now + dice.expovariate(streams / STREAM_S)
            taken[dice.randrange(layout.shards)] += layout.units(running)
        else:
            now, running = heapq.heappop(ends), running - 1
            taken[dice.randrange(layout.shards)] += layout.units(running + 1)
            taken[0] += 2
    return max(taken.values()) / seconds


def find_limit(layout: Layout) -> int:
    """Return the streams at once at which the busiest partition is full."""
    low, high = 1, layout.holds_max
    while low < high:
        middle = (low + high + 1) // 2
        if simulate(layout, middle, seconds=20) <= PARTITION_UNITS_S:
            low = middle
        else:
            high = middle - 1
    return low


def simulate_day(rate: float, shards: int = 1, seconds: int = 60) -> tuple[float, float]:
    """Return tries a journal and the share that gives up, at `rate` journals a second of one day.

    Two transactions on one item at once cancel each other's second; the waits are the store's.
    """
    dice = random.Random(int(rate))
    queue: list[tuple[float, int, int]] = []
    busy = [0.0] * shards
    at = 0.0
    while (at := at + dice.expovariate(rate)) < seconds:
        heapq.heappush(queue, (at, 0, dice.randrange(shards)))
    journals, tries, lost = len(queue), 0, 0
    while queue:
        now, attempt, shard = heapq.heappop(queue)
        tries += 1
        if now >= busy[shard]:
            busy[shard] = now + TRANSACTION_S
        elif attempt == 11:
            lost += 1
        else:
            wait_s = dice.uniform(0, min(0.02 * 2 ** (attempt + 1), 0.5))
            heapq.heappush(queue, (now + wait_s, attempt + 1, shard))
    return tries / journals, lost / journals


def _costs() -> Iterator[str]:
    record = write_units(item_bytes(items.usage_item(usual_record())))
    today = layouts()[0]
    for streams in (1, 10, 100, 1000):
        account = 2 * today.units(streams)
        units = account + 2 * record + 2
        dollars = units * WRITE_UNIT_MILLION + 0.5 * READ_UNIT_MILLION
        yield (
            f"  {streams:5} streams at once: {units:4} units a request ({account} account,"
            f" {2 * record} record, 2 day), ${dollars:.2f} a million requests"
        )


def main() -> None:
    """Print sizes, limits and costs."""
    record = item_bytes(items.usage_item(usual_record()))
    print(f"\nLedger on paper; a stream lasts {STREAM_S:.0f} s")
    print(
        f"  a usage record: {record} bytes, ${GIGABYTE_MONTH * (record + 100) / 1000:.2f} a month"
        " for each million kept"
    )
    for layout in layouts():
        limit = find_limit(layout)
        print(
            f"  {layout.name:18} {layout.base} bytes + {layout.hold} a hold;"
            f" 1000 units/s at {limit} streams at once ({limit / STREAM_S:.0f} requests/s);"
            f" 400 KB at {layout.holds_max}"
        )
    print("  units/s of the account's partition, today:")
    _print_load(layouts()[0])
    print("  journals of one account and model (one day's item), a transaction of 10 ms:")
    for rate in (10, 20, 40, 60, 80):
        tries, lost = simulate_day(rate)
        sharded, _ = simulate_day(rate, shards=8)
        print(
            f"  {rate:5} a second: {tries:.2f} tries each, {lost:.1%} given up;"
            f" {sharded:.2f} tries with 8 items a day"
        )
    for line in _costs():
        print(line)


def _print_load(layout: Layout) -> None:
    bytes_of: Callable[[int], int] = lambda holds: item_bytes(busy_account(holds))  # noqa: E731
    for streams in (1, 5, 10, 20, 50, 100, 200, 300):
        print(
            f"  {streams:5} streams: {bytes_of(streams):6} bytes, {layout.units(streams):3} units"
            f" a write, {simulate(layout, streams):7.1f} units/s"
        )


if __name__ == "__main__":
    main()
