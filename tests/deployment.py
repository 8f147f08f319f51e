"""The template as AWS gets it: translated by SAM, with parameters and conditions put in.

The translator runs in the SAM CLI's environment, as a process; what it makes is evaluated here, for
the few functions that the template uses.
"""

import json
import os
import re
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from local.sandbox import ROOT

SAM_PYTHON = ROOT / ".venv-sam" / "bin" / "python"
_NO_VALUE = {"Ref": "AWS::NoValue"}
_PSEUDO = {
    "AWS::Region": "us-east-1",
    "AWS::AccountId": "123456789012",
    "AWS::StackName": "tollgate",
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
}


def require_sam() -> None:
    """Skip the test where the SAM CLI is not installed; fail where everything must run."""
    if not SAM_PYTHON.is_file():
        if os.environ.get("TOLLGATE_REQUIRE_ALL"):
            pytest.fail("the SAM CLI is not installed: make .venv-sam/installed")
        pytest.skip("the SAM CLI is not installed: make .venv-sam/installed")


@cache
def translate(file: Path = ROOT / "template.yaml", **parameters: str) -> dict[str, Any]:
    """Return what SAM makes of the template."""
    require_sam()
    settings = [f"{name}={value}" for name, value in parameters.items()]
    command = [SAM_PYTHON, ROOT / "local" / "translate.py", file, *settings]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    translated: dict[str, Any] = json.loads(done.stdout)
    return translated


class Stack:
    """The resources and outputs that a deployment with these parameters has."""

    def __init__(
        self,
        template: Mapping[str, Any],
        made: Mapping[str, str] | None = None,
        **parameters: str,
    ) -> None:
        """`made`: what references to resources come to, where some were made already."""
        defaults = {name: str(one["Default"]) for name, one in template["Parameters"].items()}
        assert parameters.keys() <= defaults.keys()
        self._names = _PSEUDO | defaults | parameters | dict(made or {})
        self._conditions = template["Conditions"]
        self.resources = self._present(template["Resources"])
        self.outputs = self._present(template["Outputs"])

    def _present(self, things: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: self.evaluate(thing)
            for name, thing in things.items()
            if "Condition" not in thing or self._holds({"Condition": thing["Condition"]})
        }

    def of_type(self, kind: str) -> dict[str, Any]:
        """Return the properties of the resources of one type, by name."""
        return {
            name: resource.get("Properties", {})
            for name, resource in self.resources.items()
            if resource["Type"] == kind
        }

    def evaluate(self, node: Any) -> Any:
        """Return a value with parameters and conditions put in; references to resources stay."""
        if isinstance(node, list):
            return [self.evaluate(one) for one in node if not self._is_absent(one)]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            [(kind, argument)] = node.items()
            if kind in ("Ref", "Fn::GetAtt"):
                name = argument if kind == "Ref" else ".".join(argument)
                return self._names.get(name, node)
            if kind == "Fn::If":
                name, then, otherwise = argument
                return self.evaluate(then if self._holds({"Condition": name}) else otherwise)
            if kind == "Fn::Sub":
                return self._substitute(argument)
        return {key: self.evaluate(one) for key, one in node.items() if not self._is_absent(one)}

    def _is_absent(self, node: Any) -> bool:
        """Whether a value comes to AWS::NoValue."""
        if isinstance(node, dict) and list(node) == ["Fn::If"]:
            name, then, otherwise = node["Fn::If"]
            return self._is_absent(then if self._holds({"Condition": name}) else otherwise)
        return bool(node == _NO_VALUE)

    def _substitute(self, argument: Any) -> Any:
        text, names = argument if isinstance(argument, list) else (argument, {})
        known = self._names | {name: str(self.evaluate(one)) for name, one in names.items()}
        return re.sub(r"\$\{([\w:.]+)\}", lambda found: known.get(found[1], found[0]), text)

    def _holds(self, node: Any) -> bool:
        [(kind, argument)] = node.items()
        if kind == "Condition":
            return self._holds(self._conditions[argument])
        if kind == "Fn::Not":
            return not self._holds(argument[0])
        if kind == "Fn::And":
            return all(self._holds(one) for one in argument)
        assert kind == "Fn::Equals"
        one, other = (str(self.evaluate(side)) for side in argument)
        return one == other
