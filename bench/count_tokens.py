"""Counting tokens: the worst megabyte that a caller can send, against a megabyte of prose."""

import json
import random
import statistics
import string
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from tollgate.core.catalog import ImageTokens, Model
from tollgate.core.encodings import load_encoding
from tollgate.core.tokens import count_prompt, count_text

from bench.measure import find_ratios, interleave, print_ratios

_MEGABYTE = 1_000_000
_GROWTH_BYTES = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 5_000_000)
_DOCS = Path(__file__).parent.parent / "docs"
_MODEL = Model(
    name="m",
    owned_by="bench",
    created=0,
    context_tokens_max=1_000_000,
    output_tokens_max=1000,
    encoding="o200k_base",
    image_tokens=ImageTokens(scheme="flat"),
    price=None,
    routes=(),
)


def families(size: int = _MEGABYTE) -> dict[str, str]:
    """Return `size` bytes of each kind, as UTF-8 (of a lone surrogate too, three bytes)."""
    draw = random.Random(1)

    def fill(piece: str) -> str:
        count = size // len(piece.encode("utf-8", "surrogatepass"))
        return piece * count

    def mix(letters: Sequence[str]) -> str:
        return "".join(draw.choices(letters, k=size // len(letters[0].encode())))

    return {
        "prose": fill_prose(size),
        "one letter": fill("a"),
        "random letters": mix(string.ascii_lowercase),
        "random base64": mix(string.ascii_letters + string.digits + "+/"),
        "random Cyrillic": mix([chr(code) for code in range(0x430, 0x450)]),
        "one Han character": fill("字"),
        "random Han": mix([chr(code) for code in range(0x4E00, 0x9FA6)]),
        "random emoji": mix([chr(code) for code in range(0x1F300, 0x1F600)]),
        "emoji joined": fill("👩\u200d👩\u200d👧"),
        "spaces": fill(" "),
        "no-break spaces": fill("\u00a0"),
        "newlines": fill("\n"),
        "equal signs": fill("="),
        "special-token text": fill("<|endoftext|>"),
        "lone surrogates": fill("\ud800"),
        "lone surrogates apart": fill("\ud800a"),
    }


def fill_prose(size: int) -> str:
    """Return `size` bytes of this project's documents."""
    prose = "\n".join(file.read_text() for file in sorted(_DOCS.rglob("*.md")))
    encoded = prose.encode()
    return (encoded * (size // len(encoded) + 1))[:size].decode(errors="ignore")


def bodies() -> dict[str, dict[str, object]]:
    """Return request bodies of about six megabytes, of one text and of millions of pieces."""
    texts = random.Random(1)
    letters = "".join(texts.choices(string.ascii_lowercase, k=6 * _MEGABYTE))
    return {
        "one text of spaces": {"messages": [{"role": "user", "content": " " * len(letters)}]},
        "one text of letters": {"messages": [{"role": "user", "content": letters}]},
        "empty parts": {"messages": [{"role": "user", "content": [""] * 2 * _MEGABYTE}]},
        "empty messages": {"messages": [{}] * 2 * _MEGABYTE},
        "empty tools": {"messages": [], "tools": [{}] * 2 * _MEGABYTE},
    }


def growth(rounds: int = 3) -> dict[str, list[tuple[int, float]]]:
    """Return the CPU milliseconds (median) of a count by the bytes of the prompt.

    `tiktoken` is what it takes for random letters in one piece, without windows.
    """
    whole = load_encoding("o200k_base")
    found: dict[str, list[tuple[int, float]]] = {"prose": [], "random letters": [], "tiktoken": []}
    for size in _GROWTH_BYTES:
        prose = fill_prose(size)
        letters = "".join(random.Random(1).choices(string.ascii_lowercase, k=size))
        cases: dict[str, Callable[[], object]] = {
            "prose": partial(count_text, prose, "o200k_base"),
            "random letters": partial(count_text, letters, "o200k_base"),
            "tiktoken": partial(whole.encode_ordinary, letters),
        }
        for name, seconds in interleave(cases, rounds=rounds).items():
            found[name].append((size, round(statistics.median(seconds) * 1000, 3)))
    return found


def count_families(rounds: int = 5) -> dict[str, list[float]]:
    """Return the seconds of each family."""
    cases = {name: partial(count_text, text, "o200k_base") for name, text in families().items()}
    return interleave(cases, rounds=rounds)


def count_bodies(rounds: int = 3) -> dict[str, list[float]]:
    """Return the seconds of the largest bodies, and of a megabyte of prose."""
    cases: dict[str, Callable[[], object]] = {
        "a megabyte of prose": partial(count_text, fill_prose(_MEGABYTE), "o200k_base")
    }
    cases |= {name: partial(count_prompt, body, _MODEL) for name, body in bodies().items()}
    return interleave(cases, rounds=rounds)


def main() -> dict[str, float]:
    """Print and return each family's ratio."""
    count_text("warm", "o200k_base")
    counted = count_families()
    print_ratios("Counting a megabyte of UTF-8, o200k_base", counted, "prose")
    print_ratios(
        "Counting a body of six megabytes, context 1M", count_bodies(), "a megabyte of prose"
    )
    return find_ratios(counted, "prose")


if __name__ == "__main__":
    if "--growth" in sys.argv[1:]:
        print(json.dumps(growth()))
    else:
        main()
