"""API keys: `sk-tg-` + 40 random base62 characters + a 6-character checksum.

The checksum (CRC-32, as in GitHub's tokens) lets a mistyped or invented key be refused without a
read, and lets secret scanners know a real one. Only the SHA-256 of a key is ever stored: with 238
random bits there is nothing for a slow hash to protect.
"""

import hashlib
import zlib
from collections.abc import Callable

PREFIX = "sk-tg-"
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_LENGTH = 40
_CHECKSUM_LENGTH = 6


def make_key(choice: Callable[[str], str]) -> str:
    """Return a new key; `choice` picks one character of a string, by a cryptographic source."""
    secret = "".join(choice(_ALPHABET) for _ in range(_SECRET_LENGTH))
    return f"{PREFIX}{secret}{_checksum(secret)}"


def is_well_formed(key: str) -> bool:
    """Return whether `key` can be one of ours, by its form and checksum alone."""
    secret, checksum = key[len(PREFIX) : -_CHECKSUM_LENGTH], key[-_CHECKSUM_LENGTH:]
    return (
        key.startswith(PREFIX)
        and len(secret) == _SECRET_LENGTH
        and key.isascii()
        and key.removeprefix(PREFIX).isalnum()
        and checksum == _checksum(secret)
    )


def key_sha256(key: str) -> str:
    """Return the hex digest under which a key's record is kept."""
    return hashlib.sha256(key.encode()).hexdigest()


def _checksum(secret: str) -> str:
    number, digits = zlib.crc32(secret.encode()), ""
    for _ in range(_CHECKSUM_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits
