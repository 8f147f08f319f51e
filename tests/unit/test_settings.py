"""The environment, read once."""

from pathlib import Path

import pytest
from tollgate.errors import ConfigurationError
from tollgate.settings import Settings


def test_defaults() -> None:
    """An empty environment, or one of empty values as the template sets them, is a good one."""
    settings = Settings.read({})

    assert settings == Settings.read(
        {"TOLLGATE_DYNAMODB_URL": "", "TOLLGATE_CATALOG_FILE": "", "TOLLGATE_PROVIDER_SECRET": ""}
    )
    assert (settings.table, settings.region, settings.cors_origin) == ("tollgate", "us-east-1", "*")
    assert settings.initialization == ""
    assert settings.keepalive_s == 15
    assert settings.body_bytes_max == 6 * 1024 * 1024
    assert settings.dynamodb_url is settings.catalog_file is settings.provider_secret is None


def test_values() -> None:
    """Each variable has its field."""
    settings = Settings.read(
        {
            "TOLLGATE_TABLE": "t",
            "TOLLGATE_DYNAMODB_URL": "http://x",
            "TOLLGATE_CATALOG_FILE": "/c.toml",
            "TOLLGATE_PROVIDER_SECRET": "arn",
            "TOLLGATE_KEEPALIVE_S": "0",
            "TOLLGATE_BODY_BYTES_MAX": "5",
            "TOLLGATE_CORS_ORIGIN": "https://p",
            "TOLLGATE_LOG_LEVEL": "WARN",
            "AWS_REGION": "eu-west-1",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        }
    )

    assert settings == Settings(
        table="t",
        dynamodb_url="http://x",
        catalog_file=Path("/c.toml"),
        provider_secret="arn",
        keepalive_s=0.0,
        body_bytes_max=5,
        cors_origin="https://p",
        log_level="WARN",
        region="eu-west-1",
        initialization="on-demand",
    )


def test_a_number_must_be_one() -> None:
    """The operator is told which variable is wrong."""
    with pytest.raises(ConfigurationError, match="TOLLGATE_KEEPALIVE_S"):
        Settings.read({"TOLLGATE_KEEPALIVE_S": "often"})


def test_a_level_must_be_one() -> None:
    """A level that Python has not would fail at the first request, in other words."""
    with pytest.raises(ConfigurationError, match="TOLLGATE_LOG_LEVEL must be one of INFO, WARN"):
        Settings.read({"TOLLGATE_LOG_LEVEL": "LOUD"})
