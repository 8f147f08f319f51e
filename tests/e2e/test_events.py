"""`sam local invoke` with each file of events/, in Lambda's containers: `make test-sam-local`."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from local.sam import SAM, make_sam_environment
from local.sandbox import ROOT
from tests.e2e.gateway import GATEWAY, Gateway

pytestmark = pytest.mark.skipif(GATEWAY != "local.sam", reason="needs Docker: make test-sam-local")
EVENTS = sorted((ROOT / "events").glob("*.json"))
STATUSES = {"chat.bad-json": 400, "chat.no-key": 401}
INVOKED_WITHIN_S = 120


def invoke(function: str, event: Path, variables: Path, temporary: Path) -> Mapping[str, Any]:
    """Return what the function answers; sam prints that as the last line."""
    command = [SAM, "local", "invoke", function, "--event", event, "--env-vars", variables]
    run = subprocess.run(
        [*command, "--skip-pull-image"],
        cwd=ROOT,
        env=make_sam_environment(os.environ, str(temporary)),
        capture_output=True,
        text=True,
        timeout=INVOKED_WITHIN_S,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    answer: dict[str, Any] = json.loads(run.stdout.strip().splitlines()[-1])
    return answer


@pytest.mark.parametrize("file", EVENTS, ids=[file.stem for file in EVENTS])
def test_event_is_answered(
    file: Path, running_gateway: Gateway, home: Path, tmp_path: Path
) -> None:
    """Each with the status that its name promises; the sweep with what it did."""
    event = tmp_path / "event.json"
    event.write_text(file.read_text().replace("sk-tg-REPLACE-WITH-A-KEY", running_gateway.api_key))
    function = f"{file.stem.partition('.')[0].title()}Function"

    answer = invoke(function, event, home / "sam-env.json", tmp_path)

    if function == "SweepFunction":
        assert (answer["SweepsUnfinished"], answer["HoldsFailed"]) == (0, 0)
    else:
        assert answer["statusCode"] == STATUSES.get(file.stem, 200), answer["body"]
