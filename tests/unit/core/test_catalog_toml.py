"""The catalog's reader: what each key becomes, and which key each complaint names."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pytest
import tollgate
from tollgate.core.catalog import Catalog, Channel, ImageTokens, Model, Route, Timeouts
from tollgate.core.catalog_toml import parse_catalog
from tollgate.core.prices import Price
from tollgate.core.units import Micropoints, Picopoints
from tollgate.errors import CatalogError

PACKAGED = Path(tollgate.__file__).parent / "catalog.toml"
CHANNEL = '[channels.main]\nbase_url = "https://upstream.test/v1"\n'
LIMITS = "context_tokens_max = 1000\noutput_tokens_max = 100\n"
SOLD = 'channels = ["main"]\n'


OTHERS = f"""
[models.other]
{LIMITS}{SOLD}price = "free"
fallback = ["priced"]
[models.priced]
{LIMITS}{SOLD}price = "free"
fallback = ["other"]
[models.unpriced]
{LIMITS}{SOLD}
[models.picture]
kind = "image"
{SOLD}price = "free"
"""


def in_channel(line: str) -> str:
    return CHANNEL + line


def in_model(line: str) -> str:
    return f"{CHANNEL}[models.m]\n{LIMITS}{SOLD}{line}"


def only_model(text: str) -> Model:
    (model,) = parse_catalog(text).models.values()
    return model


def only_channel(text: str) -> Channel:
    (channel,) = parse_catalog(text).channels.values()
    return channel


def flat_price(amounts: Mapping[str, int], *, request: int = 0) -> Price:
    kinds = {name: Picopoints(amount) for name, amount in amounts.items()}
    return Price(**kinds, request=Micropoints(request))


def test_everything_said() -> None:
    """Each key of the file reaches its field."""
    catalog = parse_catalog(
        """
        points_per_usd = 1000
        [channels.azure]
        kind = "azure"
        base_url = "https://resource.test/"
        key = "AZURE_KEY"
        api_version = "2024-10-21"
        output_limit_field = "max_completion_tokens"
        stream_options = false
        headers = { "x-team" = "sales" }
        timeouts = { connect_s = 1.5, first_byte_s = 2, between_bytes_s = 3, total_s = 4 }
        [models."gpt-4.1"]
        owned_by = "openai"
        created = 1744316542
        context_tokens_max = 128000
        output_tokens_max = 16384
        encoding = "cl100k_base"
        image_tokens = { scheme = "patch", patches_max = 2500, multiplier_percent = 162 }
        price = { input = 250, output = 1000 }
        service_tiers = { flex = 50, priority = 170 }
        channels = [{ channel = "azure", model = "deployment", priority = 2, weight = 3 }]
        """
    )

    channel = Channel(
        name="azure",
        kind="azure",
        base_url="https://resource.test",
        key_name="AZURE_KEY",
        api_version="2024-10-21",
        headers={"x-team": "sales"},
        output_limit_field="max_completion_tokens",
        has_stream_options=False,
        timeouts=Timeouts(connect_s=1.5, first_byte_s=2.0, between_bytes_s=3.0, total_s=4.0),
    )
    model = Model(
        name="gpt-4.1",
        owned_by="openai",
        created=1744316542,
        context_tokens_max=128000,
        output_tokens_max=16384,
        encoding="cl100k_base",
        image_tokens=ImageTokens(scheme="patch", patches_max=2500, multiplier_percent=162),
        price=catalog.models["gpt-4.1"].price,
        routes=(Route(channel="azure", upstream_model="deployment", priority=2, weight=3),),
        tier_percents={"flex": 50, "priority": 170},
    )
    assert catalog == Catalog(
        version=catalog.version,
        points_per_usd=1000,
        channels={"azure": channel},
        models={"gpt-4.1": model},
    )


def test_bedrock_channel() -> None:
    """A region is enough: its address follows from it, unless another one is given."""
    plain = only_channel('channels.b = { kind = "bedrock", region = "eu-west-1" }')
    private = only_channel(
        'channels.b = { kind = "bedrock", region = "us-gov-west-1", base_url = "https://x.test/" }'
    )

    assert plain == Channel(
        name="b",
        kind="bedrock",
        base_url="https://bedrock-runtime.eu-west-1.amazonaws.com",
        region="eu-west-1",
    )
    assert (private.base_url, private.region) == ("https://x.test", "us-gov-west-1")


def test_defaults() -> None:
    """What is not said has the documented default, and a bare channel name is a route."""
    catalog = parse_catalog(in_model(""))

    assert catalog.points_per_usd == 100
    assert catalog.channels == {"main": Channel(name="main", base_url="https://upstream.test/v1")}
    assert catalog.models == {
        "m": Model(
            name="m",
            owned_by="tollgate",
            created=0,
            context_tokens_max=1000,
            output_tokens_max=100,
            encoding="o200k_base",
            image_tokens=ImageTokens(scheme="flat", base=2048),
            price=None,
            routes=(Route(channel="main", upstream_model="m"),),
        )
    }


def test_two_models_may_stand_in_for_each_other() -> None:
    """A fallback's own fallbacks are not followed, so that no circle is a danger."""
    models = parse_catalog(in_model('fallback = ["other", "priced"]') + OTHERS).models

    found = [models[name].fallback for name in ("m", "other", "priced")]
    assert found == [("other", "priced"), ("priced",), ("other",)]


