"""Credentials for a made-up Bedrock, and a check of signatures that botocore has no part in."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from urllib.parse import quote

from botocore.credentials import ReadOnlyCredentials

SECRET = "not-a-secret"
CREDENTIALS = ReadOnlyCredentials("AKID", SECRET, "session")
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=AKID/(\d{8})/([^/]+)/bedrock/aws4_request, "
    r"SignedHeaders=([^,]+), Signature=([0-9a-f]{64})"
)


class FixedCredentials:
    """The same credentials for ever."""

    async def current(self) -> ReadOnlyCredentials:
        return CREDENTIALS


def is_signed(
    headers: Mapping[str, str], path: str, body: bytes, *, region: str, secret: str = SECRET
) -> bool:
    """Whether a POST that came to `path` carries the signature of its own bytes.

    `headers`: lower-case names, with `host`; `path`: as it stood in the request's first line.
    Source: "Create a signed AWS API request" in AWS's IAM user guide; its path is encoded twice.
    """
    found = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
    if found is None or found[2] != region or "host" not in found[3].split(";"):
        return False
    canonical = "\n".join(
        [
            "POST",
            quote(path, safe="/~"),
            "",
            *(f"{name}:{headers[name]}" for name in found[3].split(";")),
            "",
            found[3],
            hashlib.sha256(body).hexdigest(),
        ]
    )
    scope = f"{found[1]}/{region}/bedrock/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{headers['x-amz-date']}\n{scope}\n{digest}"
    key = f"AWS4{secret}".encode()
    for part in (*scope.split("/"), text):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.compare_digest(key.hex(), found[4])
