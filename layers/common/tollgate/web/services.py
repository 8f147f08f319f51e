"""What every function needs once a process: settings, ledger, keys, catalog. Made at first use."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tollgate.ledger.store import DynamoLedger, connect
from tollgate.settings import Settings
from tollgate.web.auth import Authenticator
from tollgate.web.live_catalog import LiveCatalog


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The shared parts of one process. `client`: DynamoDB's, for reads beside the ledger's."""

    settings: Settings
    client: Any
    ledger: DynamoLedger
    authenticator: Authenticator
    catalog: LiveCatalog

    async def aclose(self) -> None:
        """Close all connections."""
        self.client.close()


def utc_now() -> datetime:
    """Return the time as aware UTC."""
    return datetime.now(UTC)


def quiet_libraries() -> None:
    """Keep the libraries' own lines out of the log: at DEBUG they print secrets and bodies.

    Mangum tells each request's path at INFO, in which a caller may have put a key. python-multipart
    warns of a bad body with a byte of it; its error is ours to tell.
    """
    for name in ("aiohttp", "boto3", "botocore", "httpx", "mangum", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("python_multipart").setLevel(logging.ERROR)


def prepare_logging(settings: Settings) -> None:
    """Keep our own lines to the level that is set, and the libraries' out.

    Not left to Lambda's filter: it takes lines without a level, as the metrics are, for INFO.
    """
    quiet_libraries()
    logging.getLogger("tollgate").setLevel(settings.log_level)


def make_services(settings: Settings) -> Services:
    """Return the parts that `settings` describe; nothing is called yet."""
    prepare_logging(settings)
    client = connect(region=settings.region, endpoint_url=settings.dynamodb_url)
    ledger = DynamoLedger(client, settings.table)
    return Services(
        settings=settings,
        client=client,
        ledger=ledger,
        authenticator=Authenticator(ledger, utc_now),
        catalog=LiveCatalog(ledger, settings.catalog_file),
    )
