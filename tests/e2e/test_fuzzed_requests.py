"""Requests drawn from docs/openapi.json, good and bad, against the running gateway.

FUZZ_EXAMPLES requests an operation and kind (2; `make torture` sends many more), from FUZZ_SEED
(drawn, printed): the same seed and number draw the same requests.
"""

import copy
import json
import os
import re
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck
from schemathesis import GenerationMode

from local.catalog import DEMO_IMAGE_MODELS, DEMO_MODELS
from tests.e2e.conftest import open_account
from tests.e2e.gateway import Gateway
from tests.e2e.test_openapi import DOCUMENT, OPERATIONS, check

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "2"))
SEED = int(os.environ.get("FUZZ_SEED") or secrets.randbelow(2**32))
GRANTED = 10**12
SLOW = {"demo-hang", "demo-stall", "demo-image-slow", "demo-image-hang", "demo-image-large"}
DOCUMENTED = {(502, "upstream_error"), (502, "web_search_failed"), (504, "upstream_timeout")}
LONG_TEXT = 16  # characters that no log has by chance
sent: Counter[str] = Counter()
texts: set[str] = set()


def name_models(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document with models that are there, so that more than 404 is seen."""
    named = copy.deepcopy(dict(document))
    kinds = {"Chat": DEMO_MODELS, "Image": DEMO_IMAGE_MODELS}
    for name, schema in named["components"]["schemas"].items():
        models = next((kinds[kind] for kind in kinds if name.startswith(kind)), ())
        if "model" in schema.get("properties", {}) and models and "Chunk" not in name:
            known = [*sorted(set(models) - SLOW), "web-demo-echo", "demo-echo-official"]
            schema["properties"]["model"] = {"enum": known}
    return named


SCHEMA = schemathesis.openapi.from_dict(name_models(DOCUMENT))


@pytest.fixture(scope="module")
def fuzzed_gateway(running_gateway: Gateway) -> Gateway:
    """An account that can pay for anything."""
    return open_account(running_gateway, f"fuzz-{secrets.token_hex(4)}", GRANTED)


@pytest.fixture(autouse=True)
def told_seed() -> None:
    """Say how to draw the same again; pytest shows it where a test fails."""
    print(f"FUZZ_SEED={SEED} FUZZ_EXAMPLES={EXAMPLES}")


def long_texts(value: object) -> Iterator[str]:
    """Yield the texts in a body that are long enough to be looked for."""
    if isinstance(value, str) and len(value) >= LONG_TEXT:
        yield value
    inner = value.values() if isinstance(value, dict) else value
    for one in inner if isinstance(value, dict | list) else ():
        yield from long_texts(one)


def read_events(text: str) -> Iterator[Any]:
    """Yield the JSON of a stream's events."""
    for line in text.splitlines():
        if line.startswith("data: ") and line != "data: [DONE]":
            yield json.loads(line.removeprefix("data: "))


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_drawn_requests_are_answered_as_documented(
    fuzzed_gateway: Gateway, method: str, path: str, mode: GenerationMode
) -> None:
    """No undocumented 5xx; status, content type and body are as the document says."""
    operation = SCHEMA[path][method.upper()]

    @hypothesis.seed(SEED)
    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[hypothesis.Phase.generate],
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def run(case: Any) -> None:
        answer = case.call(
            base_url=fuzzed_gateway.base_url.removesuffix("/v1"),
            headers={"authorization": f"Bearer {fuzzed_gateway.api_key}"},
        )
        sent[str(answer.status_code)] += 1
        texts.update(long_texts(case.body))
        check_answer(method, path, answer)

    run()


def check_answer(method: str, path: str, answer: Any) -> None:
    """Fail where the answer is not one that the document has."""
    text = answer.content.decode()
    kind = answer.headers["content-type"][0].partition(";")[0]
    assert answer.headers["x-request-id"]
    if answer.status_code >= 400:
        assert kind == "application/json"
        error = json.loads(text)
        check(error, {"$ref": "#/components/schemas/Error"})
        if answer.status_code >= 500:
            assert (answer.status_code, error["error"]["code"]) in DOCUMENTED, text
        return
    schema = DOCUMENT["paths"][path][method]["responses"]["200"]["content"][kind]["schema"]
    for value in read_events(text) if kind == "text/event-stream" else [json.loads(text)]:
        check(value, {"$ref": "#/components/schemas/Error"} if "error" in value else schema)


def test_after_them_nothing_is_held_and_no_log_has_a_word(
    fuzzed_gateway: Gateway, gateway_logs: Callable[[], str]
) -> None:
    """The ledger adds up to its records; neither key nor text is in a log, whose lines are JSON."""
    names = {name for model in DEMO_MODELS + DEMO_IMAGE_MODELS for name in (model, f"web-{model}")}
    account = fuzzed_gateway.wait_until_settled()
    logs = gateway_logs()

    assert account["spent"] == sum(record.quota for record in fuzzed_gateway.records().values())
    assert fuzzed_gateway.api_key not in logs
    assert not re.search(r"sk-tg-[A-Za-z0-9]{20}", logs)
    assert [text for text in texts - names if text in logs] == []
    print(f"{sum(sent.values())} requests: {dict(sorted(sent.items()))}")
