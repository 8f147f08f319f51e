"""What AWS gets to deploy, for the defaults and for each choice that an operator has."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.sandbox import ROOT
from tests.deployment import Stack, translate

SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:tollgate-AbCdEf"
CERTIFICATE = "arn:aws:acm:us-east-1:123456789012:certificate/1-2"
BILLING = ("subscription", "usage", "credit_grants")
ROUTES = {
    "/v1/chat/completions": "ChatFunction",
    **{f"/v1/images/{task}": "ImagesFunction" for task in ("generations", "edits", "variations")},
    "/v1/models": "ModelsFunction",
    "/v1/models/{model+}": "ModelsFunction",
    **{
        f"{prefix}/{read}": "BillingFunction"
        for prefix in ("/v1/billing", "/v1/dashboard/billing", "/dashboard/billing")
        for read in BILLING
    },
    "/v1/billing/requests": "BillingFunction",
}
STREAMING = ("ChatFunction", "ImagesFunction")
FREE_WHEN_IDLE = {  # with the defaults; each is charged by use or by what it keeps, or not at all
    "AWS::ApiGateway::Account",
    "AWS::ApiGateway::Deployment",
    "AWS::ApiGateway::RestApi",
    "AWS::ApiGateway::Stage",
    "AWS::DynamoDB::Table",
    "AWS::Events::Rule",
    "AWS::IAM::Role",
    "AWS::Lambda::Alias",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::Function",
    "AWS::Lambda::LayerVersion",
    "AWS::Lambda::Permission",
    "AWS::Lambda::Version",
    "AWS::Logs::LogGroup",
    "AWS::SQS::Queue",
}


def stack(**parameters: str) -> Stack:
    return Stack(translate(), **parameters)


def body() -> dict[str, Any]:
    [api] = stack().of_type("AWS::ApiGateway::RestApi").values()
    found: dict[str, Any] = api["Body"]
    return found


def functions(**parameters: str) -> dict[str, Any]:
    return stack(**parameters).of_type("AWS::Lambda::Function")


def alias(function: str) -> str:
    return f"{function}Aliaslive"


def statements(**parameters: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each statement of a function's role."""
    for name, role in stack(**parameters).of_type("AWS::IAM::Role").items():
        for policy in role.get("Policies", []):
            for statement in policy["PolicyDocument"]["Statement"]:
                yield name, statement


def test_every_route_is_there_with_all_methods_and_options() -> None:
    """As docs/wire-format.md has them; OPTIONS is answered by API Gateway itself."""
    paths = body()["paths"]

    assert paths.keys() == ROUTES.keys()
    for path, methods in paths.items():
        assert methods.keys() == {"x-amazon-apigateway-any-method", "options"}, path
        assert methods["options"]["x-amazon-apigateway-integration"]["type"] == "mock"


@pytest.mark.parametrize(("path", "function"), ROUTES.items())
def test_integrations(path: str, function: str) -> None:
    """Chat and images stream by the streaming URI; no function outlives what API Gateway waits."""
    method = body()["paths"][path]["x-amazon-apigateway-any-method"]
    integration = method["x-amazon-apigateway-integration"]
    lambda_ms = 1000 * functions()[function]["Timeout"]

    assert (integration["type"], integration["httpMethod"]) == ("aws_proxy", "POST")
    if function in STREAMING:
        assert integration["responseTransferMode"] == "STREAM"
        assert integration["uri"].endswith(
            f":lambda:path/2021-11-15/functions/${{{alias(function)}}}/response-streaming-invocations"
        )
        assert lambda_ms <= integration["timeoutInMillis"] <= 900_000
    else:
        assert "responseTransferMode" not in integration
        assert integration["uri"].endswith(
            f":lambda:path/2015-03-31/functions/${{{alias(function)}.Arn}}/invocations"
        ) or integration["uri"].endswith(
            f":lambda:path/2015-03-31/functions/${{{alias(function)}}}/invocations"
        )
        assert lambda_ms < integration.get("timeoutInMillis", 29_000) <= 29_000


