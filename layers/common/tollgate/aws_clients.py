"""botocore's clients, made to start quickly: it reads of its data what a client here needs.

As it comes, botocore lists the data of 400 services, reads 1.2 MB of their endpoints and builds
a machine for endpoint rules, most of which DynamoDB in a known region does not need. All that is
changed is what its loader answers, by the loader's public methods. Credentials, signatures,
time-outs and retries are botocore's own, and so is what `AWS_ENDPOINT_URL…`, profiles and the
other variables of AWS's tools do. Who asks for FIPS or dual-stack endpoints, or names a service
that is not listed here, gets botocore's whole data.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from botocore.config import Config
from botocore.loaders import Loader
from botocore.session import get_session

from tollgate.settings import read_environment
from tollgate.trust import find_amazon_roots

_SERVICES = ("dynamodb", "secretsmanager")
_MODELS = ("service-2", "paginators-1", "waiters-2")
_PARTITIONS = ("aws", "aws-us-gov")
_CHANGES = ("AWS_ENDPOINT_URL", "AWS_CA_BUNDLE", "AWS_CONFIG_FILE", "REQUESTS_CA_BUNDLE")
_UNUSUAL = ("use_fips_endpoint", "use_dualstack_endpoint")


class LeanLoader(Loader):  # type: ignore[misc] # botocore has no types
    """Knows the services that are called here, without rules for their endpoints.

    botocore then takes the endpoint from its older table of partitions, which has the same answer
    for these services everywhere; tests compare them. The table is made of the 7 kB file of
    partitions. Source: botocore.client.ClientCreator.create_client.
    """

    def list_available_services(self, type_name: str) -> list[str]:
        """Return the services, none for the kind of file that has the rules."""
        return list(_SERVICES) if type_name in _MODELS else []

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


def make_client(
    service: str,
    *,
    region: str,
    config: Config,
    endpoint_url: str | None = None,
    **credentials: str,
) -> Any:
    """Return a low-level client of botocore's. `credentials`: as `create_client` calls them."""
    session = get_session()
    is_lean = service in _SERVICES and not any(
        session.get_config_variable(name) for name in _UNUSUAL
    )
    session.register_component("data_loader", get_loader(is_lean=is_lean))
    return session.create_client(
        service,
        region_name=region,
        endpoint_url=endpoint_url,
        config=config,
        verify=_choose_roots(session, region, endpoint_url),
        **credentials,
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
