"""The tokenizer's ranks: those that ship are those that tiktoken expects, and no other."""

import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
import tiktoken
import tiktoken_ext.openai_public
from tollgate.core import encodings
from tollgate.core.encodings import FOLDER, load_encoding, read_ranks

CONSTRUCTORS: dict[str, Callable[[], dict[str, object]]] = (
    tiktoken_ext.openai_public.ENCODING_CONSTRUCTORS
)


@pytest.mark.parametrize(("name", "tokens"), [("o200k_base", 199_998), ("cl100k_base", 100_256)])
def test_shipped_ranks_are_whole(name: str, tokens: int) -> None:
    """Every rank from zero up is there, once; tiktoken's constructor checked their SHA-256."""
    ranks = CONSTRUCTORS[name]()["mergeable_ranks"]

    assert isinstance(ranks, dict)
    assert sorted(ranks.values()) == list(range(tokens))


@pytest.mark.parametrize("name", ["o200k_base", "cl100k_base"])
def test_definition_is_upstreams_own(name: str) -> None:
    """Pattern and special tokens are tiktoken's, down to the character."""
    definition = CONSTRUCTORS[name]()
    encoding = load_encoding(name)

    assert encoding.name == name
    assert encoding._pat_str == definition["pat_str"]
    assert encoding._special_tokens == definition["special_tokens"]


@pytest.mark.parametrize(
    ("name", "text", "tokens"),
    [
        ("o200k_base", "hello world", [24912, 2375]),
        ("cl100k_base", "hello world", [15339, 1917]),
        ("cl100k_base", "tiktoken is great!", [83, 1609, 5963, 374, 2294, 0]),
        ("o200k_base", "hello <|endoftext|>", [24912, 464, 91, 419, 1440, 919, 91, 29]),
    ],
)
def test_known_tokens(name: str, text: str, tokens: list[int]) -> None:
    """Texts whose tokens are published come out as published, special-token text as ordinary."""
    assert load_encoding(name).encode_ordinary(text) == tokens


def test_loaded_once() -> None:
    """The second call has the first one's encoding: it took half a second to build."""
    assert load_encoding("o200k_base") is load_encoding("o200k_base")


def test_tiktoken_itself_reads_the_shipped_ranks() -> None:
    """Whoever asks tiktoken directly gets the same object: nothing can start a download."""
    assert tiktoken.get_encoding("cl100k_base") is load_encoding("cl100k_base")
    assert tiktoken_ext.openai_public.load_tiktoken_bpe is read_ranks


def test_altered_ranks_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is not the expected one is named and refused before it counts anything."""
    lines = b"IQ== 0\nIg== 1\n"
    (tmp_path / "tiny.tiktoken.gz").write_bytes(gzip.compress(lines))
    monkeypatch.setattr(encodings, "FOLDER", tmp_path)

    digest = hashlib.sha256(lines).hexdigest()
    assert read_ranks("https://ranks.test/tiny.tiktoken", digest) == {b"!": 0, b'"': 1}
    with pytest.raises(ValueError, match=r"tiny\.tiktoken\.gz does not hold the ranks"):
        read_ranks("https://ranks.test/tiny.tiktoken", "0" * 64)
    with pytest.raises(ValueError, match=r"tiny\.tiktoken\.gz does not hold the ranks"):
        read_ranks("https://ranks.test/tiny.tiktoken")


def test_ranks_lie_beside_the_package() -> None:
    """In the layer both end up under /opt/python, so the folder is found from the package."""
    assert sorted(path.name for path in FOLDER.iterdir()) == [
        "README.md",
        "cl100k_base.tiktoken.gz",
        "o200k_base.tiktoken.gz",
    ]


def test_readme_has_licence_and_digests() -> None:
    """The folder's README carries the MIT notice and the SHA-256 of each file's ranks."""
    readme = (FOLDER / "README.md").read_text()
    digests = [
        hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest()
        for path in FOLDER.glob("*.gz")
    ]

    assert "MIT" in readme
    assert "Shantanu Jain" in readme
    assert [digest for digest in digests if digest not in readme] == []
