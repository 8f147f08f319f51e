"""The naive gateway's ranks come from the layer, and are those that OpenAI serves."""

import hashlib
from pathlib import Path

import pytest

from bench.naive import ranks

# Of tiktoken's own definition of o200k_base.
_EXPECTED = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"


def test_the_ranks_are_those_that_tiktoken_expects(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Else it would download them, and a bench without a network would stop."""
    monkeypatch.setattr(ranks, "_FOLDER", tmp_path)
    [file] = ranks.unpack_ranks().iterdir()
    assert hashlib.sha256(file.read_bytes()).hexdigest() == _EXPECTED
