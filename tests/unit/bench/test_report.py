"""Figures, goals, and the documents that are written from them."""

import json
from typing import Any

import pytest

from bench.documents import performance_sections, readme_section, replace_section
from bench.figures import Figure
from bench.goals import GOALS, OURS
from bench.programs import ROOT
from bench.report import format_number, goal_rows, missed

_BEGIN = "<!-- figures: written by `make bench-peers WRITE=1` -->\n"


def _streams(first: float, burst_cpu: float) -> dict[str, Any]:
    return {
        "first_ms": {"median": first},
        "burst_cpu_us": {"median": burst_cpu},
        "paced_cpu_us": {"median": 10.0},
        "burst_wall_ms": {"median": 4.0},
    }


@pytest.fixture
def results() -> dict[str, Any]:
    """Some results of three gateways, not of all that is measured."""
    return {
        "streams": {
            "direct": _streams(1.0, 0.0),
            OURS: _streams(2.0, 20.0),
            "litellm": _streams(11.0, 1000.0),
        }
    }


def test_a_figure_is_the_middle_of_its_samples_and_what_half_of_them_lie_between() -> None:
    """In the unit that is asked for."""
    figure = Figure.of([0.004, 0.001, 0.003, 0.002, 0.005], unit=1e-3)
    assert (figure.median, figure.low, figure.high, figure.samples) == (3.0, 1.5, 4.5, 5)


def test_a_figure_of_one_sample_has_no_spread() -> None:
    """A quick look has one round."""
    assert Figure.of([2.0]) == Figure(median=2.0, low=2.0, high=2.0, samples=1)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "\N{EN DASH}"),
        (1234.5, "1234"),
        (0.0123456, "0.0123"),
        (12.3, "12.3"),
        (0.1, "0.100"),
    ],
)
def test_numbers_have_three_digits_that_count(value: float | None, text: str) -> None:
    """No more: runs differ by more than that."""
    assert format_number(value) == text


def test_the_added_time_is_what_the_way_without_a_gateway_does_not_take(
    results: dict[str, Any],
) -> None:
    """A millisecond of ours against ten of LiteLLM's."""
    assert GOALS[0].of(results, OURS) == pytest.approx(0.1)


def test_a_goal_that_is_missed_is_told_with_its_figure(results: dict[str, Any]) -> None:
    """And one that is met is not; one without figures is neither."""
    lines = missed(results)
    assert [line.split(":")[0] for line in lines] == [
        "CPU a chunk in bursts ÷ LiteLLM's",
        "CPU a chunk, one a millisecond ÷ LiteLLM's",
    ]
    assert "0.0200, not 0.015" in lines[0]


def test_the_table_says_what_is_met_what_is_not_and_what_was_not_measured(
    results: dict[str, Any],
) -> None:
    """A dash is no yes."""
    nothing = "\N{EN DASH}"
    verdicts = [row[-1] for row in goal_rows(results)]
    assert verdicts[:7] == ["met", "yes", "**no**", nothing, "**no**", "yes", nothing]


def test_a_section_is_replaced_and_the_rest_stays() -> None:
    """Writing it twice changes nothing more."""
    text = f"before\n{_BEGIN}old\n<!-- figures ends -->\nafter\n"
    written = replace_section(text, "figures", "new | \\1")
    assert written == f"before\n{_BEGIN}new | \\1\n<!-- figures ends -->\nafter\n"
    assert replace_section(written, "figures", "new | \\1") == written


def test_a_document_without_the_section_is_refused() -> None:
    """Figures that are written nowhere would be missed by nobody."""
    with pytest.raises(ValueError, match="no section figures"):
        replace_section("text", "figures", "new")


def test_the_documents_say_what_the_results_say() -> None:
    """README and docs/performance.md are as docs/performance.json makes them."""
    kept = json.loads((ROOT / "docs" / "performance.json").read_text())
    readme = (ROOT / "README.md").read_text()
    assert replace_section(readme, "figures", readme_section(kept)) == readme
    page = (ROOT / "docs" / "performance.md").read_text()
    sections = "\n\n".join(performance_sections(kept))
    assert replace_section(page, "figures", sections) == page
