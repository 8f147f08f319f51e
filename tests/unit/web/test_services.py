"""What a process is made of."""

import logging

import pytest
from tollgate.settings import Settings
from tollgate.web.services import make_services, prepare_logging


def test_libraries_are_quiet_at_any_level(caplog: pytest.LogCaptureFixture) -> None:
    """They print secrets, addresses and the paths of requests; only their warnings are kept."""
    caplog.set_level(logging.DEBUG)

    services = make_services(Settings.read({"TOLLGATE_DYNAMODB_URL": "http://127.0.0.1:9"}))
    services.ledger._client.close()

    assert logging.getLogger("tollgate.request").isEnabledFor(logging.INFO)
    for name in (
        *("botocore.parsers", "boto3", "urllib3.connectionpool", "httpx", "aiohttp.client"),
        "mangum.http",
    ):
        assert not logging.getLogger(name).isEnabledFor(logging.INFO)


def test_our_own_lines_have_the_level_that_is_set() -> None:
    """Not Lambda's filter, which would take the metrics for INFO and drop them."""
    prepare_logging(Settings.read({"TOLLGATE_LOG_LEVEL": "WARN"}))
    is_warned, is_told = (
        logging.getLogger("tollgate.request").isEnabledFor(level)
        for level in (logging.WARNING, logging.INFO)
    )
    prepare_logging(Settings.read({}))

    assert (is_warned, is_told) == (True, False)
