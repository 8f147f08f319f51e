"""The catalog of `make run`."""

from tollgate.core.catalog_toml import parse_catalog

from local.catalog import DEMO_IMAGE_MODELS, DEMO_MODELS, make_local_catalog
from local.sandbox import LAYER

DEFAULT = (LAYER / "tollgate" / "catalog.toml").read_text()


def test_without_keys_everything_is_the_demos() -> None:
    """Default models and demo models, all answered here."""
    catalog = parse_catalog(make_local_catalog(DEFAULT, "http://demo/v1", {}))

    images = {name for name, model in catalog.models.items() if model.kind == "image"}
    assert set(DEMO_MODELS) < set(catalog.models) - images
    assert {*DEMO_IMAGE_MODELS, "demo-image-flat", "gpt-image-2"} < images
    assert {route.channel for model in catalog.models.values() for route in model.routes} == {
        "demo",
        "demo-bounded",
    }
    assert catalog.channels["demo"].base_url == "http://demo/v1"
    assert catalog.channels["demo"].key_name is None


def test_a_key_makes_its_channel_real() -> None:
    """OpenAI's models go to OpenAI, the others stay here."""
    catalog = parse_catalog(make_local_catalog(DEFAULT, "http://demo/v1", {"OPENAI_API_KEY": "x"}))

    assert catalog.models["gpt-4o"].routes[0].channel == "openai"
    assert catalog.models["claude-haiku-4-5"].routes[0].channel == "demo"


def test_web_names_search_the_demo() -> None:
    """It is there without a key, and as patient as the demo's channel."""
    catalog = parse_catalog(make_local_catalog(DEFAULT, "http://demo/v1", {}, patience_s=2))
    [provider] = catalog.search

    assert (provider.kind, provider.base_url, provider.key_name) == (
        "searxng",
        "http://demo/v1",
        None,
    )
    assert (provider.timeout_s, provider.price) == (2, 500_000)


def test_patient_gateway_has_a_catalog() -> None:
    """A search's time-out keeps to its own bound."""
    text = make_local_catalog(DEFAULT, "http://demo/v1", {}, patience_s=120)

    assert parse_catalog(text).search[0].timeout_s == 15
