"""What a function does not import when it starts cold, seen in a process of its own."""

import os
import subprocess
import sys

import pytest

from local.sandbox import ROOT

HEAVY = ("fastapi", "pydantic", "httpx", "tiktoken", "boto3")


@pytest.mark.parametrize(
    ("function", "absent"),
    [
        ("models", HEAVY),
        ("billing", ("httpx", "tiktoken", "boto3")),
        ("chat", ("boto3", "tollgate.upstream.bedrock")),
        ("images", ("boto3", "tollgate.upstream.bedrock")),
    ],
)
def test_function_starts_without(function: str, absent: tuple[str, ...]) -> None:
    """Each of these takes longer to import than the function's own modules do."""
    code = f"import sys, functions.{function}.app; print(*sys.modules)"
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'layers' / 'common'}"}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )

    loaded = set(result.stdout.split())
    assert f"functions.{function}.app" in loaded
    assert loaded.isdisjoint(absent)
