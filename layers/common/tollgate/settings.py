"""The environment, read once a process. Nothing else in the package reads `os.environ`.

TOLLGATE_TABLE            name of the DynamoDB table
TOLLGATE_DYNAMODB_URL     endpoint of a local DynamoDB; empty: AWS's
TOLLGATE_CATALOG_FILE     a catalog that is used instead of the table's and the packaged one
TOLLGATE_PROVIDER_SECRET  name or ARN of the secret with the upstream keys, a JSON object;
                          empty: each key is the environment variable of its name
TOLLGATE_KEEPALIVE_S      seconds of silence after which a stream sends a comment; 0: never
TOLLGATE_BODY_BYTES_MAX   largest request body
TOLLGATE_CORS_ORIGIN      value of access-control-allow-origin
TOLLGATE_LOG_LEVEL        least level of our own log lines: INFO, WARN or ERROR
AWS_REGION                set by Lambda
AWS_LAMBDA_INITIALIZATION_TYPE  set by Lambda: on-demand, provisioned-concurrency, snap-start, …
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tollgate.errors import ConfigurationError

_LAMBDA_EVENT_BYTES_MAX = 6 * 1024 * 1024
_LOG_LEVELS = ("INFO", "WARN", "ERROR")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the deployment decides; see the module's list."""

    table: str
    dynamodb_url: str | None
    catalog_file: Path | None
    provider_secret: str | None
    keepalive_s: float
    body_bytes_max: int
    cors_origin: str
    log_level: str
    region: str
    initialization: str

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Return the settings in `environment`.

        Raises: ConfigurationError: a number is none, or a level.
        """
        catalog_file = environment.get("TOLLGATE_CATALOG_FILE")
        return cls(
            table=environment.get("TOLLGATE_TABLE", "tollgate"),
            dynamodb_url=environment.get("TOLLGATE_DYNAMODB_URL") or None,
            catalog_file=Path(catalog_file) if catalog_file else None,
            provider_secret=environment.get("TOLLGATE_PROVIDER_SECRET") or None,
            keepalive_s=_number(environment, "TOLLGATE_KEEPALIVE_S", 15.0),
            body_bytes_max=int(
                _number(environment, "TOLLGATE_BODY_BYTES_MAX", _LAMBDA_EVENT_BYTES_MAX)
            ),
            cors_origin=environment.get("TOLLGATE_CORS_ORIGIN", "*"),
            log_level=_level(environment, "TOLLGATE_LOG_LEVEL"),
            region=environment.get("AWS_REGION", "us-east-1"),
            initialization=environment.get("AWS_LAMBDA_INITIALIZATION_TYPE", ""),
        )


def read_environment() -> Mapping[str, str]:
    """Return the environment, for the upstream keys that are kept there."""
    return os.environ


def _level(environment: Mapping[str, str], name: str) -> str:
    level = environment.get(name) or _LOG_LEVELS[0]
    if level not in _LOG_LEVELS:
        raise ConfigurationError(f"{name} must be one of {', '.join(_LOG_LEVELS)}, not {level!r}")
    return level


def _number(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name)
    if not text:
        return default
    try:
        return max(0.0, float(text))
    except ValueError as error:
        raise ConfigurationError(f"{name} must be a number, not {text!r}") from error
