"""Keys from the environment and from a secret that rotates."""

import json

import pytest
from tollgate.errors import ConfigurationError
from tollgate.upstream.keys import EnvKeys, SecretKeys


class Vault:
    """A secret that counts its readings; None: it cannot be read."""

    def __init__(self, text: str | None) -> None:
        self.text = text
        self.readings = 0
        self.now_s = 0.0

    def fetch(self) -> str:
        self.readings += 1
        if self.text is None:
            raise ConfigurationError("no secret")
        return self.text

    def keys(self) -> SecretKeys:
        return SecretKeys(self.fetch, clock=lambda: self.now_s, refresh_s=900)


def secret(key: str) -> str:
    return json.dumps({"OPENAI": key})


async def test_environment() -> None:
    """A key is the variable of its name, without surrounding space, and never renewed."""
    keys = EnvKeys({"OPENAI": " sk-1\n"})

    assert await keys.key("OPENAI") == "sk-1"
    assert not await keys.renew("OPENAI", "sk-1")


@pytest.mark.parametrize("value", ["", "  ", "sk\n1", "sk 1", "schlüssel"])
async def test_unfit_key_is_refused_without_being_shown(value: str) -> None:
    """What cannot be a header is a fault of the deployment, and the error does not say it."""
    with pytest.raises(ConfigurationError) as caught:
        await EnvKeys({"OPENAI": value}).key("OPENAI")

    assert "OPENAI" in str(caught.value)
    assert not value.strip() or value not in str(caught.value)


async def test_missing_name() -> None:
    """A name without an entry is a fault of the deployment."""
    with pytest.raises(ConfigurationError):
        await Vault(secret("sk-1")).keys().key("OTHER")


async def test_secret_is_read_at_first_use_and_again_in_time() -> None:
    """Nothing is read while making it, then once until it is old."""
    vault = Vault(secret("sk-1"))
    keys = vault.keys()
    readings = [vault.readings]
    found = [await keys.key("OPENAI"), await keys.key("OPENAI")]
    readings.append(vault.readings)
    vault.text, vault.now_s = secret("sk-2"), 900.0
    found.append(await keys.key("OPENAI"))

    assert found == ["sk-1", "sk-1", "sk-2"]
    assert readings == [0, 1]


async def test_rejected_key_is_looked_up_again() -> None:
    """A rotated secret gives its new key; an unchanged one says so; not more than once a minute."""
    vault = Vault(secret("sk-1"))
    keys = vault.keys()
    await keys.key("OPENAI")
    vault.text = secret("sk-2")
    renewals = [await keys.renew("OPENAI", "sk-1")]
    vault.now_s = 60.0
    renewals += [await keys.renew("OPENAI", "sk-1"), await keys.renew("OPENAI", "sk-2")]

    assert renewals == [False, True, False]
    assert vault.readings == 2
    assert await keys.key("OPENAI") == "sk-2"


async def test_known_keys_outlive_an_unreadable_secret() -> None:
    """A failing re-read keeps the old keys and waits for the next turn."""
    vault = Vault(secret("sk-1"))
    keys = vault.keys()
    await keys.key("OPENAI")
    vault.text, vault.now_s = None, 900.0

    assert await keys.key("OPENAI") == "sk-1"
    assert await keys.key("OPENAI") == "sk-1"
    assert vault.readings == 2


@pytest.mark.parametrize("text", [None, "sk-broken-secret", "[]"])
async def test_secret_that_is_none(text: str | None) -> None:
    """Without a readable secret there is no key, and its text is in no part of the error."""
    with pytest.raises(ConfigurationError) as caught:
        await Vault(text).keys().key("OPENAI")

    assert "sk-broken" not in str(caught.value)
    assert caught.value.__suppress_context__ or text is None
    assert caught.value.__cause__ is None


async def test_keys_are_not_in_a_repr() -> None:
    """Whoever prints the source of keys sees none."""
    keys = Vault(secret("sk-1")).keys()
    await keys.key("OPENAI")

    assert "sk-1" not in repr(keys)
    assert "sk-1" not in repr(EnvKeys({"OPENAI": "sk-1"}))
