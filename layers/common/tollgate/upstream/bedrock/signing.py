"""AWS credentials and the signature of one request. A secret is in no log, repr or exception.

botocore signs; the request itself is sent by the client of all channels, so that its connections,
time-outs and unbuffered bytes are theirs. boto3's own client blocks, and loads a model of the whole
service first.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import BotoCoreError
from botocore.session import get_session

from tollgate.errors import ConfigurationError

_SERVICE = "bedrock"


class CredentialSource(Protocol):
    """Where the credentials come from."""

    async def current(self) -> ReadOnlyCredentials:
        """Return credentials that are valid now.

        Raises: ConfigurationError: there are none, or they cannot be renewed.
        """


class RoleCredentials:
    """What botocore finds: the function's role on Lambda, a profile or variables elsewhere."""

    def __init__(self, find: Callable[[], Any] = lambda: get_session().get_credentials()) -> None:
        """`find` returns botocore's credentials, or None; it may block."""
        self._find = find
        self._credentials: Any = None

    async def current(self) -> ReadOnlyCredentials:
        """Return the credentials, renewed if they are about to expire. Raises: ConfigurationError.

        In a thread, since finding and renewing them reads files and asks servers.
        """
        return await asyncio.to_thread(self._read)

    def _read(self) -> ReadOnlyCredentials:
        try:
            self._credentials = self._credentials or self._find()
            if self._credentials is None:
                raise ConfigurationError("there are no AWS credentials for Bedrock")
            frozen: ReadOnlyCredentials = self._credentials.get_frozen_credentials()
        except BotoCoreError as error:
            raise ConfigurationError("the AWS credentials for Bedrock cannot be read") from error
        return frozen


def sign(
    url: str, body: bytes, headers: Mapping[str, str], *, region: str, by: ReadOnlyCredentials
) -> dict[str, str]:
    """Return `headers` with those that sign a POST of `body` to `url` (Signature Version 4).

    Headers that are added later are not signed, and need not be.
    """
    request = AWSRequest(method="POST", url=url, data=body, headers=dict(headers))
    SigV4Auth(by, _SERVICE, region).add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}
