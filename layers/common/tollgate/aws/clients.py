"""Which client a service gets: the lean one on Lambda as it comes, else botocore's.

    on Lambda, keys in its environment, an AWS region of the first partitions   AwsClient
    a database on this machine                                                  AwsClient
    another endpoint, a proxy, a profile, a bundle of roots, FIPS, SnapStart's
    keys, another partition, a laptop                                           botocore's

So whatever AWS's own tools understand is understood; botocore is imported only then.
"""

import re
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

from tollgate.aws.client import AwsClient
from tollgate.aws.signing import Keys, Signer
from tollgate.aws.wire import Limits, Wire
from tollgate.settings import read_environment
from tollgate.trust import make_amazon_context

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
LOCAL_KEYS = Keys(access_key="local", secret_key="local")  # noqa: S106 - a local database takes any
# The partitions aws and aws-us-gov, whose endpoints have Amazon's own roots; botocore's patterns.
_REGION = re.compile(r"(us|eu|ap|sa|ca|me|af|il|mx)-(gov-)?\w+-\d+")
_ON_LAMBDA = "AWS_LAMBDA_FUNCTION_NAME"
_UNUSUAL = (
    "AWS_CA_BUNDLE",
    "AWS_CONFIG_FILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_ENDPOINT_URL",
    "AWS_PROFILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_USE_FIPS_ENDPOINT",
    "REQUESTS_CA_BUNDLE",
)
_TOKENS = ("AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN")  # of one meaning, in botocore's order
_PROXIES = {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"}


class ClientMaker(Protocol):
    """Makes a client of a service: an object with its operations as methods, and `close`.

    They raise AwsError's kinds.
    """

    def __call__(
        self, service: str, *, region: str, limits: Limits, endpoint_url: str | None = None
    ) -> Any:
        """Return the client; nothing is called yet."""


def make_client(
    service: str, *, region: str, limits: Limits, endpoint_url: str | None = None
) -> Any:
    """Return a client of `dynamodb` or `secretsmanager`. It is a `ClientMaker`."""
    if is_local(endpoint_url):
        return _make_local(service, region, limits, endpoint_url or "")
    environment = read_environment()
    if endpoint_url is None and is_usual(environment, region):
        return _make_amazons(service, region, limits)
    from tollgate.aws.botocore_clients import make_botocore_client  # noqa: PLC0415 - 60 ms

    return make_botocore_client(service, region=region, limits=limits, endpoint_url=endpoint_url)


def is_local(endpoint_url: str | None) -> bool:
    """Return whether an endpoint is a database on this machine, which asks nobody for keys."""
    where = urlsplit(endpoint_url or "")
    return where.scheme == "http" and where.hostname in _LOOPBACK


def is_usual(environment: Mapping[str, str], region: str) -> bool:
    """Return whether this is Lambda as it comes, and AWS's endpoint is the region's own."""
    has_keys = environment.get("AWS_ACCESS_KEY_ID") and environment.get("AWS_SECRET_ACCESS_KEY")
    is_changed = any(
        environment[name] and (name.startswith(_UNUSUAL) or name.upper() in _PROXIES)
        for name in environment
    )
    is_on_lambda = bool(environment.get(_ON_LAMBDA))
    return is_on_lambda and bool(has_keys) and not is_changed and bool(_REGION.fullmatch(region))


def _read_keys() -> Keys:
    environment = read_environment()
    tokens = (environment.get(name) for name in _TOKENS)
    return Keys(
        access_key=environment["AWS_ACCESS_KEY_ID"],
        secret_key=environment["AWS_SECRET_ACCESS_KEY"],
        token=next(filter(None, tokens), None),
    )


def _make_amazons(service: str, region: str, limits: Limits) -> AwsClient:
    host = f"{service}.{region}.amazonaws.com"
    return AwsClient(
        service,
        host,
        signer=Signer(_read_keys, service=service, region=region),
        wire=Wire(host, 443, limits, tls=make_amazon_context()),
        limits=limits,
    )


def _make_local(service: str, region: str, limits: Limits, endpoint_url: str) -> AwsClient:
    where = urlsplit(endpoint_url)
    return AwsClient(
        service,
        where.netloc,
        signer=Signer(lambda: LOCAL_KEYS, service=service, region=region),
        wire=Wire(where.hostname or "", where.port or 80, limits),
        limits=limits,
    )
