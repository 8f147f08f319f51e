"""Where a page of usage records ended, as opaque text for the caller to hand back.

    base64url( check, 6 bytes | the sort key of the page's last record, UTF-8 )

A cursor is a place, never a right: whose records are read is the key's account alone. The check
ties it to that account, so that a cut, altered or foreign one is an error and not a wrong page.
"""

import base64
import hashlib

from tollgate.errors import InvalidRequestError

_CHECK_BYTES = 6
_CHARACTERS_MAX = 500


def format_cursor(account_id: str, sk: str) -> str:
    """Return the cursor of a record's sort key."""
    return base64.urlsafe_b64encode(_check(account_id, sk) + sk.encode()).decode().rstrip("=")


def parse_cursor(account_id: str, text: str) -> str:
    """Return the sort key in a cursor.

    Raises: InvalidRequestError: not one that this account was given.
    """
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        sk = raw[_CHECK_BYTES:].decode()
    except ValueError:
        sk = ""
    if len(text) > _CHARACTERS_MAX or not sk or text != format_cursor(account_id, sk):
        raise InvalidRequestError("'after' must be the 'next' of another page.", param="after")
    return sk


def _check(account_id: str, sk: str) -> bytes:
    return hashlib.sha256(f"{account_id}\n{sk}".encode()).digest()[:_CHECK_BYTES]