def test_empty_text_is_an_empty_catalog() -> None:
    """Nothing is sold, and nothing is wrong."""
    catalog = parse_catalog("")

    assert (catalog.points_per_usd, catalog.channels, catalog.models) == (100, {}, {})


def test_version_tells_texts_apart() -> None:
    """The version is the first 12 hex digits of the text's SHA-256."""
    assert parse_catalog("").version == "e3b0c44298fc"
    assert parse_catalog("# one").version != parse_catalog("# two").version


def test_output_limit_is_at_most_the_context() -> None:
    """No answer is longer than the context it has to fit in."""
    text = f"{CHANNEL}[models.m]\ncontext_tokens_max = 50\noutput_tokens_max = 51\n{SOLD}"

    assert only_model(text).output_tokens_max == 50


def test_prices_fall_back_to_their_kind() -> None:
    """Input kinds cost what input costs and output kinds what output costs, where not said."""
    price = only_model(in_model("price = { input = 2, output = 8 }")).price

    assert price == flat_price(
        {
            "input": 2_000_000,
            "cached_input": 2_000_000,
            "cache_write": 2_000_000,
            "audio_input": 2_000_000,
            "output": 8_000_000,
            "reasoning": 8_000_000,
            "audio_output": 8_000_000,
        }
    )


def test_prices_of_every_kind() -> None:
    """A point per million tokens is a million picopoints a token; a request's are micropoints."""
    price = only_model(
        in_model(
            "price = { input = 2.5, cached_input = 0.000001, cache_write = 3, audio_input = 40, "
            "output = 10, reasoning = 11, audio_output = 80, request = 0.5 }"
        )
    ).price

    assert price == flat_price(
        {
            "input": 2_500_000,
            "cached_input": 1,
            "cache_write": 3_000_000,
            "audio_input": 40_000_000,
            "output": 10_000_000,
            "reasoning": 11_000_000,
            "audio_output": 80_000_000,
        },
        request=500_000,
    )


def test_free_is_said_aloud() -> None:
    """`price = "free"` is a price of zero; no price is none, so nothing is free by accident."""
    kinds = (
        "input",
        "cached_input",
        "cache_write",
        "audio_input",
        "output",
        "reasoning",
        "audio_output",
    )

    assert only_model(in_model('price = "free"')).price == flat_price(dict.fromkeys(kinds, 0))
    assert only_model(in_model("")).price is None


@pytest.mark.parametrize(
    "amount",
    [
        "-1",
        "-0.000001",
        "nan",
        "inf",
        "1e10",
        "0.0000001",
        "1.0000000000000000000000000000000001",
        "1e-999999",
        "true",
        '"1"',
        "[1]",
        "2026-01-01",
    ],
)
@pytest.mark.parametrize("kind", ["input", "cached_input", "request"])
def test_unfit_amounts(kind: str, amount: str) -> None:
    """A price is a finite number of points, not negative, with at most six decimals."""
    others = "".join(f"{name} = 1, " for name in ("input", "output") if name != kind)
    with pytest.raises(CatalogError) as caught:
        parse_catalog(in_model(f"price = {{ {others}{kind} = {amount} }}"))

    assert caught.value.key == f"models.m.price.{kind}"
    assert "0 or more, with at most 6 decimals" in caught.value.problem


