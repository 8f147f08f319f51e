"""The tokenizer's ranks: those that ship are those that tiktoken expects, and no other."""

import base64
import hashlib
import inspect
import marshal
import zlib
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


@pytest.fixture(autouse=True)
def _tiktoken_is_offline() -> None:
    """The first encoding turns its downloads off."""
    load_encoding("cl100k_base")


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
    """Whoever asks tiktoken then gets the same object: nothing can start a download."""
    assert tiktoken.get_encoding("cl100k_base") is load_encoding("cl100k_base")
    assert tiktoken_ext.openai_public.load_tiktoken_bpe is read_ranks


def test_ranks_are_let_go_once_the_tokenizer_is_made() -> None:
    """They would be 27 MB; nothing but pickling an encoding asks for them."""
    encoding = load_encoding("o200k_base")

    assert encoding._mergeable_ranks == {}
    assert encoding.decode(encoding.encode("gates")) == "gates"
    uses = inspect.getsource(tiktoken.core).count("_mergeable_ranks")
    assert uses == 2
    assert '"mergeable_ranks": self._mergeable_ranks' in inspect.getsource(
        tiktoken.Encoding.__getstate__
    )


@pytest.mark.parametrize("name", ["o200k_base", "cl100k_base"])
def test_shipped_tokens_are_openais_file(name: str) -> None:
    """A line a token, base64 and rank: its SHA-256 is the one by which tiktoken knows it."""
    packed = (FOLDER / f"{name}.tokens").read_bytes()
    tokens = marshal.loads(zlib.decompress(packed))  # noqa: S302 - ours
    lines = b"".join(b"%b %d\n" % (base64.b64encode(token), at) for at, token in enumerate(tokens))

    source = inspect.getsource(getattr(tiktoken_ext.openai_public, name))
    assert f'expected_hash="{hashlib.sha256(lines).hexdigest()}"' in source


def test_altered_ranks_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is not the expected one is named and refused before it counts anything."""
    tokens = marshal.dumps([b"!", b'"'], 2)
    (tmp_path / "tiny.tokens").write_bytes(zlib.compress(tokens))
    monkeypatch.setattr(encodings, "FOLDER", tmp_path)
    monkeypatch.setattr(
        encodings, "_DIGESTS", {"theirs": hashlib.sha256(tokens).hexdigest(), "other": "0" * 64}
    )

    assert read_ranks("https://ranks.test/tiny.tiktoken", "theirs") == {b"!": 0, b'"': 1}
    for expected in ("other", "unknown", None):
        with pytest.raises(ValueError, match=r"tiny\.tokens does not hold the ranks"):
            read_ranks("https://ranks.test/tiny.tiktoken", expected)


def test_ranks_lie_beside_the_package() -> None:
    """In the layer both end up under /opt/python, so the folder is found from the package."""
    assert sorted(path.name for path in FOLDER.iterdir()) == [
        "README.md",
        "cl100k_base.tokens",
        "o200k_base.tokens",
    ]


def test_readme_has_licence_and_digests() -> None:
    """The folder's README carries the MIT notice and the SHA-256 of each file's ranks."""
    readme = (FOLDER / "README.md").read_text()

    assert "MIT" in readme
    assert "Shantanu Jain" in readme
    assert [digest for digest in encodings._DIGESTS if digest not in readme] == []
