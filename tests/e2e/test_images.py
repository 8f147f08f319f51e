"""Images through the official Python client: what it gets, what it pays, and what it never pays."""

import base64
import hashlib
import io
import json
import struct
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from openai import APIError, APIStatusError, OpenAI

from local.demo_images import make_png
from tests.e2e.gateway import Gateway, micropoints, not_under_sam

PROMPT = "a red circle"
LOW: Any = {"size": "512x512", "quality": "low"}  # 100 output tokens of the demo's
INPUT_PRICE, IMAGE_PRICE, OUTPUT_PRICE = 500, 800, 3000  # micropoints a token


@pytest.fixture
def client(gateway: Gateway) -> Iterator[OpenAI]:
    with OpenAI(base_url=gateway.base_url, api_key=gateway.api_key, max_retries=0) as client:
        yield client


def sizes_of(answer: Any) -> list[tuple[int, int]]:
    """Return width and height of each image, decoded to its last pixel row."""
    return [read_png(base64.b64decode(entry.b64_json)) for entry in answer.data]


def read_png(raw: bytes) -> tuple[int, int]:
    width, height = struct.unpack(">II", raw[16:24])
    at, rows = 8, b""
    while at < len(raw):
        length = int.from_bytes(raw[at : at + 4])
        kind, data = raw[at + 4 : at + 8], raw[at + 8 : at + 8 + length]
        assert zlib.crc32(kind + data) == int.from_bytes(raw[at + 8 + length : at + 12 + length])
        rows += data if kind == b"IDAT" else b""
        at += 12 + length
    assert len(zlib.decompress(rows)) == (width + 1) * height
    return width, height


def quota_of(answer: Any) -> int:
    return micropoints(answer.to_dict()["quota"])


def only_record(money: Any) -> Any:
    [record] = money.new_records()
    return record


@pytest.mark.parametrize("count", [1, 3])
def test_generated_images_are_charged_as_reported(
    gateway: Gateway, client: OpenAI, count: int
) -> None:
    """Tokens of prompt and images at their prices; quota, record and loss are one number."""
    with gateway.watch() as money:
        answer = client.images.generate(model="demo-image", prompt=PROMPT, n=count, **LOW)

    assert sizes_of(answer) == [(512, 512)] * count
    assert answer.usage is not None
    expected = count * (9 * INPUT_PRICE + 100 * OUTPUT_PRICE)
    assert expected == quota_of(answer) == only_record(money).quota == money.lost
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (9 * count, 100 * count)
    assert (answer.size, answer.quality) == ("512x512", "low")


def test_flat_price_by_size_and_quality(gateway: Gateway, client: OpenAI) -> None:
    """A model sold by the image: size times quality times number, with the vendor's defaults."""
    with gateway.watch() as money:
        plain: Any = client.images.generate(
            model="demo-image-flat", prompt=PROMPT, n=2, response_format="url"
        )
        wide: Any = client.images.generate(
            model="demo-image-flat", prompt=PROMPT, size="1792x1024", quality="hd"
        )

    assert [quota_of(plain), quota_of(wide)] == [2 * 4_000_000, 12_000_000]
    assert money.lost == 20_000_000
    assert plain.data[0].url.startswith("data:image/png")
    assert plain.data[0].revised_prompt == PROMPT
    assert plain.usage is None


def test_tokens_are_reckoned_where_none_are_reported(gateway: Gateway, client: OpenAI) -> None:
    """The catalog's table says what the answer's size and quality come to."""
    with gateway.watch() as money:
        answer = client.images.generate(model="demo-image-no-usage", prompt=PROMPT, **LOW)

    assert answer.usage is not None
    assert answer.usage.output_tokens == 100
    assert quota_of(answer) == only_record(money).quota == money.lost > 100 * OUTPUT_PRICE
    assert not only_record(money).is_exact


def test_official_answer_has_no_quota(gateway: Gateway, client: OpenAI) -> None:
    """OpenAI's form exactly, and charged all the same."""
    with gateway.watch() as money:
        answer = client.images.generate(model="demo-image-official", prompt=PROMPT, **LOW)

    assert "quota" not in answer.to_dict()
    assert sizes_of(answer) == [(512, 512)]
    assert money.lost == only_record(money).quota > 0


