"""Counting tokens: the worst megabyte that a caller can send, against a megabyte of prose."""

import random
import resource
import string
from collections.abc import Callable
from pathlib import Path

from tollgate.core.catalog import ImageTokens, Model
from tollgate.core.tokens import count_prompt, count_text

from bench.measure import interleave, print_ratios

_CHARACTERS = 1_000_000
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


def families() -> dict[str, str]:
    """Return a megabyte of each kind."""
    letters = random.Random(1)

    def fill(piece: str) -> str:
        return (piece * (_CHARACTERS // len(piece) + 1))[:_CHARACTERS]

    prose = "\n".join(file.read_text() for file in sorted(_DOCS.rglob("*.md")))
    return {
        "prose": fill(prose),
        "one letter": fill("a"),
        "random letters": "".join(letters.choices(string.ascii_lowercase, k=_CHARACTERS)),
        "one Han character": fill("字"),
        "emoji joined": fill("👩\u200d👩\u200d👧"),
        "spaces": fill(" "),
        "no-break spaces": fill("\u00a0"),
        "newlines": fill("\n"),
        "equal signs": fill("="),
        "special-token text": fill("<|endoftext|>"),
        "lone surrogates": fill("\ud800"),
    }


def bodies() -> dict[str, dict[str, object]]:
    """Return request bodies of about six megabytes, of one text and of millions of pieces."""
    texts = random.Random(1)
    letters = "".join(texts.choices(string.ascii_lowercase, k=6 * _CHARACTERS))
    return {
        "one text of spaces": {"messages": [{"role": "user", "content": " " * len(letters)}]},
        "one text of letters": {"messages": [{"role": "user", "content": letters}]},
        "empty parts": {"messages": [{"role": "user", "content": [""] * 2 * _CHARACTERS}]},
        "empty messages": {"messages": [{}] * 2 * _CHARACTERS},
        "empty tools": {"messages": [], "tools": [{}] * 2 * _CHARACTERS},
    }


def main() -> None:
    """Print each family's ratio."""
    before = _peak_megabytes()
    count_text("warm", "o200k_base")
    loaded = _peak_megabytes()
    cases: dict[str, Callable[[], object]] = {
        name: lambda text=text: count_text(text, "o200k_base")  # type: ignore[misc]
        for name, text in families().items()
    }
    found = interleave(cases, rounds=3)
    print_ratios("Counting one million characters, o200k_base", found, "prose")
    prompts: dict[str, Callable[[], object]] = {"a megabyte of prose": cases["prose"]}
    for name, body in bodies().items():
        prompts[name] = lambda body=body: count_prompt(body, _MODEL)  # type: ignore[misc]
    found = interleave(prompts, rounds=3)
    print_ratios("Counting a body of six megabytes, context 1M", found, "a megabyte of prose")
    print(
        f"\nPeak memory: {before} MB before the encoding, {loaded} MB with it,"
        f" {_peak_megabytes()} MB after all of the above"
    )


def _peak_megabytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024  # Linux counts KiB


if __name__ == "__main__":
    main()
