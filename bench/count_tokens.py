"""Counting tokens: the worst megabyte that a caller can send, against a megabyte of prose."""

import random
import string
from collections.abc import Callable

from tollgate.core.tokens import count_text

from bench.measure import interleave, print_ratios

_CHARACTERS = 1_000_000
_PROSE = (
    "The keeper of the gate counted every cart that passed, and never asked what was in it. "
    "When the night was quiet he would count again, and the coins were as many as the marks. "
)


def families() -> dict[str, str]:
    """Return a megabyte of each kind."""
    letters = random.Random(1)

    def fill(piece: str) -> str:
        return (piece * (_CHARACTERS // len(piece) + 1))[:_CHARACTERS]

    return {
        "prose": fill(_PROSE),
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


def main() -> None:
    """Print each family's ratio."""
    count_text("warm", "o200k_base")
    cases: dict[str, Callable[[], object]] = {
        name: lambda text=text: count_text(text, "o200k_base")  # type: ignore[misc]
        for name, text in families().items()
    }
    found = interleave(cases, rounds=3)
    print_ratios("Counting one million characters, o200k_base", found, "prose")


if __name__ == "__main__":
    main()
