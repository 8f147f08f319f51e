"""Who is calling: Bearer key ▶ checksum ▶ SHA-256 ▶ key item, cached for half a minute.

A malformed key costs no read. A disabled key works for at most `CACHE_S` more on a sandbox that has
it cached; a suspended account stops at once, since every reserve looks at it.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime

from tollgate.core.keys import is_well_formed, key_sha256
from tollgate.errors import InvalidKeyError, MissingKeyError
from tollgate.ledger.model import Key, Ledger

CACHE_S = 30
_ENTRIES_MAX = 1000


class Authenticator:
    """Finds the key's record; one a process."""

    def __init__(self, ledger: Ledger, now: Callable[[], datetime]) -> None:
        """`now` returns aware UTC."""
        self._ledger = ledger
        self._now = now
        self._entries: dict[str, tuple[datetime, Key | None]] = {}

    async def authenticate(self, authorization: str | None) -> Key:
        """Return the record of the key in an `Authorization` header.

        Raises: MissingKeyError; InvalidKeyError; LedgerUnavailableError.
        """
        scheme, _, token = (authorization or "").strip().partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise MissingKeyError
        key = await self._find(token.strip())
        if key is None or not key.is_usable(self._now()):
            raise InvalidKeyError
        return key

    async def _find(self, token: str) -> Key | None:
        if not is_well_formed(token):
            return None
        digest = key_sha256(token)
        found_at, key = self._entries.get(digest, (None, None))
        if found_at is not None and (self._now() - found_at).total_seconds() < CACHE_S:
            return key
        key = await asyncio.to_thread(self._ledger.find_key, digest)
        if len(self._entries) >= _ENTRIES_MAX:
            self._entries.clear()
        self._entries[digest] = (self._now(), key)
        return key
