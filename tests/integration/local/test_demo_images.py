"""The demo upstream's images, through OpenAI's own client over a socket."""

import base64
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest

from local.demo_images import make_png
from local.demo_upstream import make_demo_app
from local.serving import serving


@pytest.fixture
async def client() -> AsyncIterator[openai.AsyncOpenAI]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with (
            serving(make_demo_app(chunks_per_s=0), listener),
            openai.AsyncOpenAI(
                base_url=f"http://127.0.0.1:{listener.getsockname()[1]}/v1",
                api_key="none",
                max_retries=0,
                http_client=httpx.AsyncClient(trust_env=False),
            ) as client,
        ):
            yield client


async def generate(client: openai.AsyncOpenAI, model: str, **fields: Any) -> Any:
    return await client.images.generate(model=model, prompt="a red circle", **fields)


async def test_images_of_the_size_asked_for(client: openai.AsyncOpenAI) -> None:
    """Real PNGs, the same for the same prompt, and tokens by quality."""
    answer = await generate(client, "demo-image", size="32x16", quality="high", n=2)
    again = await generate(client, "any-other", size="32x16", quality="high")

    raw = base64.b64decode(answer.data[0].b64_json)
    assert raw[16:24] == (32).to_bytes(4) + (16).to_bytes(4)
    assert answer.data[0] == again.data[0]
    assert answer.data[0] != answer.data[1]
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (18, 3200)


@pytest.mark.parametrize(
    ("model", "images", "has_usage"),
    [
        ("demo-image-flat", 2, False),
        ("demo-image-no-usage", 2, False),
        ("demo-image-few", 1, True),
        ("demo-image-none", 0, True),
    ],
)
async def test_models_that_do_it_differently(
    client: openai.AsyncOpenAI, model: str, images: int, *, has_usage: bool
) -> None:
    """Without usage, with one image less, with none."""
    answer = await generate(client, model, n=2, size="8x8")

    assert len(answer.data) == images
    assert (answer.usage is not None) is has_usage


async def test_edit_says_which_files_came(client: openai.AsyncOpenAI) -> None:
    """So that a gateway in between can be seen to have changed nothing."""
    file = make_png(8, 8, (0, 0, 0))

    answer: Any = await client.images.edit(
        model="demo-image", prompt="hi", image=("a ß.png", file, "image/png"), size="8x8"
    )

    assert answer.data[0].revised_prompt.startswith(f"hi; a ß.png {len(file)} ")
    assert answer.usage.input_tokens_details.image_tokens == 100


async def test_stream(client: openai.AsyncOpenAI) -> None:
    """Partial images first; a model that breaks off does so after its first image."""
    events = [
        event
        async for event in await generate(
            client, "demo-image", size="8x8", stream=True, partial_images=1
        )
    ]

    assert [event.type for event in events] == [
        "image_generation.partial_image",
        "image_generation.completed",
    ]
    with pytest.raises((httpx.HTTPError, openai.APIError)):
        async for _ in await generate(client, "demo-image-break", size="8x8", n=2, stream=True):
            pass


async def test_refusals(client: openai.AsyncOpenAI) -> None:
    """By the model's name, or where an edit brings no image."""
    with pytest.raises(openai.RateLimitError):
        await generate(client, "demo-image-error-429")
    with pytest.raises(openai.BadRequestError):
        await client.post("/images/edits", body={"prompt": "x"}, cast_to=object)
