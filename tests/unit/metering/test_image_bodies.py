"""What metering reads of an image request, JSON or form."""

import base64
from typing import Any

import pytest
from tollgate.core.catalog import ImageTokens
from tollgate.core.multipart import Form, Part
from tollgate.errors import InvalidRequestError
from tollgate.metering.image_bodies import read_form_body, read_json_body

from local.demo_images import make_png

PATCHES = ImageTokens(scheme="patch", patches_max=1536)
MOST, SMALL = 1536, 4  # a PNG of 64 x 64 pixels has four patches


def part(name: str, body: bytes, *, is_file: bool = False, is_text: bool = True) -> Part:
    view = memoryview(body)
    return Part(name=name, is_file=is_file, is_text=is_text, raw=view, body=view)


def read(*parts: Part) -> Any:
    return read_form_body(Form(boundary=b"b", parts=parts))


def test_form_fields_get_their_types() -> None:
    """Text in a form is what it would be in JSON; what is not read is left to the upstream."""
    found = read(
        part("model", b"m"),
        part("prompt", "naïve 5".encode()),
        part("n", b"2"),
        part("stream", b"True"),
        part("official", b"false"),
        part("partial_images", b"0"),
        part("input_fidelity", b"high"),
    )

    assert found.fields == {
        "model": "m",
        "prompt": "naïve 5",
        "n": 2,
        "stream": True,
        "official": False,
        "partial_images": 0,
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n", b"two"),
        ("n", b"1.0"),
        ("n", b"-1"),
        ("stream", b"1"),
        ("n", b"9" * 20),
        ("n", "٣".encode()),
    ],
)
def test_text_of_another_type_stays_text(name: str, value: bytes) -> None:
    """The order's reader refuses it then."""
    assert read(part(name, value)).fields == {name: value.decode()}


@pytest.mark.parametrize(
    "parts",
    [
        (part("n", b"1"), part("n", b"10")),
        (part("model", b"a"), part("model", b"b")),
        (part("n", b"1", is_file=True),),
        (part("n", b"\x001", is_text=False),),
        (part("n", b"1"), part("n[]", b"10")),
        (part("model", b"m" * 1_000_000),),
        (part("prompt", b"m" * 2_000_000),),
        (part("prompt", b"\xff"),),
    ],
)
def test_fields_that_two_readers_could_read_differently(parts: tuple[Part, ...]) -> None:
    """Given twice, given as a file, endless, or no text: refused, with the field's name."""
    with pytest.raises(InvalidRequestError) as caught:
        read(*parts)

    assert caught.value.param == parts[0].name


def test_nested_svg_is_seen() -> None:
    """OpenAI's form writes it with brackets."""
    assert read(part("svg[model]", b"m"), part("svg[reasoning][effort]", b"low")).fields == {
        "svg": "low"
    }


def test_form_images_are_counted_by_their_bytes() -> None:
    """Every file counts, wherever it stands; one that is no image counts the most."""
    small = make_png(64, 64, (0, 0, 0))

    found = read(
        part("image[]", small, is_file=True),
        part("mask", small, is_file=True),
        part("image", b"garbage", is_file=True),
        part("image", b"https://example.com/a.png"),
    )

    assert found.count_images(PATCHES) == 2 * SMALL + 2 * MOST
    assert found.count_images(ImageTokens(scheme="flat", base=5)) == 20


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, 0),
        ({"images": [{"image_url": "https://a"}, {"file_id": "f"}]}, 2),
        ({"image": "https://a", "mask": {"file_id": "f"}}, 2),
        ({"image": ["a", "b", "c"]}, 3),
        ({"image": {"url": "https://a", "type": "image_url"}, "mask": None}, 1),
        ({"images": [{"image_url": {"url": "https://a"}}, 5, None, {}]}, 3),
    ],
)
def test_json_images_count_the_most(body: dict[str, object], expected: int) -> None:
    """A URL, an id and anything odd: their size is not at hand."""
    assert read_json_body(body).count_images(PATCHES) == expected * MOST


def test_json_data_url_is_measured() -> None:
    """Its bytes are at hand."""
    url = "data:image/png;base64," + base64.b64encode(make_png(64, 64, (0, 0, 0))).decode()

    assert read_json_body({"images": [{"image_url": url}]}).count_images(PATCHES) == SMALL


def test_what_goes_upstream() -> None:
    """Neither the name with affixes nor `official`; all else as it came."""
    body = {"model": "m-official", "official": True, "prompt": "p", "odd": [1]}

    assert read_json_body(body).upstream == {"prompt": "p", "odd": [1]}


@pytest.mark.parametrize("name", ["N", "Quality", "Model", "Output_Format", "IMAGE", "\u017fize"])
def test_fields_in_another_case(name: str) -> None:
    """Go reads them as the field that they resemble: refused as they were spelled."""
    for read_it in (
        lambda: read_json_body({"prompt": "p", name: "x"}),
        lambda: read(part("prompt", b"p"), part(name, b"x")),
        lambda: read(part("prompt", b"p"), part(f"{name}[a]", b"x")),
    ):
        with pytest.raises(InvalidRequestError) as caught:
            read_it()
        assert caught.value.param == name


@pytest.mark.parametrize("name", ["n[]", "n[0]", "n [", "quality[x]"])
def test_lists_of_a_field_that_is_none(name: str) -> None:
    """Some readers take the first of a list, or the last."""
    with pytest.raises(InvalidRequestError):
        read(part(name, b"1"))


def test_names_of_what_is_there() -> None:
    """Null is as absent in JSON; a form's brackets do not count."""
    assert read_json_body({"prompt": "p", "seed": None}).names == {"prompt"}
    assert read(part("a[b]", b""), part("image[]", b"", is_file=True)).names == {"a", "image"}
