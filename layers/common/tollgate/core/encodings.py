"""The tokenizer's encodings, from ranks that ship in the layer: nothing is ever downloaded.

    layers/common/encodings/<name>.tiktoken.gz     beside the package, as in /opt/python

tiktoken's own definitions (pattern, special tokens, expected SHA-256 of the ranks) are used as they
are; only the function by which it would fetch the ranks is replaced by one that reads them here.
"""

import base64
import gzip
import hashlib
from pathlib import Path

import tiktoken
import tiktoken_ext.openai_public

FOLDER = Path(__file__).parent.parent.parent / "encodings"


def load_encoding(name: str) -> tiktoken.Encoding:
    """Return an encoding; the first call of a process takes about half a second of CPU.

    tiktoken keeps it for the process, behind a lock of its own.

    Raises: ValueError: the shipped ranks are not those that tiktoken expects.
    """
    return tiktoken.get_encoding(name)


def load_encodings() -> None:
    """Load those that the layer has ranks for, so that no request waits for one."""
    for file in sorted(FOLDER.glob("*.tiktoken.gz")):
        load_encoding(file.name.partition(".")[0])


def read_ranks(source: str, expected_hash: str | None = None) -> dict[bytes, int]:
    """Return the ranks that tiktoken would fetch from `source`, checked against its own SHA-256."""
    packed = FOLDER / f"{source.rpartition('/')[2]}.gz"
    lines = gzip.decompress(packed.read_bytes())
    if hashlib.sha256(lines).hexdigest() != expected_hash:
        raise ValueError(f"{packed.name} does not hold the ranks that tiktoken expects")
    pairs = (line.split() for line in lines.splitlines() if line)
    return {base64.b64decode(token): int(rank) for token, rank in pairs}


tiktoken_ext.openai_public.load_tiktoken_bpe = read_ranks