_OF_ANY_STAGE_AND_METHOD = "arn:aws:execute-api:us-east-1:123456789012:{'Ref': 'Api'}/*/*"


def test_who_may_call_a_function() -> None:
    """API Gateway each route of this API, EventBridge the sweep, both by the alias; no others."""
    permissions = list(stack().of_type("AWS::Lambda::Permission").values())
    by_gateway = {
        (one["FunctionName"]["Ref"], one["SourceArn"].removeprefix(_OF_ANY_STAGE_AND_METHOD))
        for one in permissions
        if one["Principal"] == "apigateway.amazonaws.com"
    }
    [by_rule] = [one for one in permissions if one["Principal"] != "apigateway.amazonaws.com"]

    assert by_gateway == {
        (alias(function), path.replace("{model+}", "*")) for path, function in ROUTES.items()
    }
    assert by_rule["Principal"] == "events.amazonaws.com"
    assert by_rule["FunctionName"] == {"Ref": alias("SweepFunction")}
    assert by_rule["SourceArn"] == {"Fn::GetAtt": ["SweepFunctionSweep", "Arn"]}
    assert {one["Action"] for one in permissions} == {"lambda:InvokeFunction"}


def test_nothing_is_public() -> None:
    """No function has a URL, no table or queue a policy that lets others in."""
    found = stack(AlarmEmail="a@b.cc", DomainName="a.b.c", CertificateArn=CERTIFICATE)
    kinds = {resource["Type"] for resource in found.resources.values()}

    assert not kinds & {"AWS::Lambda::Url", "AWS::SQS::QueuePolicy"}
    assert "ResourcePolicy" not in found.resources["Table"]["Properties"]
    assert '"Principal": "*"' not in json.dumps(found.resources)
    assert '"AWS": "*"' not in json.dumps(found.resources)


def test_environment_of_each_function() -> None:
    """What settings.py reads, and no more; keys are not in it."""
    common = {
        "TOLLGATE_TABLE": {"Ref": "Table"},
        "TOLLGATE_DYNAMODB_URL": "",
        "TOLLGATE_CATALOG_FILE": "",
        "TOLLGATE_CORS_ORIGIN": "*",
        "TOLLGATE_LOG_LEVEL": "INFO",
    }
    streaming = common | {
        "AWS_LAMBDA_EXEC_WRAPPER": "/opt/python/stream-runtime",
        "TOLLGATE_PROVIDER_SECRET": SECRET,
        "TOLLGATE_KEEPALIVE_S": "15",
    }
    found = functions(ProviderSecretArn=SECRET)

    assert {name: one["Environment"]["Variables"] for name, one in found.items()} == {
        name: streaming if name in STREAMING else common
        for name in (*sorted(set(ROUTES.values())), "SweepFunction")
    }


def test_rights_have_no_wildcards() -> None:
    """Each names its actions and one resource; X-Ray alone has no resources to name."""
    for role, statement in statements(ProviderSecretArn=SECRET):
        actions = statement["Action"]
        actions = [actions] if isinstance(actions, str) else actions
        assert not any("*" in action for action in actions), role
        if statement["Resource"] == "*":
            assert set(actions) == {"xray:PutTraceSegments", "xray:PutTelemetryRecords"}, role


def test_bedrock_is_asked_by_chat_alone_and_only_for_what_is_named() -> None:
    """Without the parameter no role may; with it one may, for these models."""
    arns = (
        "arn:aws:bedrock:us-east-1::foundation-model/a.b-v1:0,arn:aws:bedrock:*::foundation-model/c"
    )
    granted = [
        (role, statement["Action"], statement["Resource"])
        for role, statement in statements(BedrockModelArns=arns)
        if "bedrock" in str(statement["Action"])
    ]

    assert not any("bedrock" in str(statement["Action"]) for _, statement in statements())
    assert granted == [
        (
            "ChatRole",
            ["bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"],
            {"Fn::Split": [",", arns]},
        )
    ]


