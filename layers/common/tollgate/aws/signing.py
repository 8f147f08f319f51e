"""Signature Version 4 of a POST to `/`, which is all that AWS's JSON protocols ever send.

    key        HMAC of HMAC … of the secret, the day, the region and the service: one a day
    signed     the headers' names and values and the body's digest, in one fixed form
    signature  HMAC of the key, the time, the scope and the digest of what is signed

Hand-written because botocore's takes a tenth of a second to import and makes an object of each
request; a property test holds the two to the same headers. Source: AWS, "Create a signed AWS API
request"; botocore.auth.SigV4Auth.
"""

import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass, field

_ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Credentials of AWS; only `access_key` may be shown. `token`: of a role's session."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


class Signer:
    """Signs for one service of one region. Threads may share it."""

    def __init__(
        self,
        find_keys: Callable[[], Keys],
        *,
        service: str,
        region: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`clock`: seconds since the epoch; a signature holds for five minutes around it."""
        self._find_keys = find_keys
        self._keys = find_keys()
        self._region = region
        self._service = service
        self._clock = clock
        self._of_day: tuple[str, Keys, bytes] | None = None

    def renew(self) -> bool:
        """Read the keys again; return whether they are others now."""
        before, self._keys = self._keys, self._find_keys()
        return before != self._keys

    def sign(self, headers: dict[str, str], body: bytes) -> dict[str, str]:
        """Return `headers` with those that sign them all.

        `headers`: with small names, `host` among them, and values without needless space.
        """
        keys = self._keys
        at = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._clock()))
        headers = headers | {"x-amz-date": at}
        if keys.token is not None:
            headers["x-amz-security-token"] = keys.token
        names = ";".join(sorted(headers))
        lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
        canonical = f"POST\n/\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        day = at[:8]
        scope = f"{day}/{self._region}/{self._service}/aws4_request"
        text = f"{_ALGORITHM}\n{at}\n{scope}\n{digest}"
        signature = _digest(self._find_day_key(day, keys), text).hex()
        headers["authorization"] = (
            f"{_ALGORITHM} Credential={keys.access_key}/{scope}, SignedHeaders={names}, "
            f"Signature={signature}"
        )
        return headers

    def _find_day_key(self, day: str, keys: Keys) -> bytes:
        """Return the key of a day; four HMACs, so the last one is kept."""
        known = self._of_day
        if known is not None and known[0] == day and known[1] is keys:
            return known[2]
        key = f"AWS4{keys.secret_key}".encode()
        for part in (day, self._region, self._service, "aws4_request"):
            key = _digest(key, part)
        self._of_day = (day, keys, key)
        return key


def _digest(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
