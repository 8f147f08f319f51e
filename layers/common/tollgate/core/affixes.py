"""Model names with affixes: `[web-]<base>[-official]`, cut by what the catalog has.

The grammar is Chat Nio's, three lines of string work; no library knows it.
"""

from collections.abc import Container
from dataclasses import dataclass

from tollgate.errors import ModelNotFoundError

WEB_PREFIX = "web-"
OFFICIAL_SUFFIX = "-official"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelName:
    """A model name taken apart: which model, with web search or not, in OpenAI's form or not."""

    base: str
    is_web: bool = False
    is_official: bool = False

    def __str__(self) -> str:
        """Return the name with its affixes, as a caller writes it."""
        prefix = WEB_PREFIX if self.is_web else ""
        suffix = OFFICIAL_SUFFIX if self.is_official else ""
        return f"{prefix}{self.base}{suffix}"


def parse_model_name(name: str, known: Container[str]) -> ModelName:
    """Cut the affixes off `name`; the longest name that the catalog has wins.

    Tried in this order: the whole name, without `-official`, without `web-`, without both. So a
    model whose own name begins with `web-` or ends in `-official` can be reached.

    Raises: ModelNotFoundError: `known` has none of the four.
    """
    unsuffixed = name.removesuffix(OFFICIAL_SUFFIX)
    candidates = [
        ModelName(base=name),
        ModelName(base=unsuffixed, is_official=True),
        ModelName(base=name.removeprefix(WEB_PREFIX), is_web=True),
        ModelName(base=unsuffixed.removeprefix(WEB_PREFIX), is_web=True, is_official=True),
    ]
    for candidate in candidates:
        if str(candidate) == name and candidate.base in known:
            return candidate
    raise ModelNotFoundError(name)