@pytest.mark.parametrize(
    ("text", "key", "problem"),
    [
        ("points_per_usd = 0", "points_per_usd", "must be a whole number, at least 1"),
        ("points_per_usd = 1.5", "points_per_usd", "must be a whole number"),
        ("points_per_usd = true", "points_per_usd", "must be a whole number"),
        ("points_per_usd = 9007199254740992", "points_per_usd", "must be a whole number"),
        ("currency = 1", "currency", "is not a known key"),
        ("channels = 1", "channels", "must be a table"),
        ("channels = { main = 1 }", "channels.main", "must be a table"),
        ("models = []", "models", "must be a table"),
        ("models = { m = 1 }", "models.m", "must be a table"),
        ("[channels.main]", "channels.main.base_url", "is missing; must be text"),
        ('[channels."a b"]', 'channels."a b"', "a name has 1 to 200 printable characters"),
        ('[channels.""]', 'channels.""', "a name has 1 to 200 printable characters"),
        (in_channel("url = 1"), "channels.main.url", "is not a known key"),
        (
            in_channel('kind = "grpc"'),
            "channels.main.kind",
            "must be one of openai, azure, bedrock",
        ),
        (in_channel('region = "us-east-1"'), "channels.main.region", "is not a known key"),
        (in_channel('kind = "bedrock"'), "channels.main.region", "is missing; must be text"),
        (
            in_channel('kind = "bedrock"\nregion = "Ireland"'),
            "channels.main.region",
            "must be a region of AWS",
        ),
        (
            in_channel('kind = "bedrock"\nregion = "us-east-1"\nkey = "K"'),
            "channels.main.key",
            "a bedrock channel has none: the role signs",
        ),
        (
            in_channel('kind = "bedrock"\nregion = "us-east-1"\napi_version = "v1"'),
            "channels.main.api_version",
            "is not a known key",
        ),
        (in_channel("key = 1"), "channels.main.key", "must be text"),
        (in_channel("api_version = 1"), "channels.main.api_version", "must be text"),
        (
            in_channel('output_limit_field = "n"'),
            "channels.main.output_limit_field",
            "must be one of max_tokens, max_completion_tokens",
        ),
        (in_channel("stream_options = 1"), "channels.main.stream_options", "must be true or false"),
        (in_channel("headers = 1"), "channels.main.headers", "must be a table"),
        (in_channel("headers = { a = 1 }"), "channels.main.headers.a", "must be text"),
        (in_channel(r'headers = { a = "b\r\nc" }'), "channels.main.headers.a", "must be a header"),
        (in_channel('headers = { a = "é" }'), "channels.main.headers.a", "must be a header"),
        (
            in_channel('headers = { "a b" = "c" }'),
            'channels.main.headers."a b"',
            "must be a header",
        ),
        (in_channel("timeouts = 5"), "channels.main.timeouts", "must be a table"),
        (in_channel("timeouts = { idle_s = 5 }"), "channels.main.timeouts.idle_s", "not a known"),
        (
            in_channel("timeouts = { total_s = 0 }"),
            "channels.main.timeouts.total_s",
            "must be seconds, above 0 and below 1000",
        ),
        (in_channel("timeouts = { total_s = 1000 }"), "channels.main.timeouts.total_s", "below"),
        (in_channel("timeouts = { total_s = nan }"), "channels.main.timeouts.total_s", "below"),
        (in_channel("timeouts = { total_s = true }"), "channels.main.timeouts.total_s", "below"),
        (in_channel('timeouts = { total_s = "5" }'), "channels.main.timeouts.total_s", "below"),
        (f"{CHANNEL}[models.m]", "models.m.context_tokens_max", "is missing; must be a whole"),
        (
            f"{CHANNEL}[models.m]\ncontext_tokens_max = 0",
            "models.m.context_tokens_max",
            "must be a whole number, at least 1",
        ),
        (
            f"{CHANNEL}[models.m]\ncontext_tokens_max = 1",
            "models.m.output_tokens_max",
            "is missing; must be a whole number",
        ),
        (in_model("prise = 1"), "models.m.prise", "is not a known key"),
        (in_model("owned_by = 1"), "models.m.owned_by", "must be text"),
        (in_model("created = -1"), "models.m.created", "must be a whole number, at least 0"),
        (
            in_model('encoding = "p50k_base"'),
            "models.m.encoding",
            "must be one of o200k_base, cl100k_base",
        ),
        (in_model("image_tokens = 85"), "models.m.image_tokens", "must be a table"),
        (
            in_model('image_tokens = { scheme = "pixel" }'),
            "models.m.image_tokens.scheme",
            "must be one of tile, patch, flat",
        ),
        (in_model("image_tokens = { tiles = 1 }"), "models.m.image_tokens.tiles", "not a known"),
        (
            in_model("image_tokens = { patches_max = 0 }"),
            "models.m.image_tokens.patches_max",
            "at least 1",
        ),
        (in_model("service_tiers = 50"), "models.m.service_tiers", "must be a table"),
        (
            in_model("service_tiers = { flex = 0 }"),
            "models.m.service_tiers.flex",
            "must be a whole number, at least 1",
        ),
        (
            in_model("service_tiers = { flex = 0.5 }"),
            "models.m.service_tiers.flex",
            "must be a whole number",
        ),
        (in_model("price = 250"), "models.m.price", 'must be a table, or "free"'),
        (in_model('price = "gratis"'), "models.m.price", 'must be a table, or "free"'),
        (
            in_model("price = { output = 1 }"),
            "models.m.price.input",
            "is missing; must be a number",
        ),
        (
            in_model("price = { input = 1 }"),
            "models.m.price.output",
            "is missing; must be a number",
        ),
        (
            in_model("price = { input = 1, output = 1, imput = 1 }"),
            "models.m.price.imput",
            "is not a known key",
        ),
        (
            in_model("price = { input = 1, output = 1, cached_input = 2 }"),
            "models.m.price.cached_input",
            "must not be above input",
        ),
        (f"[models.m]\n{LIMITS}", "models.m.channels", "is missing; must be a list"),
        (f"[models.m]\n{LIMITS}channels = []", "models.m.channels", "at least one channel"),
        (f'[models.m]\n{LIMITS}channels = "main"', "models.m.channels", "must be a list"),
        (f"[models.m]\n{LIMITS}channels = [1]", "models.m.channels[0]", "must be a table"),
        (
            f'[models.m]\n{LIMITS}channels = ["main"]',
            "models.m.channels[0]",
            "there is no channel 'main'",
        ),
        (
            f'{CHANNEL}[models.m]\n{LIMITS}channels = ["main", {{ channel = "main" }}]',
            "models.m.channels[1]",
            "a second time",
        ),
        (
            f"{CHANNEL}[models.m]\n{LIMITS}channels = [{{}}]",
            "models.m.channels[0].channel",
            "is missing; must be text",
        ),
        (
            f'{CHANNEL}[models.m]\n{LIMITS}channels = [{{ channel = "main", weight = 0 }}]',
            "models.m.channels[0].weight",
            "must be a whole number, at least 1",
        ),
        (
            f'{CHANNEL}[models.m]\n{LIMITS}channels = [{{ channel = "main", priority = -1 }}]',
            "models.m.channels[0].priority",
            "must be a whole number, at least 0",
        ),
        (
            f'{CHANNEL}[models.m]\n{LIMITS}channels = [{{ channel = "main", cost = 1 }}]',
            "models.m.channels[0].cost",
            "is not a known key",
        ),
        *(
            (in_model(f"refused_fields = {value}"), "models.m.refused_fields", problem)
            for value, problem in (
                ('"x"', "must be"),
                ("[5]", "lower-case names"),
                ('[""]', "lower-case names"),
                ('["Resolution"]', "lower-case names"),
            )
        ),
        *(
            (in_model(f"fallback = {value}") + OTHERS, f"models.m.fallback{place}", problem)
            for value, place, problem in (
                ('"other"', "", "must be a list"),
                ("[5]", "", "must be a list of models"),
                ('["other", "other"]', "", "each named once"),
                ('["other", "nobody"]', "[1]", "there is no chat model 'nobody'"),
                ('["picture"]', "[0]", "there is no chat model 'picture'"),
                ('["m"]', "[0]", "cannot stand in for itself"),
                ('["unpriced"]', "[0]", "'unpriced' has no price"),
            )
        ),
        (
            f'{CHANNEL}[models.m]\nkind = "image"\n{SOLD}fallback = ["m"]\nprice = "free"',
            "models.m.fallback",
            "is not a known key",
        ),
        (
            f'{CHANNEL}[models."gpt-4.1"]\n{LIMITS}{SOLD}price = 1',
            'models."gpt-4.1".price',
            "must be a table",
        ),
    ],
)
def test_complaint_names_the_key(text: str, key: str, problem: str) -> None:
    """What is wrong is named by its dotted key, as TOML writes it, with what is expected."""
    with pytest.raises(CatalogError) as caught:
        parse_catalog(text)

    assert caught.value.key == key
    assert problem in caught.value.problem
    assert str(caught.value) == f"{key}: {caught.value.problem}"


