"""Small catalogs for tests of the upstream."""

from collections.abc import Mapping

from tollgate.core.catalog import Catalog, Channel, ImageTokens, Model, Route, Timeouts


def make_model(*routes: Route) -> Model:
    return Model(
        name="story",
        owned_by="tests",
        created=0,
        context_tokens_max=1000,
        output_tokens_max=100,
        encoding="o200k_base",
        image_tokens=ImageTokens(scheme="flat"),
        price=None,
        routes=routes,
    )


def make_catalog(channels: Mapping[str, Channel]) -> Catalog:
    return Catalog(version="test", points_per_usd=100, channels=channels, models={})


def make_timeouts(
    *, first_byte_s: float = 5.0, between_bytes_s: float = 5.0, total_s: float = 60.0
) -> Timeouts:
    return Timeouts(
        connect_s=2.0, first_byte_s=first_byte_s, between_bytes_s=between_bytes_s, total_s=total_s
    )
