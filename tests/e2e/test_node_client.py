"""The official Node client, unmodified, against the running gateway."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.accumulate import accumulate
from tests.e2e.gateway import Gateway, micropoints

TEXT = "the quick brown fox jumps over the lazy dog"
SCRIPT = Path(__file__).parent / "node" / "client.mjs"


@pytest.fixture(scope="module")
def seen(running_gateway: Gateway) -> dict[str, Any]:
    """What the client saw, by scenario."""
    run = subprocess.run(
        ["node", str(SCRIPT), running_gateway.base_url, running_gateway.api_key],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def test_plain_answers(seen: dict[str, Any]) -> None:
    """A plain name has a quota, an -official one has not; both say the same."""
    assert seen["plain"]["choices"][0]["message"]["content"] == TEXT
    assert micropoints(seen["plain"]["quota"]) > 0
    assert seen["official"]["choices"][0]["message"]["content"] == TEXT
    assert "quota" not in seen["official"]


def test_streams_in_all_four_forms(seen: dict[str, Any]) -> None:
    """Each of the four callers sees its column of the table."""
    forms = ("stream", "streamUsage", "streamOfficial", "streamOfficialUsage")
    assert [accumulate(seen[form])[0]["content"] for form in forms] == [TEXT] * 4
    assert all(chunk["usage"] and "quota" in chunk for chunk in seen["stream"])
    assert seen["streamUsage"][-1]["choices"] == []
    assert all(chunk["usage"] is None for chunk in seen["streamUsage"][:-1])
    assert not any("usage" in chunk or "quota" in chunk for chunk in seen["streamOfficial"])
    assert seen["streamOfficialUsage"][-1]["usage"]["total_tokens"] > 0
    assert not any("quota" in chunk for chunk in seen["streamOfficialUsage"])


def test_web_search(seen: dict[str, Any]) -> None:
    """The results come with the answer, or on the last chunk, which this client takes as it is."""
    results = seen["web"]["search_results"]
    said = seen["web"]["choices"][0]["message"]["content"]
    assert said == f"{len(results)} results. First: {results[0]['title']}"
    for form in ("webStream", "webStreamUsage"):
        assert accumulate(seen[form])[0]["content"] == said
        assert seen[form][-1]["search_results"] == results
        assert not any("search_results" in chunk for chunk in seen[form][:-1])
    failed = seen["failedSearch"]
    assert (failed["status"], failed["code"]) == (502, "web_search_failed")


def test_tools_and_choices(seen: dict[str, Any]) -> None:
    """Tool calls are put together by the client's own helper; `n=2` gives two choices."""
    for form in ("tools", "toolStream"):
        call = seen[form]["choices"][0]["message"]["tool_calls"][0]
        assert call["function"]["name"] == "get_weather"
        assert json.loads(call["function"]["arguments"])["city"]
    assert [choice["message"]["content"] for choice in seen["two"]["choices"]] == [TEXT, TEXT]


def test_structured_output_logprobs_vision_and_audio(seen: dict[str, Any]) -> None:
    """What else the client can ask for arrives in its own shapes."""
    message = seen["structured"]["choices"][0]["message"]
    logprobs = seen["logprobs"]["choices"][0]["logprobs"]["content"]
    streamed = [chunk["choices"][0].get("logprobs") for chunk in seen["logprobStream"]]
    audio = seen["audio"]["choices"][0]["message"]["audio"]
    assert message["parsed"] == {"name": "demo", "population": 42}
    assert logprobs[0]["logprob"] <= 0
    assert any(entry and entry["content"][0]["logprob"] <= 0 for entry in streamed)
    assert accumulate(seen["vision"])[0]["content"] == "what is this"
    assert seen["vision"][0]["usage"]["prompt_tokens"] > 50
    assert audio["data"]
    assert micropoints(seen["audio"]["quota"]) > 0


def test_images(seen: dict[str, Any]) -> None:
    """Whole answers: images, usage and quota; forms with files; OpenAI's own form."""
    assert [bool(entry["b64_json"]) for entry in seen["image"]["data"]] == [True, True]
    assert micropoints(seen["image"]["quota"]) == 2 * (9 * 500 + 100 * 3000)
    assert "quota" not in seen["imageOfficial"]
    assert seen["imageEdit"]["data"][0]["revised_prompt"].count("weiß.png 70 ") == 2
    assert seen["imageEdit"]["usage"]["input_tokens_details"]["image_tokens"] == 200
    assert seen["imageVariation"]["data"][0]["b64_json"]
    assert len(seen["imageFew"]["data"]) == 1


def test_image_streams(seen: dict[str, Any]) -> None:
    """Events arrive by their types and the stream ends; one that breaks off raises."""
    kinds = [event["type"].rpartition(".")[2] for event in seen["imageStream"]]
    assert kinds == ["partial_image", "partial_image", "completed"]
    assert micropoints(seen["imageStream"][-1]["quota"]) == 9 * 500 + 300 * 3000
    assert "quota" not in seen["imageStreamOfficial"][0]
    assert (seen["imageNone"]["status"], seen["imageNone"]["code"]) == (502, "upstream_error")
    assert seen["imageBroken"] is not None


def test_models(seen: dict[str, Any]) -> None:
    """Models are listed and one is retrieved under the name asked for."""
    assert "demo-echo" in [model["id"] for model in seen["models"]]
    assert seen["model"]["id"] == "demo-echo-official"


def test_errors_are_the_clients_own_classes(seen: dict[str, Any]) -> None:
    """Failures carry status, type and code; one in mid-stream raises too."""
    assert (seen["wrongKey"]["status"], seen["wrongKey"]["code"]) == (401, "invalid_api_key")
    unknown = seen["unknownModel"]
    assert (unknown["status"], unknown["code"]) == (404, "model_not_found")
    assert seen["brokenStream"] is not None
