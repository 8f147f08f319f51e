"""What is read out of template.yaml."""

from pathlib import Path

import pytest

from local.sandbox import ROOT
from local.template import Route, Schedule, load_template, read_api, resolve

TEMPLATE = load_template(ROOT / "template.yaml")


def test_functions_and_routes() -> None:
    """Handlers, limits, environment with overrides, paths and how they travel."""
    api = read_api(TEMPLATE, {"TOLLGATE_TABLE": "here"})
    chat, models = api.functions["ChatFunction"], api.functions["ModelsFunction"]
    routes = {route.path: route for route in api.routes}

    assert api.stage == "api"
    assert (chat.handler, chat.timeout_s) == ("functions.chat.app.handler", 900.0)
    assert chat.environment["AWS_LAMBDA_EXEC_WRAPPER"] == "/opt/python/stream-runtime"
    assert chat.environment["TOLLGATE_KEEPALIVE_S"] == "15"
    assert chat.environment["TOLLGATE_TABLE"] == models.environment["TOLLGATE_TABLE"] == "here"
    assert "AWS_LAMBDA_EXEC_WRAPPER" not in models.environment
    assert routes["/v1/chat/completions"].is_streaming
    assert routes["/v1/chat/completions"].timeout_s == 900.0
    assert routes["/v1/images/edits"].is_streaming
    assert routes["/v1/images/edits"].function == "ImagesFunction"
    assert api.binary_types == {"multipart/form-data"}
    assert not routes["/v1/models"].is_streaming
    assert routes["/v1/models"].timeout_s == 29.0
    assert api.cors["AllowOrigin"] == "*"
    assert api.answers["MISSING_AUTHENTICATION_TOKEN"].status == 404


@pytest.mark.parametrize(
    ("path", "asked", "found"),
    [
        ("/v1/models", "/v1/models", {}),
        ("/v1/models", "/v1/models/", None),
        ("/v1/models/{model+}", "/v1/models/a/b", {"model": "a/b"}),
        ("/v1/models/{model+}", "/v1/models/", None),
        ("/v1/{one}/x", "/v1/a/x", {"one": "a"}),
        ("/v1/{one}/x", "/v1/a/b/x", None),
    ],
)
def test_paths_match_as_api_gateway_does(
    path: str, asked: str, found: dict[str, str] | None
) -> None:
    """A parameter is one segment; a greedy one is the rest."""
    route = Route(path=path, method="ANY", function="f", is_streaming=False, timeout_s=1)
    match = route.pattern.fullmatch(asked)

    assert found == (match.groupdict() if match else None)


def test_intrinsic_functions() -> None:
    """Known names are put in, unknown ones name themselves."""
    names = {"A": "1"}

    assert resolve({"Ref": "A"}, names) == "1"
    assert resolve({"Ref": "Table"}, names) == "Table"
    assert resolve({"Fn::Sub": "'${A}-${AWS::Region}'"}, names) == "'1-AWS::Region'"
    assert resolve({"Fn::GetAtt": "Table.Arn"}, names) == "Table.Arn"
    assert resolve(5, names) == "5"


def test_binary_types(tmp_path: Path) -> None:
    """SAM writes a slash as ~1."""
    file = tmp_path / "t.yaml"
    file.write_text(
        "Parameters: {}\nResources:\n  Api:\n    Type: AWS::Serverless::Api\n"
        "    Properties: {StageName: s, BinaryMediaTypes: [multipart~1form-data]}\n"
    )

    assert read_api(load_template(file), {}).binary_types == {"multipart/form-data"}


def test_schedules() -> None:
    """What EventBridge would call, and how often; a form that is not understood is said."""
    scheduled = {
        "Type": "AWS::Serverless::Function",
        "Properties": {
            "Handler": "x.handler",
            "Events": {"S": {"Type": "Schedule", "Properties": {"Schedule": "cron(0 * * * ? *)"}}},
        },
    }

    assert read_api(TEMPLATE, {}).schedules == (Schedule(function="SweepFunction", every_s=300.0),)
    with pytest.raises(ValueError, match="only rate"):
        read_api(TEMPLATE | {"Resources": TEMPLATE["Resources"] | {"F": scheduled}}, {})
