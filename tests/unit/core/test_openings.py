"""Which event an answer opens with."""

from typing import Any

import pytest
from tollgate.core.openings import opens_completion, opens_images


def chunk(delta: Any = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, **fields}]}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (chunk({"role": "assistant"}), False),
        (chunk({"role": "assistant", "content": ""}), False),
        (chunk({"role": "assistant", "content": "", "refusal": None, "tool_calls": []}), False),
        (chunk({"content": []}), False),
        ({"choices": [], "prompt_filter_results": [{}]}, False),
        ({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 0}}, False),
        ({}, False),
        ({"choices": "x"}, False),
        ({"choices": [None]}, False),
        (chunk({"content": "a"}), True),
        (chunk({"content": [{"type": "text", "text": "a"}]}), True),
        (chunk({"content": [{"type": "thinking", "thinking": [{"text": "a"}]}]}), True),
        (chunk({"reasoning_content": "a"}), True),
        (chunk({"refusal": "no"}), True),
        (chunk({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f"}}]}), True),
        (chunk({"audio": {"data": "AAAA"}}), True),
        (chunk({}, finish_reason="stop"), True),
        ({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}, True),
    ],
)
def test_completion(raw: dict[str, Any], *, expected: bool) -> None:
    """What is sold, or ends the answer, opens it; roles, padding and filters announce it."""
    assert opens_completion(raw) is expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"type": "image_generation.started"}, False),
        ({"data": []}, False),
        ({"data": [{"revised_prompt": "x"}]}, False),
        ({"type": "image_generation.partial_image", "b64_json": "AA"}, True),
        ({"data": [{"url": "https://x"}]}, True),
    ],
)
def test_images(raw: dict[str, Any], *, expected: bool) -> None:
    """An image opens it, whole or a preview."""
    assert opens_images(raw) is expected
