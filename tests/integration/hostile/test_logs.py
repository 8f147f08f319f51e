"""What a log has after it, at the lowest level there is."""

import json
import logging
import secrets

import pytest
from awslambdaric.lambda_runtime_log_utils import JsonFormatter
from tollgate.core.keys import key_sha256, make_key

from tests.fakes.scripted_server import CHUNK, COMPLETION, answer, error, stream
from tests.integration.hostile.conftest import OPERATORS_KEY, PROMPT, OpenSite, chat


async def test_no_log_has_a_word_at_debug(
    open_site: OpenSite, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the level, the libraries' own lines included: neither keys nor prompt nor answer."""
    caplog.set_level(logging.DEBUG)
    said = b'{"choices": [{"index": 0, "message": {"content": "trombone-umbrella"}}]}'
    failures = [error(400, PROMPT), error(500, PROMPT), answer(b"{" + PROMPT.encode())]
    async with open_site(answer(said), *failures, stream(CHUNK, ending="reset")) as site:
        for is_stream in (False, False, False, False, True):
            await site.ask(chat(stream=is_stream))
        await site.ask(chat(model="web-m"))
        await site.ask({"model": "i", "prompt": PROMPT}, task="generations")
        await site.ask(chat(), key=make_key(secrets.choice))
        logs = lines(caplog)

    assert any('"charged"' in line for line in logs)
    for word in ("zeppelin", "trombone", OPERATORS_KEY, site.key, key_sha256(site.key)):
        assert [line for line in logs if word in line] == []


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the functions' log has, as Lambda's runtime writes it in JSON."""
    return [JsonFormatter().format(record).removesuffix("\n") for record in caplog.records]


METRIC = json.dumps({"_aws": {"Timestamp": 1, "CloudWatchMetrics": [{"Namespace": "evil"}]}})
HOSTILE = [
    "m\n" + METRIC,
    "\x1b[2J\x1b[31mevil",
    METRIC,
    "evil" * 20_000,
    "m\r\nevil: 1",
    "\u2028evil",
]


@pytest.mark.parametrize("word", HOSTILE)
async def test_a_callers_words_make_no_line_and_no_metric(
    open_site: OpenSite, caplog: pytest.LogCaptureFixture, word: str
) -> None:
    """In whatever field or header: no log line begins with them, has them or is a metric."""
    caplog.set_level(logging.DEBUG)
    async with open_site(answer(COMPLETION), error(500, word)) as site:
        for body in (chat(word, user=word), chat(word), chat(model=word), {word: word}):
            await site.ask(body, headers=[("user-agent", word), ("x-request-id", word)])
        await site.ask(chat(), key=word)
        logs = lines(caplog)

    assert logs
    for line in logs:
        assert "\n" not in line
        assert "evil" not in line
        assert "_aws" not in json.loads(line)