def test_edit_sends_the_files_as_they_are(gateway: Gateway, client: OpenAI) -> None:
    """Two images and a mask, with names beyond ASCII, reach the upstream to the byte."""
    files = [make_png(64, 64, (index, 0, 0), padding=50_000) for index in range(3)]
    names = ["katze.png", "weiß ☂.png", 'quote".png']

    with gateway.watch() as money:
        answer: Any = client.images.edit(
            model="demo-image",
            prompt=PROMPT,
            image=[(names[0], files[0], "image/png"), (names[1], files[1], "image/png")],
            mask=(names[2], files[2], "image/png"),
            **LOW,
        )

    seen = answer.data[0].revised_prompt.split("; ")
    digests = [hashlib.sha256(file).hexdigest()[:12] for file in files]
    assert [line.split()[-2:] for line in seen[1:]] == [
        [str(len(file)), digest] for file, digest in zip(files, digests, strict=True)
    ]
    assert [line.rsplit(" ", 2)[0] for line in seen[1:3]] == names[:2]
    assert answer.usage.input_tokens_details.image_tokens == 300
    expected = 9 * INPUT_PRICE + 300 * IMAGE_PRICE + 100 * OUTPUT_PRICE
    assert expected == quota_of(answer) == money.lost


def test_large_edit_arrives_whole(gateway: Gateway, client: OpenAI) -> None:
    """Four megabytes of file are what API Gateway's event holds as base64."""
    file = make_png(64, 64, (1, 2, 3), padding=4_000_000)

    with gateway.watch() as money:
        answer: Any = client.images.edit(
            model="demo-image", prompt=PROMPT, image=("big.png", io.BytesIO(file)), **LOW
        )

    digest = hashlib.sha256(file).hexdigest()[:12]
    assert answer.data[0].revised_prompt.endswith(f"big.png {len(file)} {digest}")
    assert quota_of(answer) == money.lost


@not_under_sam("has no limit of its own")
def test_larger_edit_is_413(gateway: Gateway, client: OpenAI) -> None:
    """More than the event holds is refused before anything is held."""
    with gateway.watch() as money, pytest.raises(APIStatusError) as caught:
        client.images.edit(model="demo-image", prompt=PROMPT, image=bytes(5_000_000))

    assert (caught.value.status_code, caught.value.code) == (413, "request_too_large")
    assert money.lost == 0


def test_variation(gateway: Gateway, client: OpenAI) -> None:
    """An image and nothing else makes another; OpenAI's client calls its own method deprecated."""
    file = make_png(32, 32, (9, 9, 9))

    with gateway.watch() as money, pytest.warns(DeprecationWarning, match="deprecated"):
        answer: Any = client.images.create_variation(
            image=("cat.png", file, "image/png"), model="demo-image", n=2, size="256x256"
        )

    assert sizes_of(answer) == [(256, 256)] * 2
    assert quota_of(answer) == only_record(money).quota == money.lost


def test_json_edit(gateway: Gateway) -> None:
    """Images may be named in JSON, by URL, by data URL or by file id."""
    body = {
        "model": "demo-image",
        "prompt": PROMPT,
        "images": [{"image_url": "https://example.com/a.png"}, {"file_id": "file-1"}],
        **LOW,
    }

    with gateway.watch() as money:
        status, answer, _ = post(gateway, "edits", body)

    assert status == 200
    assert answer["usage"]["input_tokens_details"]["image_tokens"] == 200
    assert micropoints(answer["quota"]) == money.lost


