"""The tokenizer's encodings, from ranks that ship in the layer: nothing is ever downloaded.

    layers/common/encodings/<name>.tokens     beside the package, as in /opt/python:
                                              zlib of marshal of the tokens, in order of rank

tiktoken's own definitions (pattern, special tokens, expected SHA-256 of the ranks) are used as they
are; only the function by which it would fetch the ranks is replaced by one that reads them here.
tiktoken itself is imported with the first encoding, which no function's start waits for.
OpenAI's own file is a line of base64 a token, which takes four times as long to read. Tests make
theirs of ours again, whose SHA-256 is the one that tiktoken expects.
"""

import hashlib
import marshal
import sys
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tiktoken

FOLDER = Path(__file__).parent.parent.parent / "encodings"

# SHA-256 of OpenAI's file, which tiktoken names, and of the tokens in ours.
_DIGESTS = {
    "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d": (
        "c8cd7e7486eede6ff48e15d6a03148669592b67a7c472a0314e85c5e116a26d1"
    ),
    "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7": (
        "7adc98f7e397b03925bb1a2b9ea5809386af721f3066adfb1256c0a319a24f49"
    ),
}


def load_encoding(name: str) -> "tiktoken.Encoding":
    """Return an encoding; the first call of a process takes 150 ms of CPU and 50 MB.

    tiktoken keeps it for the process, behind a lock of its own. It also keeps the ranks that it was
    made of, 27 MB that only pickling it needs: these are let go.

    Raises: ValueError: the shipped ranks are not those that tiktoken expects.
    """
    encoding = _offline_tiktoken()(name)
    encoding._mergeable_ranks = {}  # noqa: SLF001 - pinned; a test holds it to that
    return encoding


def is_loaded(name: str) -> bool:
    """Whether `load_encoding` returns at once."""
    registry = sys.modules.get("tiktoken.registry")
    return registry is not None and name in registry.ENCODINGS


@cache
def _offline_tiktoken() -> "Callable[[str], tiktoken.Encoding]":
    """Return what finds an encoding, once nothing in it can start a download."""
    import tiktoken  # noqa: PLC0415 - with the first encoding, see above
    import tiktoken_ext.openai_public  # noqa: PLC0415 - as above

    tiktoken_ext.openai_public.load_tiktoken_bpe = read_ranks
    return tiktoken.get_encoding


def load_encodings() -> None:
    """Load those that the layer has ranks for, so that no request waits for one."""
    for file in sorted(FOLDER.glob("*.tokens")):
        load_encoding(file.stem)


def read_ranks(source: str, expected_hash: str | None = None) -> dict[bytes, int]:
    """Return the ranks that tiktoken would fetch from `source`, checked by their SHA-256."""
    name = source.rpartition("/")[2].removesuffix(".tiktoken")
    packed = FOLDER / f"{name}.tokens"
    tokens = zlib.decompress(packed.read_bytes())
    if hashlib.sha256(tokens).hexdigest() != _DIGESTS.get(expected_hash or ""):
        raise ValueError(f"{packed.name} does not hold the ranks that tiktoken expects")
    ranks: list[bytes] = marshal.loads(tokens)  # noqa: S302 - checked above
    return dict(zip(ranks, range(len(ranks)), strict=True))
