"""What a vendor may answer to get at the gateway, or to tell the caller what is the operator's."""

import gzip
import json

import pytest

from tests.fakes.scripted_server import CHUNK, COMPLETION, DONE, answer, error, serving, stream
from tests.integration.hostile.conftest import DEEP, OPERATORS_KEY, PROMPT, OpenSite, chat


@pytest.mark.parametrize("is_stream", [False, True])
async def test_a_vendors_redirect_is_not_followed(open_site: OpenSite, is_stream: bool) -> None:
    """Key and prompt go where the catalog says, and nowhere else."""
    async with serving(answer(COMPLETION)) as elsewhere:
        moved = answer(status=307, head=f"location: {elsewhere.base_url}/x\r\n")
        async with open_site(moved) as site:
            told = await site.ask(chat(stream=is_stream))

            assert (told.status, told.error["code"]) == (502, "upstream_error")
            assert site.spent() == 0
        assert elsewhere.connections == 0


async def test_a_vendors_deep_answer_is_none(open_site: OpenSite) -> None:
    """What could not be written again is not read; nothing is charged for it."""
    deep = b'{"choices": [{"index": 0, "message": {"content": "hi", "x": %b}}]}' % DEEP
    async with open_site(answer(deep), stream(b"data: " + deep + b"\n\n", DONE)) as site:
        for is_stream in (False, True):
            told = await site.ask(chat(stream=is_stream))
            assert (told.status, told.error["code"]) == (502, "upstream_error")
        assert site.spent() == 0


BOMB = gzip.compress(b'{"choices": [' + b" " * (80 * 1024 * 1024) + b"]}")
BOMBS = {
    "one": stream(BOMB, head="content-encoding: gzip\r\n"),
    "two": stream(gzip.compress(BOMB), head="content-encoding: gzip, gzip\r\n"),
    "event": stream(
        gzip.compress(b"data: " + b"x" * 20_000_000), head="content-encoding: gzip\r\n"
    ),
}


@pytest.mark.parametrize("name", BOMBS)
async def test_a_vendors_bomb_is_cut_off(open_site: OpenSite, name: str) -> None:
    """A small answer that unpacks to a large one is no answer; nothing is charged for it."""
    async with open_site(BOMBS[name]) as site:
        told = await site.ask(chat(stream=name == "event"))

        assert (told.status, told.error["code"]) == (502, "upstream_error")
        assert site.spent() == 0


QUOTES = {
    "whole": OPERATORS_KEY,
    "beginning": OPERATORS_KEY[:16],
    "end": OPERATORS_KEY[-14:],
    "upper": OPERATORS_KEY.upper(),
    "broken": f"{OPERATORS_KEY[:13]}\n{OPERATORS_KEY[13:]}",
    "twice": f"{OPERATORS_KEY}{OPERATORS_KEY}",
}


def pieces_of_the_key(told: bytes) -> list[str]:
    """Return the runs of twelve characters of the operator's key that the caller has read."""
    text = told.decode().lower()
    runs = [OPERATORS_KEY[at : at + 12].lower() for at in range(len(OPERATORS_KEY) - 11)]
    return [run for run in runs if run in text]


@pytest.mark.parametrize("task", ["chat", "generations"])
@pytest.mark.parametrize("quote", QUOTES)
async def test_no_error_tells_the_operators_key(open_site: OpenSite, quote: str, task: str) -> None:
    """As a refusal, as a first event and in mid-stream; in the words, the code and the type."""
    said = f"no, not with {QUOTES[quote]} at deployment-7"
    fields = {"code": QUOTES[quote], "type": QUOTES[quote], "param": QUOTES[quote]}
    event = b"data: " + json.dumps({"error": {"message": said, **fields}}).encode() + b"\n\n"
    partial = b'event: x.partial_image\ndata: {"type":"x.partial_image","b64_json":"aGk="}\n\n'
    scripts = [
        error(400, said, **fields),
        answer(json.dumps({"error": {"message": said, **fields}}).encode()),
        stream(event.replace(b'"type":', b'"status_code": 400, "type":')),
        stream(CHUNK if task == "chat" else partial, event),
    ]
    body = chat() if task == "chat" else {"model": "i", "prompt": PROMPT}
    async with open_site(*scripts) as site:
        for is_stream in (False, False, True, True):
            told = await site.ask(body | {"stream": is_stream}, task=task)

            assert b'"error"' in told.body
            assert pieces_of_the_key(told.body) == []
            assert b"deployment-7" not in told.body
