"""Fixtures of all tests, and Hypothesis's settings for the long runs of `make torture`."""

import os

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("tests.property.auditor", "tests.property.ledger_machine")
pytest_plugins = ["tests.dynamodb"]
settings.register_profile(
    "torture",
    max_examples=1 + int(os.environ.get("FUZZ_CASES", "20000")) // 10,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
