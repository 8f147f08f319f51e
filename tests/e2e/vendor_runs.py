"""Runs every job of tests/vendors against one gateway, all clients at once."""

import json
import logging
import subprocess
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from openai import DefaultHttpxClient, OpenAI

from tests.e2e.gateway import Gateway
from tests.vendors import langchain_client, python_client, wire
from tests.vendors.cases import Job
from tests.vendors.readings import Reading, reading_from_json

SCRIPT = Path(__file__).parent / "node" / "vendors.mjs"
WITHIN_S = 600
WORKERS = 3
NODE_CLIENTS = ("node", "ai-compatible", "ai-openai")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where the jobs go: the gateway, or for raw ones the vendor's bytes themselves."""

    gateway: Gateway
    replay_url: str

    def base_url(self, job: Job) -> str:
        """Return the address that the client is given."""
        return f"{self.replay_url}/{job.case}" if job.is_raw else self.gateway.base_url

    def model(self, job: Job) -> str:
        """Return the name that the client asks for."""
        return f"{job.model}-official" if job.is_official else job.model


def run_jobs(target: Target, jobs: Iterable[Job]) -> dict[Job, Reading]:
    """Return what came of each job."""
    jobs = list(jobs)
    ours = [job for job in jobs if job.client not in NODE_CLIENTS]
    theirs = [job for job in jobs if job.client in NODE_CLIENTS]
    logging.getLogger("httpx").setLevel(logging.WARNING)
    with ThreadPoolExecutor(WORKERS + 1) as pool, _clients(target) as do:
        node = pool.submit(_run_node, target, theirs)
        done = dict(zip(ours, pool.map(do, ours), strict=True))
        return done | node.result()


type Do = Callable[[Job], Reading]


@contextmanager
def _clients(target: Target) -> Iterator[Do]:
    """Yield what does a job by one of the clients that are Python."""
    key = target.gateway.api_key
    http = httpx.Client(
        base_url=target.gateway.base_url, headers={"authorization": f"Bearer {key}"}, timeout=60
    )

    def do(job: Job) -> Reading:
        url, model = target.base_url(job), target.model(job)
        if job.client == "wire":
            return wire.read(job, http, model)
        if job.client == "langchain":
            return langchain_client.read(job, url, key, model)
        client = OpenAI(base_url=url, api_key=key, max_retries=0, http_client=shared)
        return python_client.read(job, client, model)

    with http, DefaultHttpxClient() as shared:
        yield do


def _run_node(target: Target, jobs: list[Job]) -> dict[Job, Reading]:
    described = [
        {
            "client": job.client,
            "kind": job.kind,
            "model": target.model(job),
            "baseURL": target.base_url(job),
            "apiKey": target.gateway.api_key,
            "stream": job.is_stream,
            "usage": job.has_usage,
            "choices": job.choices,
            "tools": job.tools,
        }
        for job in jobs
    ]
    run = subprocess.run(
        ["node", str(SCRIPT)],
        input=json.dumps({"workers": WORKERS, "jobs": described}),
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    seen: dict[str, Any] = json.loads(run.stdout)
    assert seen["warnings"] == []
    return dict(zip(jobs, map(reading_from_json, seen["readings"]), strict=True))
