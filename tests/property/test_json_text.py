"""Numbers written without exponents are the same numbers, whatever texts stand around them."""

import json

from hypothesis import given
from hypothesis import strategies as st
from tollgate.core.json_text import dump, write_decimals

AMOUNTS = st.integers(-(10**18), 10**18).map(lambda steps: steps / 10**9)
TRICKY = st.text(alphabet='":,\\{}[]e-+.0123456789 ', max_size=20) | st.text(max_size=20)
VALUES = st.recursive(
    AMOUNTS | TRICKY | st.integers() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TRICKY, inner, max_size=4),
)


@given(st.dictionaries(TRICKY, VALUES, max_size=5))
def test_value_is_the_same(value: dict[str, object]) -> None:
    """Read again, nothing has changed: neither a number nor a text that looks like one."""
    text = dump(value).decode()

    assert json.loads(write_decimals(text)) == json.loads(text)


@given(AMOUNTS, TRICKY)
def test_amount_has_no_exponent(amount: float, name: str) -> None:
    """Behind a key of ours it is digits and a point."""
    text = write_decimals(dump({"name": name, "cost": amount}).decode())

    assert set(text.rpartition('"cost":')[2]) <= set("-0123456789.}")
