"""The form of API keys."""

import random

from tollgate.core.keys import PREFIX, is_well_formed, key_sha256, make_key


def test_made_keys_are_well_formed_and_differ() -> None:
    """A key has its prefix and checksum, and another one is another one."""
    source = random.Random(1)
    keys = {make_key(source.choice) for _ in range(50)}

    assert len(keys) == 50
    assert all(is_well_formed(key) and key.startswith(PREFIX) for key in keys)
    assert len({len(key) for key in keys}) == 1


def test_a_changed_character_is_noticed() -> None:
    """Any character mistyped, left out or added makes it no key."""
    key = make_key(random.Random(2).choice)

    for position in range(len(key)):
        other = "x" if key[position] != "x" else "y"
        assert not is_well_formed(key[:position] + other + key[position + 1 :])
        assert not is_well_formed(key[:position] + key[position + 1 :])
    assert not is_well_formed(key + "a")
    assert not is_well_formed("")
    assert not is_well_formed("sk-tg-" + "é" * 46)


def test_digest_is_sha256() -> None:
    """The digest is the plain SHA-256 in hex."""
    assert key_sha256("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
