"""A catalog, a key and an account for the use case's tests."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tollgate.core.catalog import Catalog
from tollgate.core.catalog_toml import parse_catalog
from tollgate.core.units import Micropoints
from tollgate.ledger.model import Account, Key

from tests.fakes.ledger import FakeLedger

NOW = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.fixture
def catalog() -> Catalog:
    """One model at 1 micropoint an input token and 4 an output token, and its odd relations."""
    return parse_catalog("""
        image_model = "image"
        [channels.fake]
        base_url = "http://fake"
        [models.m]
        context_tokens_max = 2000
        output_tokens_max = 1000
        price = { input = 1, output = 4 }
        service_tiers = { flex = 50 }
        refused_fields = ["web_search_options"]
        channels = ["fake"]
        [models.image]
        kind = "image"
        image_output.sizes."1x1" = { low = 10, high = 100 }
        price = { input = 1, image_input = 2, output = 3 }
        channels = ["fake"]
        image_tokens = { scheme = "flat", base = 7 }
        [models.flat]
        kind = "image"
        refused_fields = ["resolution"]
        image_defaults = { size = "1x1", quality = "plain" }
        price = { images."1x1" = { plain = 0.0001, hd = 0.0002 } }
        channels = ["fake"]
        [models.unpriced]
        context_tokens_max = 10
        output_tokens_max = 10
        channels = ["fake"]
    """)


@pytest.fixture
def web_catalog(catalog: Catalog) -> Catalog:
    """The same with two search providers at 500 and 300 micropoints, at most 200 tokens each."""
    table = """
        [search.{name}]
        kind = "searxng"
        base_url = "http://fake"
        price = {price}
        results_max = 3
        text_tokens_max = 200
    """
    text = table.format(name="dear", price="0.0005") + table.format(name="cheap", price="0.0003")
    return replace(catalog, search=parse_catalog(text).search)


@pytest.fixture
def key() -> Key:
    return Key(account_id="a", key_id="k", label="", status="active", created_at=NOW)


@pytest.fixture
def ledger() -> FakeLedger:
    """An account with a million micropoints."""
    ledger = FakeLedger()
    amount = Micropoints(1_000_000)
    ledger.accounts["a"] = Account(
        account_id="a",
        status="active",
        created_at=NOW,
        balance=amount,
        held=Micropoints(0),
        spent=Micropoints(0),
        granted=amount,
    )
    return ledger