@pytest.mark.parametrize("model", ["demo-image", "demo-image-official"])
def test_stream_of_partial_images(gateway: Gateway, client: OpenAI, model: str) -> None:
    """Events pass through one by one; the last one's quota is what the answer cost."""
    with gateway.watch() as money:
        events = list(
            client.images.generate(
                model=model, prompt=PROMPT, n=2, stream=True, partial_images=2, **LOW
            )
        )

    kinds = [event.type.rpartition(".")[2] for event in events]
    completed = [event.to_dict() for event in events if event.type.endswith("completed")]
    assert kinds == ["partial_image", "partial_image", "completed"] * 2
    assert read_png(base64.b64decode(events[-1].b64_json)) == (512, 512)
    expected = 2 * (9 * INPUT_PRICE + 300 * OUTPUT_PRICE)
    assert expected == money.lost == only_record(money).quota
    quotas = [micropoints(event["quota"]) for event in completed if "quota" in event]
    assert quotas == ([] if model.endswith("official") else [expected // 2, expected])


@not_under_sam("does not stream")
def test_partial_image_arrives_before_the_whole(client: OpenAI) -> None:
    """Nothing is buffered: the first preview is there while the upstream still works."""
    started = time.monotonic()
    arrivals = [
        time.monotonic() - started
        for _ in client.images.generate(
            model="demo-image", prompt=PROMPT, n=3, stream=True, partial_images=3, **LOW
        )
    ]

    assert arrivals[0] < arrivals[-1] - 0.3


def test_edit_stream(gateway: Gateway, client: OpenAI) -> None:
    """A form may ask for a stream; its events are named after the edit."""
    with gateway.watch() as money:
        events: Any = list(
            client.images.edit(
                model="demo-image",
                prompt=PROMPT,
                image=make_png(8, 8, (0, 0, 0)),
                stream=True,
                partial_images=1,
                **LOW,
            )
        )

    assert [event.type for event in events] == ["image_edit.partial_image", "image_edit.completed"]
    assert micropoints(events[-1].to_dict()["quota"]) == money.lost


def test_stream_that_the_upstream_does_not_know(gateway: Gateway, client: OpenAI) -> None:
    """A whole answer to a request for a stream becomes its completed events."""
    with gateway.watch() as money:
        events: Any = list(
            client.images.generate(model="demo-image-whole", prompt=PROMPT, n=2, stream=True, **LOW)
        )

    assert [event.type for event in events] == ["image_generation.completed"] * 2
    assert events[-1].usage.output_tokens == 200
    assert micropoints(events[-1].to_dict()["quota"]) == money.lost == only_record(money).quota


@pytest.mark.parametrize("is_stream", [False, True])
def test_fewer_images_are_charged_as_they_came(
    gateway: Gateway, client: OpenAI, *, is_stream: bool
) -> None:
    """Two of three: two are paid for."""
    with gateway.watch() as money:
        answer: Any = client.images.generate(
            model="demo-image-few", prompt=PROMPT, n=3, stream=is_stream, **LOW
        )
        found = list(answer) if is_stream else answer.data

    assert len(found) == 2
    assert money.lost == only_record(money).quota == 2 * (9 * INPUT_PRICE + 100 * OUTPUT_PRICE)


@pytest.mark.parametrize("is_stream", [False, True])
def test_more_images_are_charged_as_they_came(
    gateway: Gateway, client: OpenAI, *, is_stream: bool
) -> None:
    """Three came where two were asked for; of a stream, no more is read than was ordered."""
    with gateway.watch() as money:
        answer: Any = client.images.generate(
            model="demo-image-more", prompt=PROMPT, n=2, stream=is_stream, **LOW
        )
        found = list(answer) if is_stream else answer.data

    assert len(found) == (2 if is_stream else 3)
    expected = len(found) * (9 * INPUT_PRICE + 100 * OUTPUT_PRICE)
    assert expected == money.lost == only_record(money).quota
    assert only_record(money).tokens["images"] == len(found)


@pytest.mark.parametrize("is_edit", [False, True])
def test_looks_reach_the_upstream(client: OpenAI, *, is_edit: bool) -> None:
    """Background and format as they were asked for, in JSON and in a form."""
    looks: Any = {"background": "transparent", "output_format": "webp", **LOW}
    if is_edit:
        file = ("weiß.png", make_png(8, 8, (0, 0, 0)))
        answer = client.images.edit(model="demo-image", prompt=PROMPT, image=file, **looks)
    else:
        answer = client.images.generate(model="demo-image", prompt=PROMPT, **looks)

    assert (answer.background, answer.output_format) == ("transparent", "webp")


def test_field_that_the_catalog_refuses(gateway: Gateway) -> None:
    """In JSON and in a form, named as it was sent."""
    fields = {"model": "grok-imagine-image", "prompt": PROMPT, "resolution": "2k"}
    form = "".join(
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )

    with gateway.watch() as money:
        for body, kind in ((json.dumps(fields), "application/json"), (f"{form}--b--\r\n", FORM)):
            status, answer, _ = post(gateway, "generations", body.encode(), content_type=kind)
            assert (status, answer["error"]["param"]) == (400, "resolution")

    assert money.lost == 0


def refusal(call: Callable[[], object]) -> tuple[int | None, str | None]:
    with pytest.raises(APIError) as caught:
        call()
    return getattr(caught.value, "status_code", None), caught.value.code


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("demo-image-none", (502, "upstream_error")),
        ("demo-image-hang", (504, "upstream_timeout")),
        ("demo-image-error-400", (400, "unsupported_value")),
        ("demo-image-error-401", (502, "upstream_error")),
        ("demo-image-error-429", (429, "rate_limit_exceeded")),
        ("demo-image-error-500", (502, "upstream_error")),
        ("web-demo-image", (400, None)),
        ("no-such-image", (404, "model_not_found")),
        ("demo-echo", (404, None)),
    ],
)
def test_without_an_image_nothing_is_charged(
    gateway: Gateway,
    client: OpenAI,
    model: str,
    expected: tuple[int, str | None],
    *,
    is_stream: bool,
) -> None:
    """Each failure has its status, whole or streamed, says what happened, and costs nothing."""

    def call() -> object:
        answer: Any = client.images.generate(model=model, prompt=PROMPT, stream=is_stream, **LOW)
        return list(answer) if is_stream else answer

    with gateway.watch() as money:
        assert expected == refusal(call)

    assert money.lost == 0
    assert money.new_records() == []