@pytest.mark.parametrize(
    "address", ["upstream.test", "ftp://upstream.test", "https://", "https://a b", "https://a?b=c"]
)
def test_unfit_address(address: str) -> None:
    """A channel's address is http or https, without space or query."""
    with pytest.raises(CatalogError) as caught:
        parse_catalog(f'[channels.main]\nbase_url = "{address}"')

    assert caught.value.key == "channels.main.base_url"


@pytest.mark.parametrize("name", ["a b", "", "a\\u007f", "a\\u200b", "x" * 201, "\\u00a0"])
def test_unfit_model_name(name: str) -> None:
    """A model's name is something that a caller can type: printable, without space."""
    with pytest.raises(CatalogError) as caught:
        parse_catalog(f'{CHANNEL}[models."{name}"]\n{LIMITS}{SOLD}')

    assert caught.value.key.startswith("models.")
    assert "printable" in caught.value.problem


@pytest.mark.parametrize("name", ["x" * 200, "openai/gpt-oss-120b", "模型"])
def test_fit_model_name(name: str) -> None:
    """Slashes, dots and letters of any script are fit."""
    assert only_model(f'{CHANNEL}[models."{name}"]\n{LIMITS}{SOLD}').name == name


def test_second_route_through_one_channel() -> None:
    """One channel may offer two of its models; only the very same route twice is a mistake."""
    model = only_model(
        f'{CHANNEL}[models.m]\n{LIMITS}channels = ["main", {{ channel = "main", model = "m-2" }}]'
    )

    assert [route.upstream_model for route in model.routes] == ["m", "m-2"]


