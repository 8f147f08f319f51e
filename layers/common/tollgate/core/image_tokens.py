"""How many tokens an image counts, by the model family's formula and the size in the data URL.

Nothing is decoded but the first kilobytes of the header. An imaging library would decode more, and
is 10 MB of layer. Source of the formulas: OpenAI, "Images and vision", "Model sizing behavior" and
"Calculating costs": tiles of 512 px after two resizes; patches of 32 px within a budget.
"""

import base64
import binascii
import math
import struct

from tollgate.core.catalog import ImageTokens

_HEADER_CHARACTERS = 128 * 1024  # of base64: a JPEG's size can follow a large preview
_HEADER_BYTES = _HEADER_CHARACTERS * 3 // 4
_LONG_SIDE_MAX = 2048
_SHORT_SIDE = 768
_TILE = 512
_PATCH = 32
_TILES_MAX = 8  # a long side of 2048 beside a short one of 768
_PATCH_BUDGETS = {"low": 256, "high": 2500}  # low: the image in 512 px
_JPEG_SIZES = frozenset(
    {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
)


def count_image(rule: ImageTokens, url: object, detail: object) -> int:
    """Return the tokens of one image part; where the size is unknown, the family's maximum."""
    if rule.scheme == "flat" or (rule.scheme == "tile" and detail == "low"):
        return rule.base
    return _count_sized(rule, read_size(url) if isinstance(url, str) else None, detail)


def count_image_file(rule: ImageTokens, file: memoryview) -> int:
    """Return the tokens of an image whose bytes are at hand."""
    if rule.scheme == "flat":
        return rule.base
    return _count_sized(rule, _read_raw_size(bytes(file[:_HEADER_BYTES])), None)


def _count_sized(rule: ImageTokens, size: tuple[int, int] | None, detail: object) -> int:
    if rule.scheme == "tile":
        return rule.base + rule.tile * (_TILES_MAX if size is None else count_tiles(*size))
    budget = _patch_budget(rule, detail)
    patches = budget if size is None else min(budget, count_patches(*size))
    return -(-patches * rule.multiplier_percent // 100)


def _patch_budget(rule: ImageTokens, detail: object) -> int:
    """Return the most patches at this detail; what is not said, "auto", is the model's most."""
    wanted = _PATCH_BUDGETS.get(detail) if isinstance(detail, str) else None
    return min(rule.patches_max, wanted or rule.patches_max)


def count_tiles(width: int, height: int) -> int:
    """Return the 512 px tiles after fitting into 2048 px and the short side into 768 px."""
    scale = min(1.0, _LONG_SIDE_MAX / max(width, height))
    scale = min(scale, _SHORT_SIDE / min(width, height))
    across, down = (max(1, math.ceil(side * scale / _TILE)) for side in (width, height))
    return across * down


def count_patches(width: int, height: int) -> int:
    """Return the 32 px patches that cover the image."""
    return math.ceil(width / _PATCH) * math.ceil(height / _PATCH)


def read_size(url: str) -> tuple[int, int] | None:
    """Return width and height in pixels from a data URL; None for other URLs and formats."""
    head, comma, data = url[: _HEADER_CHARACTERS + 200].partition(",")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        return None
    usable = data[:_HEADER_CHARACTERS]
    try:
        raw = base64.b64decode(usable[: len(usable) // 4 * 4])
    except (binascii.Error, ValueError):
        return None
    return _read_raw_size(raw)


def _read_raw_size(raw: bytes) -> tuple[int, int] | None:
    size = _read_png(raw) or _read_gif(raw) or _read_webp(raw) or _read_jpeg(raw)
    return size if size and min(size) > 0 else None


def _read_png(raw: bytes) -> tuple[int, int] | None:
    if len(raw) < 24 or not raw.startswith(b"\x89PNG\r\n\x1a\n"):  # noqa: PLR2004 - IHDR's end
        return None
    width, height = struct.unpack(">II", raw[16:24])
    return width, height


def _read_gif(raw: bytes) -> tuple[int, int] | None:
    if len(raw) < 10 or raw[:6] not in (b"GIF87a", b"GIF89a"):  # noqa: PLR2004 - the screen's end
        return None
    width, height = struct.unpack("<HH", raw[6:10])
    return width, height


def _read_webp(raw: bytes) -> tuple[int, int] | None:
    """Read the three kinds of WebP: lossy, lossless, extended."""
    if len(raw) < 30 or raw[:4] != b"RIFF" or raw[8:12] != b"WEBP":  # noqa: PLR2004 - first chunk
        return None
    kind = raw[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", raw[26:30])
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        bits = int.from_bytes(raw[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X":
        return int.from_bytes(raw[24:27], "little") + 1, int.from_bytes(raw[27:30], "little") + 1
    return None


def _read_jpeg(raw: bytes) -> tuple[int, int] | None:
    """Walk the segments to the frame header."""
    if not raw.startswith(b"\xff\xd8"):
        return None
    at = 2
    while at + 9 <= len(raw) and raw[at] == 0xFF:  # noqa: PLR2004 - a marker begins so
        marker = raw[at + 1]
        if marker in _JPEG_SIZES:
            height, width = struct.unpack(">HH", raw[at + 5 : at + 9])
            return width, height
        at += 1 if marker == 0xFF else 2 + int.from_bytes(raw[at + 2 : at + 4])  # noqa: PLR2004
    return None
