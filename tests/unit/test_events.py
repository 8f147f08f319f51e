"""Each file of events/ is the event that its name says: a REST request, or a schedule's call."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mangum.handlers import APIGateway
from mangum.types import LambdaConfig
from tollgate.core.multipart import parse_form

from local.sandbox import ROOT
from local.template import load_template

EVENTS = sorted((ROOT / "events").glob("*.json"))
REQUESTS = [file for file in EVENTS if ".schedule" not in file.name]
CONFIG = LambdaConfig(api_gateway_base_path="/", text_mime_types=[], exclude_headers=[])


@pytest.mark.parametrize("file", REQUESTS, ids=[file.stem for file in REQUESTS])
def test_event_is_a_request_of_its_function(file: Path) -> None:
    """The event's resource is one of the template's routes of the function it is named for."""
    event: dict[str, Any] = json.loads(file.read_text())
    name = f"{file.stem.split('.')[0].title()}Function"
    function = load_template(ROOT / "template.yaml")["Resources"][name]
    routes = {route["Properties"]["Path"] for route in function["Properties"]["Events"].values()}
    context: Any = SimpleNamespace()

    assert APIGateway.infer(event, context, CONFIG)
    scope = APIGateway(event, context, CONFIG).scope
    assert event["resource"] in routes
    assert scope["method"] == event["httpMethod"]
    assert scope["path"] == event["path"]


@pytest.mark.parametrize("task", ["edits", "variations"])
def test_image_form_is_one(task: str) -> None:
    """Base64 as API Gateway hands a binary body on, and in it a form with a real PNG."""
    event: dict[str, Any] = json.loads((ROOT / "events" / f"images.{task}.json").read_text())
    context: Any = SimpleNamespace()

    form = parse_form(APIGateway(event, context, CONFIG).body, event["headers"]["Content-Type"])

    [image] = [part for part in form.parts if part.is_file]
    assert event["isBase64Encoded"]
    assert bytes(image.body[:8]) == b"\x89PNG\r\n\x1a\n"


def test_schedules_call_is_no_request() -> None:
    """It goes to the handler as it is, with the two fields that tell where it comes from."""
    event: dict[str, Any] = json.loads((ROOT / "events" / "sweep.schedule.json").read_text())

    assert not APIGateway.infer(event, SimpleNamespace(), CONFIG)  # type: ignore[arg-type]
    assert (event["source"], event["detail-type"]) == ("aws.events", "Scheduled Event")


def test_every_route_has_an_event() -> None:
    """There is an event for each route of each function to be tried with."""
    resources = load_template(ROOT / "template.yaml")["Resources"]
    routes = {
        event["Properties"]["Path"]
        for name, resource in resources.items()
        if name.endswith("Function")
        for event in resource["Properties"]["Events"].values()
        if event["Type"] == "Api"
    }

    assert {json.loads(file.read_text())["resource"] for file in REQUESTS} == routes
