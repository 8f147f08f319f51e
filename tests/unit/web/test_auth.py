"""Keys, and how often the ledger is asked for them."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tollgate.core.keys import key_sha256, make_key
from tollgate.errors import InvalidKeyError, MissingKeyError
from tollgate.ledger.model import Key
from tollgate.web.auth import CACHE_S, Authenticator

from tests.fakes.ledger import FakeLedger

NOW = datetime(2026, 11, 23, tzinfo=UTC)
TOKEN = make_key(random.Random(1).choice)
RECORD = Key(account_id="a", key_id="k", label="", status="active", created_at=NOW)


class CountingLedger(FakeLedger):
    reads = 0

    def find_key(self, key_sha256: str) -> Key | None:
        self.reads += 1
        return super().find_key(key_sha256)


class Setting:
    """An authenticator with a clock that can be turned."""

    def __init__(self, *records: Key) -> None:
        self.now = NOW
        self.ledger = CountingLedger()
        self.ledger.keys = {key_sha256(TOKEN): record for record in records}
        self.authenticator = Authenticator(self.ledger, lambda: self.now)

    async def ask(self, header: str | None = f"Bearer {TOKEN}") -> Key:
        return await self.authenticator.authenticate(header)


@pytest.mark.parametrize("header", [f"Bearer {TOKEN}", f"bearer {TOKEN}", f"  Bearer   {TOKEN} "])
async def test_good_keys(header: str) -> None:
    """The scheme's case and spaces do not matter."""
    assert await Setting(RECORD).ask(header) == RECORD


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic abc", TOKEN])
async def test_no_key(header: str | None) -> None:
    """Nothing, or another scheme, is no key."""
    with pytest.raises(MissingKeyError):
        await Setting(RECORD).ask(header)


@pytest.mark.parametrize(
    "token", ["x", "sk-" + "a" * 48, TOKEN[:-1], TOKEN + "a", TOKEN[:-1] + "!"]
)
async def test_malformed_keys_cost_no_read(token: str) -> None:
    """Guessing is refused by the checksum alone."""
    setting = Setting(RECORD)

    with pytest.raises(InvalidKeyError):
        await setting.ask(f"Bearer {token}")

    assert setting.ledger.reads == 0


@pytest.mark.parametrize(
    "records",
    [
        [],
        [replace(RECORD, status="disabled")],
        [replace(RECORD, expires_at=NOW)],
        [replace(RECORD, expires_at=NOW - timedelta(seconds=1))],
    ],
)
async def test_keys_that_open_nothing(records: list[Key]) -> None:
    """Unknown, disabled and expired are the same to the caller."""
    with pytest.raises(InvalidKeyError):
        await Setting(*records).ask()


async def test_key_is_read_again_after_a_while() -> None:
    """Known for half a minute, found or not; a disabled key is noticed then."""
    setting = Setting(RECORD)
    for _ in range(3):
        await setting.ask()
    assert setting.ledger.reads == 1

    setting.ledger.keys[key_sha256(TOKEN)] = replace(RECORD, status="disabled")
    setting.now += timedelta(seconds=CACHE_S)
    with pytest.raises(InvalidKeyError):
        await setting.ask()
    assert setting.ledger.reads == 2
    assert CACHE_S < 60


async def test_expiry_is_looked_at_on_each_request() -> None:
    """A cached key ends on time."""
    setting = Setting(replace(RECORD, expires_at=NOW + timedelta(seconds=5)))
    await setting.ask()
    setting.now += timedelta(seconds=5)

    with pytest.raises(InvalidKeyError):
        await setting.ask()
    assert setting.ledger.reads == 1


async def test_cache_is_bounded() -> None:
    """Guesses with a right checksum do not fill the memory."""
    setting = Setting()
    source = random.Random(2)
    for _ in range(1100):
        with pytest.raises(InvalidKeyError):
            await setting.ask(f"Bearer {make_key(source.choice)}")

    assert len(setting.authenticator._entries) <= 1000
