"""The header that says who served."""

import pytest
from tollgate.metering.jobs import answered_by


@pytest.mark.parametrize(
    ("channel", "expected"),
    [
        ("openai-eu_1", "openai-eu_1"),
        ("a/b:c@d", "a/b:c@d"),
        ("50%", "50%25"),
        ("é", "%C3%A9"),
        ("a\r\nb", "a%0D%0Ab"),
    ],
)
def test_channel_fits_into_a_header(channel: str, expected: str) -> None:
    """A catalog's name as it is, what no header may have percent-encoded."""
    assert answered_by(channel) == {"x-tollgate-channel": expected}


def test_nobody_has_served() -> None:
    """Before an answer there is no header."""
    assert answered_by("") == {}
