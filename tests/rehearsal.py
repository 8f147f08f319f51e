"""A deployment without AWS: `sam package`, SAM's translator, and moto in place of the services.

package     the bundle, built or not, goes to moto's S3 by the real SAM CLI
translate   local/translate.py, as CloudFormation's transform would
create      moto's CloudFormation makes what it knows; aliases, alarms and the metric filter, which
            it does not, are made by the calls that CloudFormation would make; LEFT stays undone
"""

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from local.processes import free_port, stop
from local.sandbox import ROOT
from tests.deployment import SAM_PYTHON, Stack, require_sam, translate

BUCKET = "artifacts"
STACK = "tollgate"
BY_CALL = ("AWS::Lambda::Alias", "AWS::CloudWatch::Alarm", "AWS::Logs::MetricFilter")
LEFT = {  # moto has no CloudFormation for these, or not enough of the service
    "AWS::ApiGateway::Account",
    "AWS::ApiGateway::BasePathMapping",
    "AWS::ApiGateway::Deployment",
    "AWS::ApiGateway::DomainName",
    "AWS::ApiGateway::Stage",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::SNS::TopicPolicy",
}
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "rehearsal",
    "AWS_SECRET_ACCESS_KEY": "rehearsal",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@contextmanager
def serving_moto(log: Path) -> Iterator[str]:
    """Yield the address of an empty AWS on this machine."""
    require_sam()
    port = free_port()
    command = [SAM_PYTHON.with_name("moto_server"), "--host", "127.0.0.1", "--port", str(port)]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, env=os.environ | CREDENTIALS, stdout=out, stderr=out, start_new_session=True
        )
    try:
        _wait_for(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        stop(process)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until somebody listens; fail if the process ends, or in a minute."""
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            assert process.poll() is None, "moto has ended; see its log"
            assert time.monotonic() < deadline, "moto does not listen"
            time.sleep(0.1)
        else:
            return


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """A stack at moto's address. `physical`: the made resources' names by their names here."""

    url: str
    parameters: Mapping[str, str]
    template: Mapping[str, Any]
    physical: Mapping[str, str]

    def client(self, service: str) -> Any:
        """Return a client of one service."""
        return make_client(service, self.url)

    @property
    def outputs(self) -> dict[str, str]:
        """What the stack tells its operator."""
        [stack] = self.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
        return {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}


def make_client(service: str, url: str) -> Any:
    """Return a client that calls moto and nobody else."""
    session = boto3.Session(
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        region_name=CREDENTIALS["AWS_DEFAULT_REGION"],
    )
    return session.client(service, endpoint_url=url)


def rehearse(url: str, folder: Path, **parameters: str) -> Rehearsal:
    """Package, translate and create."""
    template = translate(package(url, folder), **parameters)
    made = make_client("cloudformation", url)
    made.create_stack(
        StackName=STACK,
        TemplateBody=json.dumps(reduce_to_known(template)),
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()],
        Capabilities=["CAPABILITY_IAM"],
    )
    resources = made.list_stack_resources(StackName=STACK)["StackResourceSummaries"]
    physical = {
        one["LogicalResourceId"]: one.get("PhysicalResourceId", "")
        for one in resources
        if one.get("LogicalResourceId")  # moto lists those whose condition fails without a name
    }
    found = Rehearsal(url=url, parameters=parameters, template=template, physical=physical)
    make_by_call(found)
    return found


def package(url: str, folder: Path) -> Path:
    """Upload the code as `sam deploy` does; return the template that names where it is."""
    make_client("s3", url).create_bucket(Bucket=BUCKET)
    packaged = folder / "packaged.yaml"
    environment = os.environ | CREDENTIALS | {"AWS_ENDPOINT_URL": url, "SAM_CLI_TELEMETRY": "0"}
    command = [SAM_PYTHON.with_name("sam"), "package", "--template-file", ROOT / "template.yaml"]
    command += ["--s3-bucket", BUCKET, "--output-template-file", packaged]
    command += ["--region", CREDENTIALS["AWS_DEFAULT_REGION"]]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return packaged


def reduce_to_known(template: Mapping[str, Any]) -> dict[str, Any]:
    """Return the template without what moto's CloudFormation does not know.

    Where an alias is named its function stands in; outputs of what is left out go with it.
    """
    text = json.dumps(template)
    for name, function in list_aliases(template).items():
        text = text.replace(
            json.dumps({"Ref": name}), json.dumps({"Fn::GetAtt": [function, "Arn"]})
        )
        text = text.replace(f"${{{name}}}", f"${{{function}.Arn}}")
    reduced: dict[str, Any] = json.loads(text)
    unknown = {*BY_CALL, *LEFT}
    reduced["Resources"] = {
        name: resource
        for name, resource in reduced["Resources"].items()
        if resource["Type"] not in unknown
    }
    reduced["Resources"].get("AccessLogs", {}).pop("Metadata", None)  # waits for what is left out
    del reduced["Outputs"]["DomainTarget"]
    return reduced


def list_aliases(template: Mapping[str, Any]) -> dict[str, str]:
    """Return each alias's function."""
    return {
        name: resource["Properties"]["FunctionName"]["Ref"]
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Lambda::Alias"
    }


def make_by_call(made: Rehearsal) -> None:
    """Make what moto's CloudFormation does not know, by the calls of each service."""
    names = dict(made.physical) | {
        "SweepDeadLetters.QueueName": made.physical["SweepDeadLetters"].rpartition("/")[2]
    }
    stack = Stack(made.template, names, **made.parameters)
    functions = made.client("lambda")
    for name, function in list_aliases(made.template).items():
        versions = functions.list_versions_by_function(FunctionName=names[function])["Versions"]
        functions.create_alias(
            FunctionName=names[function],
            Name=made.template["Resources"][name]["Properties"]["Name"],
            FunctionVersion=versions[-1]["Version"],
        )
    for name, alarm in stack.of_type("AWS::CloudWatch::Alarm").items():
        made.client("cloudwatch").put_metric_alarm(AlarmName=name, **alarm)
    for name, metric_filter in stack.of_type("AWS::Logs::MetricFilter").items():
        made.client("logs").put_metric_filter(
            filterName=name,
            logGroupName=metric_filter["LogGroupName"],
            filterPattern=metric_filter["FilterPattern"],
            metricTransformations=[
                {key[0].lower() + key[1:]: value for key, value in one.items()}
                for one in metric_filter["MetricTransformations"]
            ],
        )
