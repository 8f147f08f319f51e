"""Where this deployment keeps its upstream keys: Secrets Manager, or the environment."""

from collections.abc import Callable
from contextlib import closing

from tollgate.aws.clients import make_client
from tollgate.aws.errors import AwsError
from tollgate.aws.wire import Limits
from tollgate.errors import ConfigurationError
from tollgate.settings import Settings, read_environment
from tollgate.upstream.keys import EnvKeys, KeySource, SecretKeys

_LIMITS = Limits(connect_timeout_s=2.0, read_timeout_s=3.0, attempts_max=2)


def make_key_source(settings: Settings) -> KeySource:
    """Return the source that the settings name; nothing is read yet."""
    if settings.provider_secret is None:
        return EnvKeys(read_environment())
    return SecretKeys(make_fetch(settings.provider_secret, settings.region))


def make_fetch(secret: str, region: str) -> Callable[[], str]:
    """Return a function that reads the secret's text; its time-outs are short, its retries few."""

    def fetch() -> str:
        try:
            with closing(make_client("secretsmanager", region=region, limits=_LIMITS)) as client:
                answer = client.get_secret_value(SecretId=secret)
        except AwsError as error:
            raise ConfigurationError("the provider secret cannot be read") from error
        text = answer.get("SecretString")
        if not isinstance(text, str):  # a secret may be bytes
            raise ConfigurationError("the provider secret is no text")
        return text

    return fetch
