"""Image tokens by family, and sizes from headers."""

import base64
import struct

import pytest
from tollgate.core.catalog import ImageTokens
from tollgate.core.image_tokens import count_image, count_tiles, read_size

TILE = ImageTokens(scheme="tile", base=85, tile=170)
PATCH = ImageTokens(scheme="patch", patches_max=1536, multiplier_percent=162)


def url(raw: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64," + base64.b64encode(raw).decode()


def png(width: int, height: int) -> str:
    return url(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height) + bytes(20))


def jpeg(width: int, height: int, *, before: int = 0) -> str:
    app = b"\xff\xe1" + struct.pack(">H", before + 2) + bytes(before) if before else b""
    frame = b"\xff\xc2\x00\x11\x08" + struct.pack(">HH", height, width) + bytes(10)
    return url(b"\xff\xd8" + app + frame, "jpeg")


def webp(kind: bytes, body: bytes) -> str:
    return url(b"RIFF\0\0\0\0WEBP" + kind + b"\0\0\0\0" + body + bytes(20), "webp")


@pytest.mark.parametrize(
    ("image", "size"),
    [
        (png(1024, 768), (1024, 768)),
        (jpeg(640, 480), (640, 480)),
        (jpeg(640, 480, before=60_000), (640, 480)),
        (url(b"GIF89a" + struct.pack("<HH", 12, 34) + bytes(10), "gif"), (12, 34)),
        (webp(b"VP8 ", bytes(6) + struct.pack("<HH", 100, 200)), (100, 200)),
        (webp(b"VP8L", b"\x2f" + struct.pack("<I", (99 << 14) | 49)), (50, 100)),
        (webp(b"VP8X", bytes(4) + b"\x63\0\0\xc7\0\0"), (100, 200)),
    ],
)
def test_sizes_are_read_from_headers(image: str, size: tuple[int, int]) -> None:
    """PNG, JPEG with and without a preview before its frame, GIF, three kinds of WebP."""
    assert size == read_size(image)


@pytest.mark.parametrize(
    "image",
    [
        "https://example.com/x.png",
        "data:image/png;base64,",
        "data:image/png;base64,!!!!",
        "data:image/png;base64,AAA!",
        "data:image/png;base64,éééé",
        "data:image/png,plain",
        png(0, 10),
        url(b"\x89PNG\r\n\x1a\n"),
        url(b"\xff\xd8\xff"),
        url(b"RIFF" + bytes(40)),
        url(b"no image at all"),
        "",
    ],
)
def test_unknown_sizes_are_none(image: str) -> None:
    """Remote, broken and foreign ones have no size here."""
    assert read_size(image) is None


@pytest.mark.parametrize(
    ("image", "detail", "tokens"),
    [
        (png(1024, 1024), "high", 765),  # OpenAI's own example
        (png(2048, 4096), "high", 1105),  # OpenAI's own example
        (png(4096, 8192), "low", 85),  # OpenAI's own example
        (png(100, 100), "auto", 255),
        ("https://example.com/x.png", None, 85 + 8 * 170),
        (None, None, 85 + 8 * 170),
    ],
)
def test_tiles(image: object, detail: object, tokens: int) -> None:
    """Fit into 2048, short side to 768, 512 px squares."""
    assert tokens == count_image(TILE, image, detail)


@pytest.mark.parametrize(
    ("image", "tokens"),
    [
        (png(1024, 1024), 1659),  # 1024 patches
        (png(1800, 2400), 2489),  # over the cap of 1536
        ("https://example.com/x.png", 2489),
        (png(1, 1), 2),
    ],
)
def test_patches(image: str, tokens: int) -> None:
    """32 px squares, capped, times the family's multiplier, rounded up."""
    assert tokens == count_image(PATCH, image, "high")


@pytest.mark.parametrize(
    ("image", "detail", "tokens"),
    [
        ("https://example.com/x.png", "low", 308),  # 512 px are 256 patches
        ("https://example.com/x.png", "high", 3000),
        ("https://example.com/x.png", "original", 12_000),
        ("https://example.com/x.png", None, 12_000),
        ("https://example.com/x.png", ["low"], 12_000),
        (png(64, 64), "low", 5),
        (png(1024, 1024), "high", 1229),  # as measured by others on gpt-5.5
        (png(1920, 1080), "auto", 2448),  # as measured by others on gpt-5.5
        (png(3840, 2160), "auto", 9792),  # as measured by others on gpt-5.5
        (png(3840, 2160), "high", 3000),
        (png(10_000, 10_000), "original", 12_000),
    ],
)
def test_patches_by_detail(image: str, detail: object, tokens: int) -> None:
    """Each level of detail has its budget; what is not said counts as the largest."""
    rule = ImageTokens(scheme="patch", patches_max=10_000, multiplier_percent=120)

    assert tokens == count_image(rule, image, detail)


@pytest.mark.parametrize(
    ("size", "tiles"),
    [
        ((1, 1), 1),
        ((512, 512), 1),
        ((513, 512), 2),
        ((768, 2048), 8),
        ((100_000, 1), 4),
        ((2**32 - 1, 2**32 - 1), 4),
        ((1, 2**32 - 1), 4),
    ],
)
def test_no_size_has_more_than_eight_tiles(size: tuple[int, int], tiles: int) -> None:
    """After both resizes the image is within 2048 by 768."""
    assert count_tiles(*size) == tiles


def test_only_the_head_of_an_image_is_decoded() -> None:
    """A frame behind the first 128 KiB of base64 is not looked for, and the rest may be broken."""
    assert read_size(png(10, 20) + "A" * 200_000 + "!!!!") == (10, 20)
    assert read_size(jpeg(10, 20, before=65_533)[:60_000]) is None


@pytest.mark.parametrize("marker", ["wAA", "/9j//////////w==", "/9j/4AAA/9j/4AAA"])
def test_jpeg_that_leads_nowhere_has_no_size(marker: str) -> None:
    """Segments of no length, fill bytes to the end and missing frames end the walk."""
    assert read_size(f"data:image/jpeg;base64,{marker}") is None


def test_flat() -> None:
    """One number whatever the size."""
    assert count_image(ImageTokens(scheme="flat", base=7), png(5000, 5000), "high") == 7
