"""An image model's part of the catalog, and complaints about it."""

from pathlib import Path

import pytest
import tollgate
from tollgate.core.catalog import Model
from tollgate.core.catalog_toml import parse_catalog
from tollgate.core.image_rates import ImageGrid, ImageTable
from tollgate.errors import CatalogError

PACKAGED = (Path(tollgate.__file__).parent / "catalog.toml").read_text()
HEAD = """
[channels.main]
base_url = "https://upstream.test/v1"
[models.m]
kind = "image"
channels = ["main"]
"""
GRID = 'image_output = { scheme = "grid", factors = { low = 16 } }\n'


def read(fields: str) -> Model:
    return parse_catalog(HEAD + fields).models["m"]


def test_price_by_tokens() -> None:
    """`output` is an image token's price; what is not named costs what it falls back to."""
    model = read(
        GRID + "price = { input = 5, cached_input = 1, image_input = 8, output = 30, request = 2 }"
    )

    assert model.price is not None
    assert (model.price.input, model.price.cached_input) == (5_000_000, 1_000_000)
    assert (model.price.image_input, model.price.cached_image_input) == (8_000_000, 8_000_000)
    assert (model.price.image_output, model.price.output) == (30_000_000, 30_000_000)
    assert (model.price.request, model.price.has_tokens) == (2_000_000, True)
    assert model.image_output == ImageGrid(factors={"low": 16})


def test_text_output_has_a_price_of_its_own() -> None:
    """gpt-image-1.5 writes text too, at another price."""
    model = read(GRID + "price = { input = 5, output = 32, text_output = 10 }")

    assert model.price is not None
    assert (model.price.image_output, model.price.output) == (32_000_000, 10_000_000)


def test_price_by_image() -> None:
    """Micropoints by size and quality; an amount in a size's place is for every quality."""
    model = read(
        'price = { images = { "1024x1024" = { standard = 4, hd = 8.000001 }, "*" = 2 } }\n'
        'image_defaults = { size = "1024x1024", quality = "standard" }'
    )

    assert model.price is not None
    assert model.price.images == ImageTable(
        rows={"1024x1024": {"standard": 4_000_000, "hd": 8_000_001}, "*": {"*": 2_000_000}}
    )
    assert not model.price.has_tokens
    assert model.image_defaults == {"size": "1024x1024", "quality": "standard"}


def test_free_is_said_aloud() -> None:
    """And then every image costs nothing; without a price the model is not on sale."""
    free = read('price = "free"').price

    assert free is not None
    assert free.images is not None
    assert free.images.amount("1x1", "any") == 0
    assert read("").price is None


@pytest.mark.parametrize(
    ("fields", "key", "problem"),
    [
        ("price = {}", "models.m.price.output", "is missing"),
        ("price = { input = 5 }", "models.m.price.output", "is missing"),
        ("price = { output = 5 }", "models.m.price.input", "is missing"),
        ("price = { input = 5, output = 5 }", "models.m.image_output", "is missing"),
        ("price = 5", "models.m.price", "must be a table"),
        ("price = { images = {} }", "models.m.price.images", "must name"),
        ("price = { images = { x = {} } }", "models.m.price.images.x", "must name"),
        ('price = { images = { x = "y" } }', "models.m.price.images.x", "must be a number"),
        ("price = { images = { x = { y = -1 } } }", "models.m.price.images.x.y", "must be"),
        ('price = { images = { "*" = 2 }, audio = 1 }', "models.m.price.audio", "not a known"),
        (
            GRID + "price = { input = 5, cached_input = 6, output = 5 }",
            "models.m.price.cached_input",
            "must not be above input",
        ),
        (
            GRID + "price = { input = 5, cached_image_input = 6, output = 5 }",
            "models.m.price.cached_image_input",
            "must not be above image_input",
        ),
        ('image_output = { scheme = "magic" }', "models.m.image_output.scheme", "must be one of"),
        ('image_output = { scheme = "grid" }', "models.m.image_output.factors", "must name"),
        (
            'image_output = { scheme = "grid", factors = { low = 0 } }',
            "models.m.image_output.factors.low",
            "at least 1",
        ),
        (
            'image_output = { scheme = "grid", factors = { low = 1025 } }',
            "models.m.image_output.factors.low",
            "at most 1024",
        ),
        ("image_output = {}", "models.m.image_output.sizes", "is missing"),
        (
            "image_output = { sizes = { x = 0 } }",
            "models.m.image_output.sizes.x",
            "at least 1",
        ),
        ("image_defaults = { colour = 'red' }", "models.m.image_defaults.colour", "not a known"),
        ("context_tokens_max = 5", "models.m.context_tokens_max", "not a known"),
    ],
)
def test_complaint_names_the_key(fields: str, key: str, problem: str) -> None:
    """What is missing, unknown or unbounded is found before anything is sold by it."""
    with pytest.raises(CatalogError) as caught:
        read(fields)

    assert caught.value.key == key
    assert problem in caught.value.problem


def test_image_model_of_requests_without_one() -> None:
    """It must be there, and be an image model."""
    found = parse_catalog('image_model = "m"' + HEAD + GRID)

    assert found.image_model == "m"
    with pytest.raises(CatalogError) as caught:
        parse_catalog('image_model = "other"' + HEAD + GRID)
    assert caught.value.key == "image_model"


def test_chat_model_has_no_image_prices() -> None:
    """A key that would not be charged is an error."""
    text = HEAD.replace('kind = "image"', "context_tokens_max = 9\noutput_tokens_max = 9")

    with pytest.raises(CatalogError) as caught:
        parse_catalog(text + "price = { input = 1, output = 1, image_input = 1 }")

    assert caught.value.key == "models.m.price.image_input"


def test_packaged_image_models() -> None:
    """The default of requests without a model is sold; OpenAI's figures at high quality."""
    catalog = parse_catalog(PACKAGED)
    images = {name: model for name, model in catalog.models.items() if model.kind == "image"}

    def tokens(name: str, quality: str) -> int:
        rate = images[name].image_output
        assert rate is not None
        return rate.amount("1024x1024", quality)

    assert catalog.image_model in images
    assert tokens("gpt-image-2", "high") == 7024
    assert tokens("gpt-image-2.5-flare", "max") == tokens("gpt-image-2.5-sunburst", "max") == 7024
    assert tokens("gpt-image-1.5", "high") == 4160
    assert not {"gpt-image-1", "dall-e-2", "dall-e-3"} & set(images)
    assert all(model.price is not None for model in images.values())


def test_bedrock_makes_no_images() -> None:
    """Converse is a chat: an image model cannot be sold through it."""
    channel = 'kind = "bedrock"\nregion = "us-east-1"'
    with pytest.raises(CatalogError) as caught:
        parse_catalog(HEAD.replace('base_url = "https://upstream.test/v1"', channel) + GRID)

    assert caught.value.key == "models.m.channels[0]"
    assert "serves chat models only" in caught.value.problem
