"""What template.yaml says of the API and its functions, as plain data.

Intrinsic functions are resolved from the parameters' defaults and from given names; only those that
the template uses where this reads it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """Reads `!Ref x` as {"Ref": x} and `!Sub x` as {"Fn::Sub": x}."""


def _construct(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        return {name: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    if isinstance(node, yaml.MappingNode):
        return {name: loader.construct_mapping(node, deep=True)}
    raise yaml.YAMLError(f"unexpected node {node!r}")


_Loader.add_multi_constructor("!", _construct)


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One Lambda. `timeout_s`: Lambda's own limit."""

    name: str
    handler: str
    timeout_s: float
    memory_mb: int
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One path and method (`ANY` for all) of the API, and how its answers travel."""

    path: str
    method: str
    function: str
    is_streaming: bool
    timeout_s: float

    @property
    def pattern(self) -> re.Pattern[str]:
        """Match a path; `{name}` is one segment, `{name+}` the rest."""
        text = re.sub(r"\{(\w+)\+\}", r"(?P<\1>.+)", self.path)
        return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A function that EventBridge calls every so often."""

    function: str
    every_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayAnswer:
    """What API Gateway answers by itself: status (None: its own), headers, body template."""

    status: int | None
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """The whole API as this machine serves it."""

    stage: str
    functions: Mapping[str, Function]
    routes: tuple[Route, ...]
    schedules: tuple[Schedule, ...] = ()
    cors: Mapping[str, str]
    answers: Mapping[str, GatewayAnswer]
    binary_types: frozenset[str] = field(default_factory=frozenset)


def load_template(file: Path) -> dict[str, Any]:
    """Return the template; intrinsic functions become one-key mappings."""
    template: dict[str, Any] = yaml.load(file.read_text(), _Loader)  # noqa: S506 - a SafeLoader
    return template


def read_api(template: Mapping[str, Any], environment: Mapping[str, str]) -> Api:
    """Return the API in `template`; `environment` overrides the functions' variables."""
    names = {name: str(value.get("Default", "")) for name, value in template["Parameters"].items()}
    resources = template["Resources"]
    api = next(
        value["Properties"]
        for value in resources.values()
        if value["Type"] == "AWS::Serverless::Api"
    )
    common = template.get("Globals", {}).get("Function", {})
    functions, routes, schedules = {}, [], []
    for name, resource in resources.items():
        if resource["Type"] == "AWS::Serverless::Function":
            functions[name] = _read_function(
                name, resource["Properties"], common, names, environment
            )
            routes += _read_routes(name, resource["Properties"])
            schedules += _read_schedules(name, resource["Properties"])
    return Api(
        stage=resolve(api["StageName"], names),
        functions=functions,
        routes=tuple(routes),
        schedules=tuple(schedules),
        cors={key: _unquote(resolve(value, names)) for key, value in api.get("Cors", {}).items()},
        answers=_read_answers(api.get("GatewayResponses", {}), names),
        binary_types=frozenset(
            str(kind).replace("~1", "/") for kind in api.get("BinaryMediaTypes", [])
        ),
    )


def resolve(value: Any, names: Mapping[str, str]) -> str:
    """Return a scalar, or what a Ref, Sub or GetAtt of known names comes to."""
    if not isinstance(value, dict):
        return str(value)
    [(kind, argument)] = value.items()
    if kind == "Ref":
        return names.get(argument, argument)
    if kind == "Fn::Sub":
        return re.sub(r"\$\{([\w:.]+)\}", lambda found: names.get(found[1], found[1]), argument)
    return str(argument)


def _read_function(
    name: str,
    properties: Mapping[str, Any],
    common: Mapping[str, Any],
    names: Mapping[str, str],
    environment: Mapping[str, str],
) -> Function:
    variables = {
        **common.get("Environment", {}).get("Variables", {}),
        **properties.get("Environment", {}).get("Variables", {}),
    }
    resolved = {key: resolve(value, names) for key, value in variables.items()}
    return Function(
        name=name,
        handler=properties["Handler"],
        timeout_s=float(properties.get("Timeout", 3)),
        memory_mb=int(resolve(properties.get("MemorySize", 128), names)),
        environment=resolved | dict(environment),
    )


def _read_routes(name: str, properties: Mapping[str, Any]) -> list[Route]:
    events = [event for event in properties.get("Events", {}).values() if event["Type"] == "Api"]
    return [
        Route(
            path=event["Properties"]["Path"],
            method=event["Properties"]["Method"].upper(),
            function=name,
            is_streaming=event["Properties"].get("ResponseTransferMode") == "RESPONSE_STREAM",
            timeout_s=event["Properties"].get("TimeoutInMillis", 29_000) / 1000,
        )
        for event in events
    ]


def _read_schedules(name: str, properties: Mapping[str, Any]) -> list[Schedule]:
    """Return the function's schedules; `rate(n minutes)` is the only form that is used."""
    found = []
    for event in properties.get("Events", {}).values():
        if event["Type"] == "Schedule":
            rate = re.fullmatch(r"rate\((\d+) minutes?\)", event["Properties"]["Schedule"])
            if rate is None:
                raise ValueError(f"{name}: only rate(n minutes) is understood here")
            found.append(Schedule(function=name, every_s=60.0 * int(rate[1])))
    return found


def _read_answers(answers: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, GatewayAnswer]:
    return {
        kind: GatewayAnswer(
            status=answer.get("StatusCode"),
            headers={
                header: resolve(value, names)
                for header, value in answer["ResponseParameters"]["Headers"].items()
            },
            body=answer["ResponseTemplates"]["application/json"],
        )
        for kind, answer in answers.items()
    }


def _unquote(value: str) -> str:
    return value.strip().strip("'")