@pytest.mark.parametrize(
    "text",
    [
        "points_per_usd = ",
        "[channels.main]\n[channels.main]",
        "a = " + "[" * 100_000,
        "a = " + "9" * 5000,
        "a = 1e99999999999999999999",
        'a = "\ud800"',
    ],
)
def test_what_is_not_toml(text: str) -> None:
    """A text that cannot be read is a CatalogError too, whatever the parser makes of it."""
    with pytest.raises(CatalogError) as caught:
        parse_catalog(text)

    assert caught.value.key == "catalog"
    assert caught.value.problem.startswith("is not TOML: ")


def test_address_loses_its_last_slash() -> None:
    """`/chat/completions` is appended to the address, so a slash at its end would be doubled."""
    channel = only_channel('[channels.main]\nbase_url = "http://127.0.0.1:3001/v1/"')

    assert channel.base_url == "http://127.0.0.1:3001/v1"


def test_packaged_catalog() -> None:
    """The catalog that ships parses alone, prices every model and asks for keys over https."""
    catalog = parse_catalog(PACKAGED.read_text())

    assert {"gpt-4o", "gpt-4o-mini", "gpt-4.1", "o3", "claude-haiku-4-5"} <= set(catalog.models)
    assert [name for name, model in catalog.models.items() if model.price is None] == []
    assert [
        channel.name
        for channel in catalog.channels.values()
        if not channel.base_url.startswith("https://") or channel.key_name is None
    ] == []
    used = {route.channel for model in catalog.models.values() for route in model.routes}
    assert used == set(catalog.channels)


def test_packaged_prices_have_a_source() -> None:
    """Above each price stands a comment with its source and date."""
    lines = PACKAGED.read_text().splitlines()
    sources = [above for above, line in pairwise(lines) if line.startswith("price =")]

    assert len(sources) == len(parse_catalog(PACKAGED.read_text()).models)
    assert [line for line in sources if not line.startswith("# ") or ", 2026-" not in line] == []


def test_packaged_price_in_points() -> None:
    """gpt-4o at 2.50 USD a million input tokens is 250 points: 250 picopoints in millions."""
    price = parse_catalog(PACKAGED.read_text()).models["gpt-4o"].price

    assert price is not None
    assert (price.input, price.cached_input, price.output) == (
        250_000_000,
        125_000_000,
        1_000_000_000,
    )


def test_packaged_models_refuse_what_is_billed_apart() -> None:
    """A search at OpenAI's or xAI's own, a larger image at xAI's."""
    models = parse_catalog(PACKAGED.read_text()).models

    def refused(channel: str, kind: str) -> set[frozenset[str]]:
        return {
            model.refused_fields
            for model in models.values()
            if model.kind == kind and model.routes[0].channel == channel
        }

    assert refused("openai", "chat") == {frozenset({"web_search_options"})}
    assert refused("openai", "image") == refused("anthropic", "chat") == {frozenset()}
    assert refused("xai", "chat") == {frozenset({"search_parameters", "web_search_options"})}
    assert refused("xai", "image") == {frozenset({"resolution"})}
