"""Fixtures of all tests."""

import pytest

pytest.register_assert_rewrite("tests.property.auditor", "tests.property.ledger_machine")
pytest_plugins = ["tests.dynamodb"]
