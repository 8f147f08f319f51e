"""Where this deployment keeps its upstream keys: Secrets Manager, or the environment."""

from collections.abc import Callable

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tollgate.aws_clients import make_client
from tollgate.errors import ConfigurationError
from tollgate.settings import Settings, read_environment
from tollgate.upstream.keys import EnvKeys, KeySource, SecretKeys


def make_key_source(settings: Settings) -> KeySource:
    """Return the source that the settings name; nothing is read yet."""
    if settings.provider_secret is None:
        return EnvKeys(read_environment())
    return SecretKeys(make_fetch(settings.provider_secret, settings.region))


def make_fetch(secret: str, region: str) -> Callable[[], str]:
    """Return a function that reads the secret's text; its time-outs are short, its retries few."""

    def fetch() -> str:
        config = Config(
            connect_timeout=2, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 2}
        )
        try:
            client = make_client("secretsmanager", region=region, config=config)
            text: str = client.get_secret_value(SecretId=secret)["SecretString"]
        except (BotoCoreError, ClientError) as error:
            raise ConfigurationError("the provider secret cannot be read") from error
        return text

    return fetch
