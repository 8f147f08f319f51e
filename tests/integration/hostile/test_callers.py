"""What a caller may send to get at another's key, at the vendor, or at something behind it."""

import gzip
import json

import pytest

from tests.fakes.scripted_server import COMPLETION, answer, serving
from tests.integration.hostile.conftest import (
    DEEP,
    EVENT,
    OPERATORS_KEY,
    PROMPT,
    OpenSite,
    call,
    chat,
    open_account,
)


async def test_nothing_of_the_callers_headers_reaches_the_vendor(open_site: OpenSite) -> None:
    """The vendor sees the headers that the gateway makes, whatever the caller sent."""
    hostile = [
        ("api-key", "mine"),
        ("content-type", "application/json; charset=x\r\nx-evil: 1"),
        ("cookie", "a=b"),
        ("host", "evil.example"),
        ("openai-organization", "org-mine"),
        ("transfer-encoding", "chunked"),
        ("user-agent", "evil\r\nx-evil: 1"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-evil", "1"),
    ]
    async with open_site(answer(COMPLETION)) as site:
        told = await site.ask(chat(), headers=hostile)

        assert told.status == 200
        (seen,) = site.vendor.headers
        assert sorted(seen) == [
            *("accept", "accept-encoding", "authorization", "content-length"),
            *("content-type", "host", "user-agent"),
        ]
        assert seen["authorization"] == f"Bearer {OPERATORS_KEY}"
        assert "evil" not in json.dumps(seen)


FORM = (
    b'--%b\r\nContent-Disposition: form-data; name="model"\r\n\r\ni\r\n'
    b'--%b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nx\r\n--%b--\r\n'
)


@pytest.mark.parametrize(
    ("header", "status", "forwarded"),
    [
        ("multipart/form-data; boundary=b", 200, "multipart/form-data; boundary=b"),
        (
            "multipart/form-data; boundary=b; x=\r\nx-evil: 1",
            200,
            "multipart/form-data; boundary=b",
        ),
        ('multipart/form-data; boundary="b\r\nx-evil: 1"', 400, None),
        ("multipart/form-data; boundary=b\u00e9", 400, None),
        ("multipart/form-data", 400, None),
    ],
)
async def test_a_forms_header_is_built_anew(
    open_site: OpenSite, header: str, status: int, forwarded: str | None
) -> None:
    """Of the caller's content type only a boundary of plain characters goes on."""
    body = FORM.replace(b"%b", b"b")
    async with open_site(answer(b'{"data": [{"b64_json": "aGk="}]}')) as site:
        told = await site.ask(body, task="edits", headers=[("content-type", header)])

        assert told.status == status
        assert [seen["content-type"] for seen in site.vendor.headers] == (
            [forwarded] if forwarded else []
        )


async def test_two_keys_are_no_key(open_site: OpenSite) -> None:
    """A second Authorization header neither hides behind the first one nor takes its place."""
    async with open_site(answer(COMPLETION)) as site:
        other = open_account(site.accounts, "b")
        told = await site.ask(chat(), headers=[("authorization", f"Bearer {other}")])

        assert (told.status, told.error["code"]) == (401, "invalid_api_key")
        assert site.vendor.connections == 0


async def test_key_in_a_query_or_another_header_is_no_key(open_site: OpenSite) -> None:
    """Only `Authorization: Bearer` is looked at: an address ends in logs that are not ours."""
    async with open_site(answer(COMPLETION)) as site:
        for name in ("x-api-key", "api-key", "cookie"):
            told = await site.ask(chat(), key="x", headers=[(name, site.key)])
            assert told.status == 401
        event = EVENT | {
            "headers": {},
            "multiValueHeaders": {},
            "queryStringParameters": {"api_key": site.key},
            "multiValueQueryStringParameters": {"api_key": [site.key]},
        }
        assert (await call(site.apps["chat"], event, b"{}")).status == 401


async def test_addresses_in_a_request_are_not_fetched(open_site: OpenSite) -> None:
    """Neither to count tokens nor to search: what an address names is the vendor's to fetch."""
    async with (
        open_site(answer(COMPLETION)) as site,
        serving(answer(b"secret")) as elsewhere,
    ):
        url = f"{elsewhere.base_url}/latest/meta-data/"
        parts = [
            {"type": "text", "text": f"see {url}"},
            {"type": "image_url", "image_url": {"url": url, "detail": "high"}},
            {"type": "file", "file": {"file_data": url, "file_url": url}},
            {"type": "input_audio", "input_audio": {"data": url, "format": "wav"}},
        ]
        assert (await site.ask(chat(parts))).status == 200
        await site.ask(chat(f"!!{url} !g {url}", model="web-m"))
        edit = {"model": "i", "prompt": url, "images": [{"image_url": url}], "mask": {"url": url}}
        await site.ask(edit, task="edits")

        assert len(site.vendor.paths) == 3
        assert elsewhere.connections == 0


GOOD = json.dumps(chat()).encode()
ODD_BODIES = {
    "deep": GOOD[:-1] + b',"x":' + DEEP + b"}",
    "endless": b"[" * 1_000_000,
    "endless-object": GOOD[:-1] + b',"x":' + b'{"a":' * 100_000,
    "unclosed-quotes": GOOD[:-1] + b',"x":"' + b'\\"' * 500_000 + b"[" * 600,
    "huge-number": GOOD[:-1] + b',"seed":' + b"9" * 5000 + b"}",
    "infinite": GOOD[:-1] + b',"temperature":1e999}',
    "nan": GOOD[:-1] + b',"temperature":NaN}',
    "utf-16": json.dumps(chat()).encode("utf-16"),
    "gzip": gzip.compress(GOOD),
    "form": b"model=m&messages=x",
    "text": b'"hello"',
    "two": GOOD + GOOD,
    "empty": b"",
}


@pytest.mark.parametrize("name", ODD_BODIES)
async def test_odd_bodies_are_400(open_site: OpenSite, name: str) -> None:
    """Deep, endless, not JSON or not UTF-8: refused before a vendor is asked, and not quoted."""
    async with open_site(answer(COMPLETION)) as site:
        told = await site.ask(
            ODD_BODIES[name], headers=[("content-encoding", "gzip")] if name == "gzip" else ()
        )

        assert (told.status, told.error["type"]) == (400, "invalid_request_error")
        assert PROMPT not in told.body.decode()
        assert (site.vendor.connections, site.spent()) == (0, 0)


async def test_doubled_members_are_one(open_site: OpenSite) -> None:
    """The vendor is sent what was checked and paid for: of two members the last."""
    async with open_site(answer(COMPLETION)) as site:
        body = GOOD[:-1] + b',"n":100,"max_tokens":99,"max_tokens":1,"n":1}'
        assert (await site.ask(body)).status == 200

        assert site.vendor.raw_bodies[0].count(b'"n":') == 1
        assert site.vendor.raw_bodies[0].count(b'"max_tokens":1') == 1


async def test_many_members_and_half_emoji_are_served(open_site: OpenSite) -> None:
    """A hundred thousand fields, and text that is no Unicode, are an ordinary request."""
    fields = {f"field-{number}": number for number in range(100_000)}
    async with open_site(answer(COMPLETION)) as site:
        assert (await site.ask(chat("\ud83d", **fields, user="\udc00"))).status == 200
        assert (await site.ask(chat(model="\ud83d"))).status == 404