@pytest.mark.parametrize(
    ("arns", "is_allowed"),
    [
        ("", True),
        ("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0", True),
        (
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.a,arn:aws:bedrock:*::b/c",
            True,
        ),
        ("*", False),
        ("arn:aws:bedrock:*", False),
        ("arn:aws:s3:::bucket/*", False),
        ("arn:aws:bedrock:us-east-1::foundation-model/a,", False),
        ("arn:aws:bedrock:us-east-1::foundation-model/a,*", False),
        ("arn:aws:bedrock:us-east-1::foundation-model/a, arn:aws:bedrock:::b/c", False),
    ],
)
def test_models_on_bedrock_are_named(arns: str, *, is_allowed: bool) -> None:
    """An ARN each, with commas between; no right to all that Bedrock has."""
    pattern = translate()["Parameters"]["BedrockModelArns"]["AllowedPattern"]

    assert (re.search(pattern, arns) is not None) is is_allowed


def test_only_one_managed_policy() -> None:
    """API Gateway insists on AWS's own for its log role; no function has one."""
    managed = {
        name: role["ManagedPolicyArns"]
        for name, role in stack().of_type("AWS::IAM::Role").items()
        if "ManagedPolicyArns" in role
    }

    assert managed == {
        "GatewayLogRole": [
            "arn:aws:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
        ]
    }


def test_models_reads_keys_and_catalog_only() -> None:
    """Neither a balance nor a usage record."""
    [about_data] = [
        statement
        for role, statement in statements()
        if role == "ModelsRole" and "dynamodb" in json.dumps(statement)
    ]

    assert about_data["Action"] == "dynamodb:GetItem"
    assert about_data["Condition"] == {
        "ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["KEY#*", "CATALOG"]}
    }


def test_nothing_costs_while_idle() -> None:
    """With the defaults: no alarm, no dashboard, no snapshot, no capacity, no logs for ever."""
    found = stack()
    versions = found.of_type("AWS::Lambda::Version").values()
    [stage] = found.of_type("AWS::ApiGateway::Stage").values()
    [settings] = stage["MethodSettings"]

    assert {resource["Type"] for resource in found.resources.values()} == FREE_WHEN_IDLE
    assert found.resources["Table"]["Properties"]["BillingMode"] == "PAY_PER_REQUEST"
    assert all(one["RetentionInDays"] for one in found.of_type("AWS::Logs::LogGroup").values())
    assert all(one["SnapStart"] == {"ApplyOn": "None"} for one in functions().values())
    assert not any("ProvisionedConcurrencyConfig" in one for one in versions)
    assert "CacheClusterEnabled" not in stage
    assert settings["MetricsEnabled"] is False


def test_stage_is_throttled_traced_and_logs_no_key() -> None:
    """The log has what API Gateway knows by itself: no header, query or path of a caller's."""
    [stage] = stack().of_type("AWS::ApiGateway::Stage").values()
    [settings] = stage["MethodSettings"]
    line = json.loads(stage["AccessLogSetting"]["Format"])

    assert (settings["ResourcePath"], settings["HttpMethod"]) == ("/*", "*")
    assert (settings["ThrottlingRateLimit"], settings["ThrottlingBurstLimit"]) == ("100", "200")
    assert (settings["LoggingLevel"], settings["DataTraceEnabled"]) == ("OFF", False)
    assert stage["TracingEnabled"] is True
    assert stage["AccessLogSetting"]["DestinationArn"] == {"Fn::GetAtt": ["AccessLogs", "Arn"]}
    assert {"$context.requestId", "$context.status", "$context.responseLatency"} <= {*line.values()}
    assert line.keys() == {
        *("time", "requestId", "functionRequestId", "sourceIp", "method", "route", "status"),
        *("latencyMs", "functionLatencyMs", "bytes", "error"),
    }
    assert line["route"] == "$context.resourcePath"


