"""Vendors' usage objects; the numbers are those of recorded answers."""

from typing import Any

import pytest
from tollgate.core.usage import read_usage, usage_counts, usage_json


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}, (10, 5, 0, 0)),
        ({"prompt_tokens": 10, "completion_tokens": 5}, (10, 5, 0, 0)),
        # xAI: reasoning beside the completion, inside the total only
        (
            {
                "prompt_tokens": 307,
                "completion_tokens": 25,
                "total_tokens": 384,
                "completion_tokens_details": {"reasoning_tokens": 52},
            },
            (307, 77, 0, 52),
        ),
        # Gemini: thinking in the total, with no word of it
        ({"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109}, (35, 74, 0, 62)),
        # Azure's Grok: more cached than prompt
        (
            {
                "prompt_tokens": 7,
                "completion_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 161},
            },
            (7, 5, 7, 0),
        ),
        ({"prompt_tokens": 9, "completion_tokens": 1, "cached_tokens": 4}, (9, 1, 4, 0)),
        ({"prompt_tokens": 9, "completion_tokens": 1, "prompt_cache_hit_tokens": 4}, (9, 1, 4, 0)),
        ({"prompt_tokens": 9, "completion_tokens": 3, "reasoning_tokens": 2}, (9, 3, 0, 2)),
        (
            {
                "prompt_tokens": 43,
                "completion_tokens": 10,
                "total_tokens": 53,
                "completion_tokens_details": {"reasoning_tokens": 11},
            },
            (43, 10, 0, 10),
        ),
        (
            {"prompt_tokens": 5.0, "completion_tokens": 2, "prompt_tokens_details": None},
            (5, 2, 0, 0),
        ),
        ({"prompt_tokens": -5, "completion_tokens": 2}, (0, 2, 0, 0)),
    ],
)
def test_counts_add_up(raw: dict[str, Any], expected: tuple[int, int, int, int]) -> None:
    """Prompt, completion, cached and reasoning, whichever way they were said."""
    found = read_usage(raw)

    assert found is not None
    assert expected == (found.prompt, found.completion, found.cached, found.reasoning)
    assert found.total == found.prompt + found.completion


@pytest.mark.parametrize(
    "raw",
    [
        None,
        {},
        [],
        "10",
        {"prompt_tokens": 10},
        {"prompt_tokens": 10, "completion_tokens": None},
        {"prompt_tokens": True, "completion_tokens": 1},
        {"prompt_tokens": float("nan"), "completion_tokens": 1},
        {"prompt_tokens": 10**30, "completion_tokens": 1},
        {"cost_in_usd_ticks": 5},
    ],
)
def test_incomplete_usage_is_none(raw: object) -> None:
    """Half a pair of counts, or no counts, is no usage."""
    assert read_usage(raw) is None


def test_answer_keeps_details_and_hides_cost() -> None:
    """Details pass, corrected; what the vendor charged the operator does not."""
    raw = {
        "prompt_tokens": 30,
        "completion_tokens": 4,
        "cost": 0.5,
        "prompt_tokens_details": {"cached_tokens": 10, "audio_tokens": 25, "text_tokens": None},
        "completion_tokens_details": {"reasoning_tokens": 1, "cost": "x"},
    }

    found = read_usage(raw)

    assert found is not None
    assert usage_json(found) == {
        "prompt_tokens": 30,
        "completion_tokens": 4,
        "total_tokens": 34,
        "prompt_tokens_details": {"cached_tokens": 5, "audio_tokens": 25},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }
    assert usage_counts(found) == {
        "prompt": 30,
        "completion": 4,
        "cached": 5,
        "audio_prompt": 25,
        "reasoning": 1,
    }