def test_image_model_does_not_chat(gateway: Gateway, client: OpenAI) -> None:
    """The other way round is refused in OpenAI's words too."""
    with gateway.watch() as money, pytest.raises(APIStatusError) as caught:
        client.chat.completions.create(
            model="demo-image", messages=[{"role": "user", "content": "hi"}]
        )

    assert caught.value.status_code == 404
    assert "not a chat model" in caught.value.message
    assert money.lost == 0


def test_broken_stream_is_charged_what_was_completed(gateway: Gateway, client: OpenAI) -> None:
    """One image of two came, and then an error: one is paid for."""
    events: list[Any] = []

    with gateway.watch() as money:
        answer = client.images.generate(
            model="demo-image-break", prompt=PROMPT, n=2, stream=True, **LOW
        )
        with pytest.raises(APIError):
            events.extend(answer)

    assert [event.type for event in events] == ["image_generation.completed"]
    assert only_record(money).outcome == "broken"
    assert quota_of(events[0]) == only_record(money).quota == money.lost


@not_under_sam("answers are of 6 MB at most")
@pytest.mark.parametrize("is_stream", [False, True])
def test_large_answer(gateway: Gateway, client: OpenAI, *, is_stream: bool) -> None:
    """24 MB, four times what a buffered Lambda may answer."""
    with gateway.watch() as money:
        answer: Any = client.images.generate(
            model="demo-image-large", prompt=PROMPT, stream=is_stream, **LOW
        )
        [entry] = list(answer) if is_stream else answer.data

    assert len(entry.b64_json) > 24_000_000
    assert read_png(base64.b64decode(entry.b64_json)) == (512, 512)
    assert only_record(money).quota == money.lost > 0


def test_empty_balance_is_refused(poor_gateway: Gateway) -> None:
    """429 before the upstream is called."""
    with OpenAI(
        base_url=poor_gateway.base_url, api_key=poor_gateway.api_key, max_retries=2
    ) as client:
        assert refusal(lambda: client.images.generate(model="demo-image", prompt=PROMPT)) == (
            429,
            "insufficient_quota",
        )


def test_default_image_model(gateway: Gateway, client: OpenAI) -> None:
    """A request that names no model gets the catalog's."""
    with gateway.watch() as money:
        answer = client.images.generate(prompt=PROMPT, size="1024x1024", quality="low")

    assert sizes_of(answer) == [(1024, 1024)]
    assert money.lost == quota_of(answer) > 0