def test_functions_are_traced_and_log_json() -> None:
    """Each into its own group, at the level that lets metrics pass."""
    for name, one in functions().items():
        assert one["TracingConfig"] == {"Mode": "Active"}
        assert one["LoggingConfig"] == {
            "LogFormat": "JSON",
            "ApplicationLogLevel": "INFO",
            "LogGroup": {"Ref": name.replace("Function", "Logs")},
        }


def test_access_log_waits_for_the_accounts_role() -> None:
    """A fresh account has none, and its first stage with an access log would fail."""
    makes, uses, without = (
        stack(AccessLog=choice).resources for choice in ("new-role", "account-role", "none")
    )

    assert makes["AccessLogs"]["Metadata"]["After"] == {"Ref": "GatewayAccount"}
    assert makes["GatewayAccount"]["DependsOn"] == "Api"
    assert makes["GatewayAccount"]["DeletionPolicy"] == "Retain"
    assert makes["GatewayLogRole"]["DeletionPolicy"] == "Retain"
    assert "GatewayAccount" not in uses
    assert uses["AccessLogs"]["Metadata"]["After"] == ""
    assert "AccessLogs" not in without
    assert "AccessLogSetting" not in without["ApiStage"]["Properties"]


def test_new_layer_is_a_new_version_of_each_function(tmp_path: Path) -> None:
    """Nearly all code is in the layer: an upgrade that changes it alone reaches the alias."""
    upgraded = tmp_path / "template.yaml"
    text = (ROOT / "template.yaml").read_text()
    upgraded.write_text(
        text.replace("ContentUri: layers/common\n", "ContentUri: s3://bucket/upgraded\n")
    )

    before, after = (
        {name for name, one in made["Resources"].items() if one["Type"] == "AWS::Lambda::Version"}
        for made in (translate(), translate(upgraded))
    )

    assert len(before) == len(after) == 5
    assert before.isdisjoint(after)


def test_no_resource_waits_for_itself() -> None:
    """The linter cannot say so of what SAM makes, and is told to overlook it in the template."""
    resources = translate()["Resources"]
    waiting = {
        name: set(read_references(one)) & resources.keys() for name, one in resources.items()
    }
    while ready := {name for name, others in waiting.items() if not others & waiting.keys()}:
        waiting = {name: others for name, others in waiting.items() if name not in ready}

    assert waiting == {}


def read_references(part: Any) -> Iterator[str]:
    """Yield the names that a part of the translated template refers to."""
    if isinstance(part, list):
        for one in part:
            yield from read_references(one)
    if not isinstance(part, dict):
        return
    for name, value in part.items():
        if name in ("Ref", "DependsOn", "Fn::GetAtt"):
            yield from [value] if isinstance(value, str) else value
        elif name == "Fn::Sub":
            yield from re.findall(r"\$\{(\w+)", json.dumps(value))
        else:
            yield from read_references(value)


def test_failed_sweeps_are_kept() -> None:
    """Encrypted, for two weeks; the function may write there, and is not called again."""
    found = stack()
    queue = found.resources["SweepDeadLetters"]["Properties"]
    [retries] = found.of_type("AWS::Lambda::EventInvokeConfig").values()

    assert queue == {"MessageRetentionPeriod": 1_209_600, "SqsManagedSseEnabled": True}
    assert found.resources["SweepFunction"]["Properties"]["DeadLetterConfig"] == {
        "TargetArn": {"Fn::GetAtt": ["SweepDeadLetters", "Arn"]}
    }
    assert ("SweepRole", "sqs:SendMessage") in [
        (role, statement["Action"]) for role, statement in statements()
    ]
    assert (retries["MaximumRetryAttempts"], retries["Qualifier"]) == (0, "live")


