"""The demo upstream's images: OpenAI's three endpoints, offline, with models for every mood.

    demo-image            reports tokens         demo-image-flat    reports none: sold by the image
    demo-image-no-usage   forgets to report      demo-image-few     one image less than asked
    demo-image-more       one image more         demo-image-none    no image
    demo-image-large      24 MB an image         demo-image-slow    takes some seconds
    demo-image-hang       never answers          demo-image-whole   ignores `stream`
    demo-image-break      closes after the first image
    demo-image-error-<status>   refuses with 400, 401, 429, 500

Any other name is answered as demo-image. An image is a real PNG of one colour, which the prompt
decides; of an edit, `revised_prompt` says which files came.
"""

import asyncio
import base64
import hashlib
import json
import os
import struct
import time
import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from local.demo_errors import SILENCE_S, BrokenOffError, demo_error

_TASKS = ("generations", "edits", "variations")
_TOKENS = {"low": 100, "medium": 400, "high": 1600, "xhigh": 2000, "max": 4000}
_IMAGE_TOKENS = 100
_PARTIAL_TOKENS = 100
_AROUND_PROMPT_TOKENS = 6
_LARGE_BYTES = 24_000_000
_SLOW_S = 3.0
_SIDES_DEFAULT = (1024, 1024)
_WITHOUT_USAGE = ("demo-image-flat", "demo-image-no-usage")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One image request, JSON or form. `files`: what came with it, a line a file."""

    task: str
    model: str
    prompt: str
    count: int
    size: str
    quality: str
    partials: int
    background: str
    output_format: str
    is_stream: bool
    wants_url: bool
    files: list[str]

    @property
    def images(self) -> int:
        """How many images this model makes of it."""
        others = {"none": 0, "few": self.count - 1, "more": self.count + 1}
        return others.get(self.model.rpartition("-")[2], self.count)

    def usage(self, images: int, partials: int = 0) -> dict[str, Any]:
        """Return OpenAI's usage of so many images."""
        text = (len(self.prompt.split()) + _AROUND_PROMPT_TOKENS) * images
        seen = len(self.files) * _IMAGE_TOKENS * images
        made = _TOKENS[self.quality] * images + partials * _PARTIAL_TOKENS
        return {
            "input_tokens": text + seen,
            "output_tokens": made,
            "total_tokens": text + seen + made,
            "input_tokens_details": {"text_tokens": text, "image_tokens": seen},
            "output_tokens_details": {"text_tokens": 0, "image_tokens": made},
        }


def image_routes() -> list[Route]:
    """Return the routes of the three tasks."""
    return [Route(f"/v1/images/{task}", _answer, methods=["POST"]) for task in _TASKS]


async def _answer(request: Request) -> Response:
    fields, files = await _read(request)
    task = request.url.path.rpartition("/")[2]
    wish = _make_wish(task, fields, files)
    if "official" in fields or (task != "generations" and not files):
        return demo_error(400)
    if wish.model.startswith("demo-image-error-"):
        return demo_error(int(wish.model.rpartition("-")[2]))
    if wish.model in ("demo-image-hang", "demo-image-slow"):
        await asyncio.sleep(SILENCE_S if wish.model == "demo-image-hang" else _SLOW_S)
    if wish.is_stream and wish.model != "demo-image-whole":
        return StreamingResponse(_stream(wish), media_type="text/event-stream")
    return JSONResponse(await asyncio.to_thread(_whole, wish))


async def _read(request: Request) -> tuple[Mapping[str, Any], list[str]]:
    """Return the fields and a description of each file."""
    if request.headers.get("content-type", "").startswith("multipart/"):
        async with request.form() as form:
            pairs = form.multi_items()
            files = [await _describe(value) for _, value in pairs if isinstance(value, UploadFile)]
            return {name: value for name, value in pairs if isinstance(value, str)}, files
    body = await request.json()
    images = [*(body.get("images") or []), body.get("mask")]
    return body, [str(image)[:80] for image in images if image]


async def _describe(file: UploadFile) -> str:
    digest = hashlib.sha256(await file.read()).hexdigest()[:12]
    return f"{file.filename} {file.size} {digest}"


def _make_wish(task: str, fields: Mapping[str, Any], files: list[str]) -> Wish:
    def given(name: str, default: str) -> str:
        value = str(fields.get(name) or "auto")
        return default if value == "auto" else value

    return Wish(
        task=task,
        model=str(fields.get("model")),
        prompt=str(fields.get("prompt") or ""),
        count=int(fields.get("n") or 1),
        size=given("size", "{}x{}".format(*_SIDES_DEFAULT)),
        quality=given("quality", "medium"),
        partials=int(fields.get("partial_images") or 0),
        background=given("background", "opaque"),
        output_format=given("output_format", "png"),
        is_stream=str(fields.get("stream")).lower() == "true",
        wants_url=fields.get("response_format") == "url",
        files=files,
    )


def _looks(wish: Wish) -> dict[str, Any]:
    return {
        "background": wish.background,
        "output_format": wish.output_format,
        "quality": wish.quality,
        "size": wish.size,
    }


def _whole(wish: Wish) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "created": int(time.time()),
        "data": [_item(wish, index) for index in range(wish.images)],
    }
    if wish.model == "demo-image-flat":
        return answer
    usage = {} if wish.model in _WITHOUT_USAGE else {"usage": wish.usage(wish.images)}
    return answer | _looks(wish) | usage


def _item(wish: Wish, index: int) -> dict[str, Any]:
    encoded = _encode(wish, index)
    item = {"url": f"data:image/png;base64,{encoded}"} if wish.wants_url else {"b64_json": encoded}
    if wish.model == "demo-image-flat" or wish.files:
        item["revised_prompt"] = "; ".join([wish.prompt, *wish.files])
    return item


def _encode(wish: Wish, index: int) -> str:
    width, height = _SIDES_DEFAULT
    if wish.size.count("x") == 1:
        width, height = (int(side) for side in wish.size.split("x"))
    colour = hashlib.sha256(f"{wish.prompt}{index}".encode()).digest()[:3]
    padding = _LARGE_BYTES * 3 // 4 if wish.model == "demo-image-large" else 0
    return base64.b64encode(make_png(width, height, colour, padding=padding)).decode()


async def _stream(wish: Wish) -> AsyncIterator[bytes]:
    kind = "image_edit" if wish.task == "edits" else "image_generation"
    for index in range(wish.images):
        encoded = await asyncio.to_thread(_encode, wish, index)
        common = {"created_at": int(time.time()), "b64_json": encoded, **_looks(wish)}
        for partial in range(wish.partials):
            yield _frame(f"{kind}.partial_image", common | {"partial_image_index": partial})
            await asyncio.sleep(0.05)
        usage = wish.usage(1, wish.partials)
        reported = {} if wish.model in _WITHOUT_USAGE else {"usage": usage}
        yield _frame(f"{kind}.completed", common | reported)
        if wish.model == "demo-image-break":
            raise BrokenOffError


def _frame(kind: str, event: Mapping[str, Any]) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **event})}\n\n".encode()


def make_png(width: int, height: int, colour: Sequence[int], *, padding: int = 0) -> bytes:
    """Return a PNG of one colour (red, green, blue); `padding`: random bytes in a private chunk."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data))
            + kind
            + data
            + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    rows = zlib.compress((b"\0" * (width + 1)) * height, 1)
    blocks = [chunk(b"IHDR", head), chunk(b"PLTE", bytes(colour)), chunk(b"IDAT", rows)]
    if padding:
        blocks.append(chunk(b"rnDm", os.urandom(padding)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(blocks) + chunk(b"IEND", b"")
