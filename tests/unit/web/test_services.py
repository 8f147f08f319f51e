"""What a process is made of."""

import logging

import pytest
from tollgate.settings import Settings
from tollgate.web.services import make_services


def test_libraries_are_quiet_at_any_level(caplog: pytest.LogCaptureFixture) -> None:
    """At DEBUG botocore prints secrets and httpx addresses; only their warnings are kept."""
    caplog.set_level(logging.DEBUG)

    services = make_services(Settings.read({"TOLLGATE_DYNAMODB_URL": "http://127.0.0.1:9"}))
    services.ledger._client.close()

    for name in ("botocore.parsers", "boto3", "urllib3.connectionpool", "httpx", "httpcore.http11"):
        assert not logging.getLogger(name).isEnabledFor(logging.INFO)