# Each parameter of the functions, and another value than the default.
FUNCTION_PARAMETERS = {
    "Architecture": "arm64",
    "CatalogFile": "/opt/python/tollgate/catalog.toml",
    "ChatMemory": "2048",
    "CorsOrigin": "https://chat.example.com",
    "ImagesMemory": "2048",
    "KeepaliveSeconds": "30",
    "LogLevel": "WARN",
    "ProviderSecretArn": SECRET,
    "SnapStart": "on",
}


def versions(**parameters: str) -> dict[str, str]:
    """Return each function's version description."""
    found = stack(**parameters).of_type("AWS::Lambda::Version")
    return {one["FunctionName"]["Ref"]: one["Description"] for one in found.values()}


@pytest.mark.parametrize(("name", "value"), FUNCTION_PARAMETERS.items())
def test_changed_function_is_published(name: str, value: str) -> None:
    """Else the alias, and so the API, would stay with the old value; and only what has changed is.

    Lambda refuses to publish a version that is the same as the last one.
    """
    before, after = functions(), functions(**{name: value})
    changed = {function for function in before if before[function] != after[function]}
    old, new = versions(), versions(**{name: value})

    assert changed
    assert {function for function in old if old[function] != new[function]} == changed


def test_no_parameter_of_a_function_is_forgotten() -> None:
    """Each that a function names changes its version, but for the concurrency: that has none."""
    template = translate()
    made = [one for one in template["Resources"].values() if one["Type"] == "AWS::Lambda::Function"]
    text = json.dumps(made).replace("HasSnapStart", "SnapStart")
    used = {name for name in template["Parameters"] if f'"{name}"' in text}

    assert used == FUNCTION_PARAMETERS.keys() | {"ChatConcurrency", "ImagesConcurrency"}


def test_version_description_fits() -> None:
    """Lambda takes 256 characters."""
    parameters = translate()["Parameters"]
    longest = {
        name: "x" * one["MaxLength"] for name, one in parameters.items() if "MaxLength" in one
    } | {
        name: str(max(map(str, one["AllowedValues"]), key=len))
        for name, one in parameters.items()
        if "AllowedValues" in one and name in FUNCTION_PARAMETERS
    }
    longest |= dict.fromkeys(("ChatMemory", "ImagesMemory"), "10240")

    found = versions(**longest, KeepaliveSeconds="240")

    assert max(map(len, found.values())) <= 256


def test_choices_translate() -> None:
    """The translator takes them, and what it makes does not depend on them."""
    made = translate(
        Architecture="arm64",
        SnapStart="on",
        DomainName="a.b.c",
        CertificateArn=CERTIFICATE,
        HostedZoneId="Z1",
        AlarmEmail="a@b.cc",
        Dashboard="on",
        AccessLog="none",
        ChatConcurrency="50",
        StageName="v2",
    )["Resources"]

    assert {name for name in made if "Deployment" not in name} == {
        name for name in translate()["Resources"] if "Deployment" not in name
    }


def test_architecture_and_snapstart() -> None:
    """One processor for functions and layer; a snapshot for all that answer requests."""
    found = stack(Architecture="arm64", SnapStart="on")
    [layer] = found.of_type("AWS::Lambda::LayerVersion").values()
    made = found.of_type("AWS::Lambda::Function")

    assert layer["CompatibleArchitectures"] == ["arm64"]
    assert all(one["Architectures"] == ["arm64"] for one in made.values())
    assert {name for name, one in made.items() if one["SnapStart"]["ApplyOn"] != "None"} == {
        *ROUTES.values()
    }


def test_domain() -> None:
    """Mapped to the stage, so that its base URL has none; entered where a zone is given."""
    choice = {"DomainName": "api.example.com", "CertificateArn": CERTIFICATE}
    alone, entered = stack(**choice), stack(**choice, HostedZoneId="Z1")

    assert alone.outputs["BaseUrl"]["Value"] == "https://api.example.com/v1"
    assert alone.resources["DomainMapping"]["Properties"]["Stage"] == {"Ref": "ApiStage"}
    assert alone.resources["Domain"]["Properties"]["SecurityPolicy"] == "TLS_1_2"
    assert "DomainTarget" in alone.outputs
    assert "DomainRecord" not in alone.resources
    assert entered.resources["DomainRecord"]["Properties"]["Name"] == "api.example.com"


