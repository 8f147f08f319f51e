"""Every recorded vendor answer through the running gateway, read by five clients.

What a client has in hand is held against what the vendor's own bytes say, read past Tollgate's code
and past the client's; and every charge against the usage that the vendor reported. One gateway and
one Node process serve all; each test looks at one part and names every case that fails.
docs/vendors.md is written of the same readings: `make vendors`.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import httpx
import pytest

from local.processes import free_port
from tests.e2e.conftest import link_database, open_account, run_gateway
from tests.e2e.gateway import Record, micropoints
from tests.e2e.vendor_runs import Target, run_jobs
from tests.fakes.replay_upstream import make_replay_app, serve_in_thread
from tests.recordings import load_recordings
from tests.vendors import langchain_client, table
from tests.vendors.cases import (
    CLIENTS,
    Case,
    Client,
    Job,
    chat_cases,
    chat_jobs,
    error_jobs,
    error_model,
    find,
    image_jobs,
    is_limited,
)
from tests.vendors.charges import judge_record
from tests.vendors.errors import EXPECTED
from tests.vendors.judging import (
    judge_chat,
    judge_error,
    judge_images,
    judge_limited,
    judge_models,
)
from tests.vendors.oracle import (
    read_model_ids,
)
from tests.vendors.readings import Reading
from tests.vendors.turned import turn

IS_REQUIRED = bool(os.environ.get("TOLLGATE_REQUIRE_ALL"))
IS_WRITING = bool(os.environ.get("TOLLGATE_WRITE_VENDORS"))
pytestmark = pytest.mark.skipif(
    not load_recordings() and not IS_REQUIRED,
    reason="the vendors' recordings are neither in ../shared/recordings nor in the folder that"
    " TOLLGATE_RECORDINGS names",
)
BALANCE = 10**13
EVERYONE: tuple[Client, ...] = ("wire", *CLIENTS)
EVERY_STYLE = ("stream", "whole", "error", "images", "models")
# What a client has no means to ask for; the bytes themselves are looked at for chat and errors.
HAS_NONE = {
    ("images", "wire"),
    ("images", "langchain"),
    ("models", "wire"),
    ("models", "langchain"),
    ("models", "ai-compatible"),
    ("models", "ai-openai"),
}
STYLES = [
    (style, client)
    for style in EVERY_STYLE
    for client in EVERYONE
    if (style, client) not in HAS_NONE
]
CHAT = """
[models."{name}"]
context_tokens_max = 128000
output_tokens_max = 16384
price = {{ input = 250, cached_input = 125, output = 1000 }}
channels = ["{channel}"]
"""
IMAGE = """
[models."{name}"]
kind = "image"
price = {{ input = 500, output = 3000, images = {{ "*" = 1 }} }}
channels = ["{channel}"]
"""


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What every job came to; `results`: what was wrong with it."""

    target: Target
    readings: Mapping[Job, Reading]
    raw: Mapping[Job, Reading]
    cases: Mapping[tuple[str, bool], Case]
    records: Mapping[str, Record]
    lost: int

    @cached_property
    def limited(self) -> frozenset[Job]:
        """The jobs that a client can do no better with the vendor's own bytes."""
        return frozenset(job for job in self.readings if is_limited(job, self.cases))

    @cached_property
    def results(self) -> dict[Job, list[str]]:
        """The problems of each job that stands in the table, none where it was read well."""
        return {job: self.judge(job) for job in self.readings}

    def judge(self, job: Job) -> list[str]:
        """Return what is wrong with a job's reading."""
        seen = self.readings[job]
        if job not in self.limited:
            return [*seen.warnings, *self._judge(job, seen)]
        raw = self.raw[replace(job, is_official=False, is_raw=True)]
        return judge_limited(self.cases.get((job.case, job.is_stream)), job, seen, raw)

    def _judge(self, job: Job, seen: Reading) -> list[str]:
        if job.kind == "models":
            return judge_models(job, seen)
        if job.model != job.case:
            return judge_error(job, seen)
        if job.kind in ("images", "edits"):
            return judge_images(job, seen)
        return judge_chat(self.cases[job.case, job.is_stream], job, seen)


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Findings]:
    """Run all jobs against one gateway, once."""
    assert load_recordings(), "TOLLGATE_REQUIRE_ALL is set, and there are no recordings"
    home = link_database(tmp_path_factory.mktemp("vendors"))
    with serve_in_thread(make_replay_app(load_recordings(), turn)) as replay_url:
        catalog = home / "vendors.toml"
        catalog.write_text("".join(_catalog(replay_url)))
        with run_gateway(home, "--catalog", str(catalog), "--sandboxes", "4") as gateway:
            rich = open_account(gateway, "rich", BALANCE)
            yield _run(Target(gateway=rich, replay_url=replay_url))


def _run(target: Target) -> Findings:
    cases = {(case.name, case.is_stream): case for case in chat_cases()}
    jobs = list(_all_jobs(cases.values()))
    limited = {
        replace(job, is_official=False, is_raw=True) for job in jobs if is_limited(job, cases)
    }
    seen = run_jobs(target, [*jobs, *limited])
    account = target.gateway.wait_until_settled()
    return Findings(
        target=target,
        readings={job: reading for job, reading in seen.items() if not job.is_raw},
        raw={job: reading for job, reading in seen.items() if job.is_raw},
        cases=cases,
        records=target.gateway.records(),
        lost=BALANCE - int(account["balance"]),
    )


