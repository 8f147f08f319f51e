"""What SAM makes of the template, as AWS's own translator says: JSON on stdout.

    .venv-sam/bin/python local/translate.py TEMPLATE [Parameter=value ...]

Run by the SAM CLI's environment, whose translator wants other versions than the layer has. Sources
that are no S3 addresses, as they are before `sam package`, are given one.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from boto3 import Session
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

_SOURCES = {
    "AWS::Serverless::Function": "CodeUri",
    "AWS::Serverless::LayerVersion": "ContentUri",
}


def translate(template: Mapping[str, Any], parameters: Mapping[str, str]) -> dict[str, Any]:
    """Return the CloudFormation template that AWS makes of a SAM template in us-east-1."""
    for resource in template["Resources"].values():
        source = _SOURCES.get(resource["Type"])
        if source and not str(resource["Properties"][source]).startswith("s3://"):
            resource["Properties"][source] = "s3://bucket/source"
    translator = Translator({}, Parser(), boto_session=Session(region_name="us-east-1"))
    translated: dict[str, Any] = translator.translate(template, dict(parameters))
    return translated


def main(arguments: Sequence[str]) -> None:
    """Translate the file that the first argument names, with the parameters in the others."""
    file, *settings = arguments
    parameters = dict(setting.split("=", 1) for setting in settings)
    json.dump(translate(yaml_parse(Path(file).read_text()), parameters), sys.stdout, indent=2)


if __name__ == "__main__":
    main(sys.argv[1:])
