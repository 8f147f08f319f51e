"""botocore's clients, for whoever's AWS is not Lambda's as it comes; made to start quickly.

As it comes, botocore lists the data of 400 services, reads 1.2 MB of their endpoints and builds
a machine for endpoint rules, most of which DynamoDB in a known region does not need. All that is
changed is what its loader answers, by the loader's public methods. Credentials, signatures,
time-outs and retries are botocore's own, and so is what `AWS_ENDPOINT_URL…`, profiles and the
other variables of AWS's tools do. Who asks for FIPS or dual-stack endpoints, or names a service
that is not listed here, gets botocore's whole data. Its errors are turned into this package's.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.loaders import Loader
from botocore.session import get_session

from tollgate.aws.clients import LOCAL_KEYS, is_local
from tollgate.aws.errors import AwsRefusedError, AwsUnansweredError
from tollgate.aws.wire import Limits
from tollgate.settings import read_environment
from tollgate.trust import find_amazon_roots

_SERVICES = ("dynamodb", "secretsmanager")
_MODEL = "service-2"
_PARTITIONS = ("aws", "aws-us-gov")
_CHANGES = ("AWS_ENDPOINT_URL", "AWS_CA_BUNDLE", "AWS_CONFIG_FILE", "REQUESTS_CA_BUNDLE")
_UNUSUAL = ("use_fips_endpoint", "use_dualstack_endpoint")
# What botocore's parser fails with where an answer has not the shape that its model says.
_PARSERS_ERRORS = (AttributeError, LookupError, RecursionError, TypeError, ValueError)


class LeanLoader(Loader):  # type: ignore[misc] # botocore has no types
    """Knows the services that are called here, without rules for their endpoints.

    botocore then takes the endpoint from its older table of partitions, which has the same answer
    for these services everywhere; tests compare them. The table is made of the 7 kB file of
    partitions. Source: botocore.client.ClientCreator.create_client.
    """

    def list_available_services(self, type_name: str) -> list[str]:
        """Return the services, none for the kind of file that has the rules."""
        return list(_SERVICES) if type_name == _MODEL else []

    def load_data_with_path(self, name: str) -> tuple[Any, str]:
        """Return a file's data and its path; of the endpoints what partitions have in common."""
        if name != "endpoints":
            found: tuple[Any, str] = super().load_data_with_path(name)
            return found
        data, path = super().load_data_with_path("partitions")
        return {"partitions": [_read_partition(one) for one in data["partitions"]]}, path


def _read_partition(partition: Mapping[str, Any]) -> dict[str, object]:
    return {
        "partition": partition["id"],
        "dnsSuffix": partition["outputs"]["dnsSuffix"],
        "regionRegex": partition["regionRegex"],
        "regions": {region: {} for region in partition["regions"]},
        "services": {},
        "defaults": {
            "hostname": "{service}.{region}.{dnsSuffix}",
            "protocols": ["https"],
            "signatureVersions": ["v4"],
        },
    }


@cache
def get_loader(*, is_lean: bool = True) -> Any:
    """Return what reads botocore's data, and keeps what it has read."""
    return LeanLoader() if is_lean else Loader()


class TranslatingClient:
    """A low-level client of botocore's that raises this package's errors."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        """Return what botocore's client has under that name."""
        found = getattr(self._client, name)
        return _translate(found) if callable(found) else found


def _translate(call: Callable[..., Any]) -> Callable[..., Any]:
    def run(*arguments: Any, **parameters: Any) -> Any:
        try:
            return call(*arguments, **parameters)
        except ClientError as error:
            told = error.response
            status = told.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            raise AwsRefusedError(told["Error"]["Code"], status=status, answer=told) from error
        except (BotoCoreError, *_PARSERS_ERRORS) as error:
            raise AwsUnansweredError(type(error).__name__) from error

    return run


def make_botocore_client(
    service: str, *, region: str, limits: Limits, endpoint_url: str | None = None
) -> TranslatingClient:
    """Return a client of a service. It is a `clients.ClientMaker`.

    Raises: AwsUnansweredError: a profile or another setting of AWS's tools is wrong.
    """
    create = _translate(_create)
    return TranslatingClient(create(service, region, limits, endpoint_url))


def _create(service: str, region: str, limits: Limits, endpoint_url: str | None) -> Any:
    session = get_session()
    is_lean = service in _SERVICES and not any(
        session.get_config_variable(name) for name in _UNUSUAL
    )
    session.register_component("data_loader", get_loader(is_lean=is_lean))
    keys = LOCAL_KEYS if is_local(endpoint_url) else None
    return session.create_client(
        service,
        region_name=region,
        endpoint_url=endpoint_url,
        config=_make_config(limits, is_local=keys is not None),
        verify=_choose_roots(session, region, endpoint_url),
        aws_access_key_id=keys and keys.access_key,
        aws_secret_access_key=keys and keys.secret_key,
    )


def _make_config(limits: Limits, *, is_local: bool) -> Config:
    return Config(
        connect_timeout=limits.connect_timeout_s,
        read_timeout=limits.read_timeout_s,
        retries={"mode": "standard", "total_max_attempts": limits.attempts_max},
        tcp_keepalive=True,
        # A fifth of a call's CPU: checking what the store's own code made, by the service's
        # model, and putting together how botocore introduces itself, for each call anew.
        parameter_validation=False,
        user_agent="tollgate",
        proxies={} if is_local else None,
    )


def _choose_roots(session: Any, region: str, endpoint_url: str | None) -> str | None:
    """Return Amazon's roots for AWS's own endpoints, else None: those that botocore trusts.

    botocore reads its 118 roots anew for each connection, in 15 ms. AWS's endpoints in these
    partitions have certificates of Amazon Trust Services; one that an operator names may not.
    Source: https://www.amazontrust.com/repository/.
    """
    if endpoint_url is not None or session.get_partition_for_region(region) not in _PARTITIONS:
        return None
    is_changed = any(name.startswith(_CHANGES) for name in read_environment())
    return None if is_changed else find_amazon_roots()
