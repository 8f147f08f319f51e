"""What one made image comes to, by its size and quality: a table's amount or a formula's tokens.

A size or quality of None is left to the vendor, as "auto" is: the dearest on offer stands for it.
Amounts are output tokens in a model's `image_output`, micropoints in its `price.images`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tollgate.errors import InvalidRequestError

ANY = "*"
PIXELS_MAX = 3840 * 2160
_SIDE_MAX = 3840
_SIZE = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})")
_AREA_OFFSET = 2_000_000
_AREA_SCALE = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageTable:
    """Amounts by size, then by quality; `*` stands for what is not named, in either level."""

    rows: Mapping[str, Mapping[str, int]]

    def amount(self, size: str | None, quality: str | None) -> int:
        """Return the amount of one image; where something is left open, the most.

        Raises: InvalidRequestError: no price covers this size or quality.
        """
        if size is None:
            return self._most(quality)
        row = self.rows.get(size, self.rows.get(ANY))
        if row is None:
            raise _unpriced("size", size)
        found = _pick(row, quality)
        if found is None:
            raise _unpriced("quality", quality)
        return found

    def _most(self, quality: str | None) -> int:
        amounts = (_pick(row, quality) for row in self.rows.values())
        known = [amount for amount in amounts if amount is not None]
        if not known:
            raise _unpriced("quality", quality)
        return max(known)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageGrid:
    """Tokens of an image of any size: `factors` by quality are the long side's cells.

    Source: "Gpt-image-2 output pricing calculator", community.openai.com/t/1382699; it gives the
    figures of OpenAI's image generation guide (1024x1024 at high: 7024).
    """

    factors: Mapping[str, int]

    def amount(self, size: str | None, quality: str | None) -> int:
        """Return the tokens of one image; where something is left open, the most.

        Raises: InvalidRequestError: an unknown quality, or a size that is none or too large.
        """
        factor = _pick(self.factors, quality)
        if factor is None:
            raise _unpriced("quality", quality)
        if size is None:
            return _cells_tokens(factor * factor, PIXELS_MAX)
        width, height = _read_size(size)
        long, short = max(width, height), min(width, height)
        across = max(1, (2 * factor * short + long) // (2 * long))
        return _cells_tokens(factor * across, width * height)


type ImageRate = ImageTable | ImageGrid


def _cells_tokens(cells: int, pixels: int) -> int:
    return -(-cells * (_AREA_OFFSET + pixels) // _AREA_SCALE)


def _read_size(size: str) -> tuple[int, int]:
    found = _SIZE.fullmatch(size)
    if found is None:
        raise InvalidRequestError("'size' must be 'auto' or WIDTHxHEIGHT.", param="size")
    width, height = int(found[1]), int(found[2])
    if max(width, height) > _SIDE_MAX or width * height > PIXELS_MAX:
        raise InvalidRequestError("'size' must be at most 3840x2160 pixels.", param="size")
    return width, height


def _pick(amounts: Mapping[str, int], quality: str | None) -> int | None:
    if quality is None:
        return max(amounts.values())
    return amounts.get(quality, amounts.get(ANY))


def _unpriced(param: str, value: str | None) -> InvalidRequestError:
    shown = "this" if value is None else repr(value[:100])
    return InvalidRequestError(f"{shown} is not offered as '{param}' of this model.", param=param)
