"""The operator's keys for the vendors. A key is in no log, no repr and no exception.

Who reads the environment or Secrets Manager hands the reading in: neither `os.environ` nor boto3
is known here.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from tollgate.core.json_text import parse_object
from tollgate.errors import ConfigurationError

_log = logging.getLogger("tollgate.upstream")
REFRESH_S = 900.0
RENEWAL_PAUSE_S = 60.0


class KeySource(Protocol):
    """Where the keys are kept."""

    async def key(self, name: str) -> str:
        """Return the key called `name`.

        Raises: ConfigurationError: there is none, or it cannot be sent in a header.
        """

    async def renew(self, name: str, rejected: str) -> bool:
        """Look for a successor of a key that the vendor rejected; whether there is one now."""


class EnvKeys:
    """Keys from environment variables."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    async def key(self, name: str) -> str:
        """Return the variable `name`. Raises: ConfigurationError: unset or unfit."""
        return _checked(name, self._environment.get(name))

    async def renew(self, name: str, rejected: str) -> bool:
        """Return False: a process's environment does not change."""
        del name, rejected
        return False


class SecretKeys:
    """Keys from one secret, a JSON object of names and keys, read at first use.

    It is read again every `refresh_s`, and when a vendor rejects a key (it may have been rotated),
    then at most every `RENEWAL_PAUSE_S`. While it cannot be read the known keys stay in use.
    """

    def __init__(
        self,
        fetch_secret: Callable[[], str],
        *,
        clock: Callable[[], float] = time.monotonic,
        refresh_s: float = REFRESH_S,
    ) -> None:
        """`fetch_secret` may block and raises ConfigurationError; `clock`: seconds."""
        self._fetch_secret = fetch_secret
        self._clock = clock
        self._refresh_s = refresh_s
        self._keys: Mapping[str, object] | None = None
        self._read_at = 0.0
        self._lock = asyncio.Lock()

    async def key(self, name: str) -> str:
        """Return the entry `name`. Raises: ConfigurationError: no secret, no entry, or unfit."""
        return _checked(name, (await self._current(self._refresh_s)).get(name))

    async def renew(self, name: str, rejected: str) -> bool:
        """Read the secret again unless that was done just now; whether `name` has changed."""
        value = (await self._current(RENEWAL_PAUSE_S)).get(name)
        return isinstance(value, str) and value.strip() != rejected

    async def _current(self, age_max_s: float) -> Mapping[str, object]:
        async with self._lock:
            if self._keys is None or self._clock() - self._read_at >= age_max_s:
                await self._read()
            return self._keys or {}

    async def _read(self) -> None:
        try:
            self._keys = _parse_secret(await asyncio.to_thread(self._fetch_secret))
        except ConfigurationError:
            if self._keys is None:
                raise
            _log.warning("the provider secret could not be read again")
        self._read_at = self._clock()


def _parse_secret(text: str) -> Mapping[str, object]:
    try:
        return parse_object(text)
    except ValueError:
        # The parser's error holds the whole text: it must not be chained.
        raise ConfigurationError("the provider secret is not a JSON object") from None


def _checked(name: str, value: object) -> str:
    """Return the key without surrounding space; the HTTP library would print an unfit one."""
    key = value.strip() if isinstance(value, str) else ""
    if not key:
        raise ConfigurationError(f"there is no provider key {name}")
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise ConfigurationError(f"the provider key {name} has characters that no key has")
    return key
