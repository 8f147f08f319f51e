"""When a function's parts are made."""

import pytest
from tollgate.settings import Settings
from tollgate.web.readiness import make_ready


class Noting:
    """A part that notes how often it is asked for."""

    made = 0

    def __call__(self) -> "Noting":
        self.made += 1
        return self

    async def aclose(self) -> None:
        """Nothing is open."""

    def cache_clear(self) -> None:
        """Nothing is kept."""


@pytest.mark.parametrize(
    ("initialization", "made"),
    [
        ("on-demand", 1),
        ("provisioned-concurrency", 1),
        ("snap-start", 0),  # its hooks make them
        ("lambda-managed-instances", 0),
        ("", 0),  # not Lambda
    ],
)
def test_parts_are_made_where_a_request_will_come(initialization: str, made: int) -> None:
    """Lambda says what kind of start it is."""
    part = Noting()
    prepared: list[int] = []

    make_ready(
        Settings.read({"AWS_LAMBDA_INITIALIZATION_TYPE": initialization}),
        part,
        preparations=[lambda: prepared.append(1)],
    )

    assert part.made == made
    assert prepared == []
