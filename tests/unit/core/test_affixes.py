"""Model names with affixes."""

import pytest
from tollgate.core.affixes import ModelName, parse_model_name
from tollgate.errors import ModelNotFoundError

KNOWN = {"gpt-4o", "web-tool", "exam-official", "web-exam-official"}


@pytest.mark.parametrize(
    ("name", "base", "is_web", "is_official"),
    [
        ("gpt-4o", "gpt-4o", False, False),
        ("gpt-4o-official", "gpt-4o", False, True),
        ("web-gpt-4o", "gpt-4o", True, False),
        ("web-gpt-4o-official", "gpt-4o", True, True),
        ("web-tool", "web-tool", False, False),
        ("web-web-tool", "web-tool", True, False),
        ("exam-official", "exam-official", False, False),
        ("exam-official-official", "exam-official", False, True),
        ("web-exam-official", "web-exam-official", False, False),
        ("web-web-exam-official", "web-exam-official", True, False),
    ],
)
def test_the_longest_known_name_wins(
    name: str,
    base: str,
    is_web: bool,
    is_official: bool,
) -> None:
    """The whole name, else without the suffix, else without the prefix, else without both."""
    expected = ModelName(base=base, is_web=is_web, is_official=is_official)

    assert expected == parse_model_name(name, KNOWN)


@pytest.mark.parametrize("name", ["gpt-5", "web-", "-official", "web--official", "GPT-4o", ""])
def test_unknown_names_are_not_found(name: str) -> None:
    """What is left after cutting must be known; nothing is guessed."""
    with pytest.raises(ModelNotFoundError):
        parse_model_name(name, KNOWN)