def test_base_url_has_the_stage() -> None:
    """Of the default, and of another."""
    for name in ("api", "v2"):
        url = stack(StageName=name).outputs["BaseUrl"]["Value"]
        assert url == f"https://${{Api}}.execute-api.us-east-1.amazonaws.com/{name}/v1"


def test_concurrency() -> None:
    """Reserved where it is asked for; none would be a number of its own."""
    found = functions(ChatConcurrency="50", ImagesConcurrency="0")

    assert found["ChatFunction"]["ReservedConcurrentExecutions"] == "50"
    assert found["ImagesFunction"]["ReservedConcurrentExecutions"] == "0"
    assert all("ReservedConcurrentExecutions" not in one for one in functions().values())


def test_alarms_tell_the_address() -> None:
    """Each of them, by a topic to which CloudWatch alone may write."""
    found = stack(AlarmEmail="ops@example.com")
    alarms = found.of_type("AWS::CloudWatch::Alarm")
    [statement] = found.resources["AlarmTopicPolicy"]["Properties"]["PolicyDocument"]["Statement"]

    assert {name.removesuffix("Alarm") for name in alarms} == {
        *("ServerErrors", "FunctionErrors", "FunctionThrottles", "GatewayThrottles"),
        *("LedgerErrors", "Overruns", "UpstreamFailures"),
        *("HoldsHealed", "HoldsFailed", "SweepMissing", "DeadLetters"),
    }
    assert all(one["AlarmActions"] == [{"Ref": "AlarmTopic"}] for one in alarms.values())
    assert found.resources["AlarmTopic"]["Properties"]["Subscription"] == [
        {"Protocol": "email", "Endpoint": "ops@example.com"}
    ]
    assert statement["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012"}}


def test_alarms_cost_what_their_parameter_says() -> None:
    """CloudWatch counts the figures that an alarm reads."""
    alarms = stack(AlarmEmail="a@b.cc").of_type("AWS::CloudWatch::Alarm").values()
    figures = sum(
        len([one for one in alarm.get("Metrics", [{"MetricStat": {}}]) if "MetricStat" in one])
        for alarm in alarms
    )

    assert f"watch {figures} figures" in translate()["Parameters"]["AlarmEmail"][
        "Description"
    ].replace("\n", " ")


def test_throttles_are_read_from_the_access_log() -> None:
    """The filter and its alarm have one name; without an access log there is neither."""
    found = stack(AlarmEmail="a@b.cc")
    [written] = found.resources["GatewayThrottlesFilter"]["Properties"]["MetricTransformations"]
    watched = found.resources["GatewayThrottlesAlarm"]["Properties"]
    without = stack(AlarmEmail="a@b.cc", AccessLog="none").resources

    assert (written["MetricNamespace"], written["MetricName"]) == (
        watched["Namespace"],
        watched["MetricName"],
    )
    assert not {"GatewayThrottlesFilter", "GatewayThrottlesAlarm"} & without.keys()


def test_dashboard_is_json_of_metrics_that_exist() -> None:
    """Its text is assembled by CloudFormation, and refused by CloudWatch if it is malformed."""
    text = stack(Dashboard="on").resources["DashboardPage"]["Properties"]["DashboardBody"]
    widgets = json.loads(text)["widgets"]

    assert len(widgets) >= 10
    assert {(one["x"], one["y"]) for one in widgets} == {
        (x, y) for y in range(0, 6 * (len(widgets) // 3), 6) for x in (0, 8, 16)
    }
    for widget in widgets:
        for metric in widget["properties"]["metrics"]:
            assert metric[0] if isinstance(metric[0], str) else "expression" in metric[0]