def _all_jobs(cases: Any) -> Iterator[Job]:
    for client in EVERYONE:
        for case in cases:
            yield from chat_jobs(case, client)
        for recording in find("error"):
            yield from error_jobs(recording, client)
        for recording in find("images"):
            is_error = recording.status != 200
            if client not in ("wire", "langchain"):
                yield from (error_jobs if is_error else image_jobs)(recording, client)
    for client in ("python", "node"):
        for recording in find("models"):
            yield Job(case=recording.name, client=client, kind="models", model=recording.name)


def _catalog(replay_url: str) -> Iterator[str]:
    """Yield a channel for each recording, and models: for each, or each client if it is an error.

    And one for each name in a recorded list of models.
    """
    listed = {name for entry in find("models") for name in read_model_ids(entry)}
    for recording in load_recordings():
        yield f'[channels."{recording.name}"]\nbase_url = "{replay_url}/{recording.name}"\n'
        names = [recording.name]
        if recording.name[:3] in EXPECTED:
            names = [error_model(recording.name, client) for client in EVERYONE]
        form = IMAGE if "images/" in recording.endpoint else CHAT
        yield from (form.format(name=name, channel=recording.name) for name in names)
    yield f'[channels.dead]\nbase_url = "http://127.0.0.1:{free_port()}"\n'
    yield from (CHAT.format(name=name, channel="dead") for name in sorted(listed))


@pytest.mark.parametrize(("style", "client"), STYLES)
def test_client_reads_what_the_vendor_says(
    findings: Findings, style: str, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """Texts, calls, reasons, usage, images and errors are the vendor's; nobody warns of anything.

    The client "wire" looks at the bytes themselves: docs/wire-format.md, in all its forms.
    """
    jobs = [job for job in findings.readings if job.client == client and _style(job) == style]
    problems = {_describe(job): found for job in jobs if (found := findings.results[job])}

    assert jobs
    assert problems == {}
    assert [entry.message for entry in caplog.records if entry.levelno >= logging.WARNING] == []


def test_clients_are_asked_for_all_that_they_have(findings: Findings) -> None:
    """Nothing is left out but what a client cannot do at all, which is named."""
    asked = {(_style(job), job.client) for job in findings.readings}

    assert asked == set(STYLES)
    assert asked | HAS_NONE == {(style, client) for style in EVERY_STYLE for client in EVERYONE}


def _style(job: Job) -> str:
    if job.kind == "models":
        return "models"
    if job.model != job.case:
        return "error"
    if job.kind in ("images", "edits"):
        return "images"
    return "stream" if job.is_stream else "whole"


def _describe(job: Job) -> str:
    form = "official" if job.is_official else "plain"
    style = "stream" if job.is_stream else "whole"
    return f"{job.case}, {style}, {form}, include_usage {job.has_usage}"


def test_every_answer_is_charged_for_the_usage_that_the_vendor_reported(
    findings: Findings,
) -> None:
    """By the catalog's price, whatever place and names the vendor has for usage; never for less.

    Where it reports none, its output is counted, all of it and nothing else. Errors cost nothing.
    """
    cases = {name: case for (name, _), case in findings.cases.items()}
    wrong = {
        f"{record.model}, {record.outcome}, {record.tokens}": problems
        for record in findings.records.values()
        if (problems := list(judge_record(record, cases.get(record.model))))
    }

    assert wrong == {}
    assert sum(record.quota for record in findings.records.values()) == findings.lost
    assert not {record.model for record in findings.records.values()} - {
        entry.name for entry in [*find("chat"), *find("images")]
    }


def test_quota_that_was_shown_last_is_what_was_charged(findings: Findings) -> None:
    """On the last chunk, or in the whole answer, of every plain name."""
    shown = {
        reading.completion_id.removeprefix("chatcmpl-"): micropoints(reading.quota)
        for reading in findings.readings.values()
        if reading.quota is not None and reading.completion_id is not None
    }

    assert len(shown) > 100
    assert {name: findings.records[name].quota for name in shown} == shown


def test_langchain_adds_up_a_plain_names_usage_unless_it_asks_for_it(findings: Findings) -> None:
    """By its default for addresses of one's own: the remark of docs/vendors.md, and the way out."""
    case = next(case for case in findings.cases.values() if case.name.startswith("003-"))
    job = Job(case=case.name, client="langchain", model=case.name, is_stream=True)
    key, url = findings.target.gateway.api_key, findings.target.gateway.base_url
    plain = langchain_client.read(job, url, key, case.name).usage
    official = langchain_client.read(job, url, key, f"{case.name}-official").usage
    asked = langchain_client.read(replace(job, has_usage=True), url, key, case.name).usage

    assert asked == case.expected.usage
    assert asked is not None
    assert plain is not None
    assert plain.prompt > 2 * asked.prompt
    assert official is None


def test_old_completions_are_not_served(findings: Findings) -> None:
    """Their recordings have no way into the gateway; who asks is told so in OpenAI's form."""
    gateway = findings.target.gateway
    answer = httpx.post(
        f"{gateway.base_url}/completions",
        headers={"authorization": f"Bearer {gateway.api_key}"},
        json={"model": "any", "prompt": "hello"},
    )

    assert answer.status_code == 404
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_document_says_what_was_seen(findings: Findings) -> None:
    """docs/vendors.md is what these readings make of it; `make vendors` writes it."""
    document = table.DOCUMENT.read_text() if table.DOCUMENT.exists() else ""
    expected = table.replace_in(document, table.render(findings.results, findings.limited))
    if IS_WRITING:
        table.DOCUMENT.write_text(expected)

    assert document == expected or IS_WRITING, "docs/vendors.md is stale: run `make vendors`"