def post(
    gateway: Gateway, task: str, body: Any, **headers: str
) -> tuple[int, dict[str, Any], bytes]:
    """Return status, JSON and bytes of a raw request; `body`: JSON, or bytes with their headers."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(  # noqa: S310 - loopback
        f"{gateway.base_url}/images/{task}",
        raw,
        {
            "authorization": f"Bearer {gateway.api_key}",
            "content-type": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - loopback
            found = answer.read()
            return answer.status, json.loads(found), found
    except urllib.error.HTTPError as error:
        with error:
            found = error.read()
            return error.code, json.loads(found), found


FORM = "multipart/form-data; boundary=b"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "multipart/form-data"),
        (b"", FORM),
        (b"hello", FORM),
        (b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\ndemo-image', FORM),
        (b"--b\r\n\r\nno name\r\n--b--\r\n", FORM),
        (b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\n\n--b\n\r\n--b--\r\n", FORM),
        (b"--b\r\nContent-Disposition: form-data; name*=utf-8''n\r\n\r\n9\r\n--b--\r\n", FORM),
        (b'{"model": "demo-image", "prompt": "x", "N": 9}', "application/json"),
        (b"{", "application/json"),
        (b'{"model": "demo-image"}', "application/json"),
        (b'{"model": "demo-image", "prompt": "x", "n": 11}', "application/json"),
        (b'{"model": "demo-image", "prompt": "x", "n": "2"}', "application/json"),
        (b'{"model": "demo-image", "prompt": "x", "quality": "ultra"}', "application/json"),
        (b'{"model": "demo-image", "prompt": "x", "output_format": "svg"}', "application/json"),
        (b'{"model": "demo-image-flat", "prompt": "x", "size": "1x1"}', "application/json"),
    ],
)
def test_bad_bodies_are_400(gateway: Gateway, body: bytes, content_type: str) -> None:
    """Forms that are none, and fields that cannot be sold, are refused in OpenAI's form."""
    status, answer, _ = post(gateway, "edits", body, content_type=content_type)

    assert status == 400
    assert answer["error"]["type"] == "invalid_request_error"


@not_under_sam("does not stream")
def test_slow_answer_is_kept_alive_on_request(keepalive_gateway: Gateway) -> None:
    """Spaces come before the JSON, which any client reads; a failure comes under status 200.

    The answer comes later than one without spaces would have been waited for.
    """
    body = {"model": "demo-image-slow", "prompt": PROMPT, **LOW}
    padded = {"x_tollgate_keepalive": "whitespace"}

    with keepalive_gateway.watch() as money:
        status, answer, raw = post(keepalive_gateway, "generations", body, **padded)
        hung = post(keepalive_gateway, "generations", body | {"model": "demo-image-hang"}, **padded)

    assert status == 200
    assert raw.startswith(b"  ")
    assert micropoints(answer["quota"]) == money.lost
    assert hung[0] == 200
    assert hung[1]["error"]["code"] == "upstream_timeout"


@not_under_sam("does not stream")
def test_without_the_header_nothing_is_padded(keepalive_gateway: Gateway) -> None:
    """A caller that did not ask gets a status that can be trusted."""
    body = {"model": "demo-image-slow", "prompt": PROMPT, **LOW}

    assert post(keepalive_gateway, "generations", body)[0] == 504
    assert post(keepalive_gateway, "generations", body, x_tollgate_keepalive="yes")[0] == 400


@not_under_sam("logs elsewhere")
def test_no_log_has_a_key_a_prompt_or_a_file_name(
    gateway: Gateway, client: OpenAI, gateway_logs: Callable[[], str]
) -> None:
    """Whatever becomes of a request, the logs stay silent about it."""
    secret = "zeppelin-xylophone"
    for model in ("demo-image", "demo-image-error-400", "demo-image-none"):
        with suppress(APIError):
            client.images.edit(
                model=model, prompt=secret, image=(f"{secret}.png", make_png(8, 8, (0, 0, 0)))
            )
    post(gateway, "edits", b"--b\r\nzeppelin\xff: x\r\n", content_type=FORM)
    gateway.wait_until_settled()

    assert "zeppelin" not in gateway_logs()
    assert gateway.api_key not in gateway_logs()
