"""Any text as a model's name: found exactly, or not found; nothing is guessed or looks alike."""

import json
import unicodedata
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from tollgate.core.affixes import OFFICIAL_SUFFIX, WEB_PREFIX, ModelName, parse_model_name
from tollgate.core.catalog_toml import parse_catalog
from tollgate.errors import ModelNotFoundError, TollgateError
from tollgate.ledger.model import Key
from tollgate.metering.orders import read_order
from tollgate.web.errors import answer_error

CATALOG = parse_catalog("""
    [channels.c]
    base_url = "http://vendor.example"
    [search.s]
    kind = "searxng"
    base_url = "http://search.example"
    price = 0.01
    [models.gpt]
    context_tokens_max = 100
    output_tokens_max = 100
    price = { input = 1, output = 1 }
    channels = ["c"]
""")
KEY = Key(
    account_id="a",
    key_id="k",
    label="",
    status="active",
    created_at=datetime(2026, 11, 24, tzinfo=UTC),
)
PIECES = st.sampled_from([WEB_PREFIX, OFFICIAL_SUFFIX, "gpt", "web", "official", "-", "", " ", "/"])
ANY = st.text() | st.text(st.characters(categories=["Cs", "Cf", "Cc", "Lu", "Nd"]))
NAMES = st.lists(PIECES | ANY, max_size=6).map("".join) | ANY
KNOWN = st.frozensets(NAMES, max_size=6)


@given(name=NAMES, known=KNOWN)
def test_a_name_is_found_exactly_or_not(name: str, known: frozenset[str]) -> None:
    """What is found is known, and spells the name that was asked for, affixes and all."""
    try:
        found = parse_model_name(name, known)
    except ModelNotFoundError:
        assert name not in known
        return

    assert str(found) == name
    assert found.base in known


@given(base=NAMES, is_web=st.booleans(), is_official=st.booleans(), known=KNOWN)
def test_what_is_written_is_read(
    base: str, is_web: bool, is_official: bool, known: frozenset[str]
) -> None:
    """A known base with affixes is found; as itself, unless a longer name is known too."""
    written = ModelName(base=base, is_web=is_web, is_official=is_official)
    found = parse_model_name(str(written), known | {base})

    assert str(found) == str(written)
    assert found == written or len(found.base) > len(base) or found.base in known


@given(name=NAMES)
def test_what_only_looks_alike_is_not_found(name: str) -> None:
    """Case, width, marks and invisible characters are part of a name: no rule folds them."""
    folded = unicodedata.normalize("NFKC", name).casefold().strip()
    exact = {"gpt", "web-gpt", "gpt-official", "web-gpt-official"}
    try:
        parse_model_name(name, {"gpt"})
    except ModelNotFoundError:
        assert name not in exact
    else:
        assert name in exact
        assert folded == name


@given(name=NAMES, role=NAMES, text=NAMES)
def test_any_text_makes_an_order_or_an_error_of_the_table(name: str, role: str, text: str) -> None:
    """Whatever stands in the body, the caller gets valid JSON in UTF-8."""
    body = {"model": name, "messages": [{"role": role, "content": text}], text: text}
    try:
        order = read_order(body, key=KEY, request_id="r", catalog=CATALOG)
    except TollgateError as error:
        answer = answer_error(error)
        assert 400 <= answer.status < 500
        assert json.loads(answer.body.decode())["error"]["message"]
    else:
        assert order.model.name == "gpt"
