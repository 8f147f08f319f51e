"""What a client makes of answers, and which it asks for again; its wire has a script."""

import json
from collections.abc import Callable
from http.client import HTTPMessage
from typing import Any

import pytest
from tollgate.aws.answers import Answer
from tollgate.aws.client import AwsClient
from tollgate.aws.errors import AwsError, AwsRefusedError, AwsUnansweredError
from tollgate.aws.signing import Keys, Signer
from tollgate.aws.wire import Limits

type Said = Answer | AwsUnansweredError
LIMITS = Limits(connect_timeout_s=1.0, read_timeout_s=2.0, attempts_max=3)
SECRETS = ("wJalrXUtnFEMI", "a-session's-token")


def say(body: object = None, *, status: int = 200, **headers: str) -> Answer:
    found = HTTPMessage()
    for name, value in headers.items():
        found[name.replace("_", "-")] = value
    raw = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
    return Answer(status=status, headers=found, body=raw)


def refuse(code: str, status: int = 400, **fields: object) -> Answer:
    return say({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", **fields}, status=status)


class Wire:
    """Says one thing after the other, and keeps what it was asked and when it was waited for."""

    def __init__(self, *says: Said) -> None:
        self.says = [*says]
        self.asked: list[tuple[dict[str, str], Any]] = []
        self.freshness: list[bool] = []
        self.waits_s: list[float] = []
        self.is_closed = False

    def post(self, headers: dict[str, str], body: bytes, *, is_fresh: bool = False) -> Answer:
        self.asked.append((headers, json.loads(body)))
        self.freshness.append(is_fresh)
        said = self.says.pop(0)
        if isinstance(said, AwsUnansweredError):
            raise said
        return said

    def close(self) -> None:
        self.is_closed = True


def read_keys() -> Keys:
    return Keys(access_key="AKIA", secret_key=SECRETS[0], token=SECRETS[1])


def client_of(
    wire: Any, *, service: str = "dynamodb", find_keys: Callable[[], Keys] = read_keys
) -> AwsClient:
    return AwsClient(
        service,
        "db.example",
        signer=Signer(find_keys, service=service, region="eu-west-1", clock=lambda: 0),
        wire=wire,
        limits=LIMITS,
        sleep=wire.waits_s.append,
    )


@pytest.mark.parametrize(
    ("service", "method", "target", "version"),
    [
        ("dynamodb", "batch_get_item", "DynamoDB_20120810.BatchGetItem", "1.0"),
        ("secretsmanager", "get_secret_value", "secretsmanager.GetSecretValue", "1.1"),
    ],
)
def test_methods_are_the_services_operations(
    service: str, method: str, target: str, version: str
) -> None:
    """By the name that botocore gives them, with the parameters as they are."""
    wire = Wire(say({"Answer": {"S": "ü"}}))

    answer = getattr(client_of(wire, service=service), method)(One={"N": "1"}, Two="ü")

    [(headers, body)] = wire.asked
    assert answer == {"Answer": {"S": "ü"}}
    assert body == {"One": {"N": "1"}, "Two": "ü"}
    assert headers["x-amz-target"] == target
    assert headers["content-type"] == f"application/x-amz-json-{version}"
    assert headers["host"] == "db.example"


PASSING: list[Said] = [
    AwsUnansweredError("cut"),
    *(refuse("InternalServerError", status) for status in (500, 502, 503, 504)),
    *(say(b"<html>", status=status) for status in (500, 429)),
    say(b"<html>a proxy's</html>"),
    *(say(body) for body in (b"", b"[1]", b"null", b'{"Item": ', b"\xff", b"[" * 100_000)),
    refuse("ThrottlingException"),
    refuse("ProvisionedThroughputExceededException"),
    refuse("RequestLimitExceeded"),
    refuse("TransactionInProgressException"),
]


@pytest.mark.parametrize("said", PASSING)
def test_what_may_pass_is_asked_again(said: Said) -> None:
    """On a new connection, after a short while; the last try's failure is the caller's."""
    wire, always = Wire(said, say({"Item": {}})), Wire(said, said, said)

    assert client_of(wire).get_item() == {"Item": {}}
    with pytest.raises(AwsError):
        client_of(always).get_item()

    assert wire.freshness == [False, True]
    assert always.freshness == [False, True, True]
    assert len(always.waits_s) == 2


@pytest.mark.parametrize(
    "said",
    [
        refuse("ConditionalCheckFailedException"),
        refuse("TransactionCanceledException"),
        refuse("TransactionConflictException"),
        refuse("ValidationException"),
        refuse("ResourceNotFoundException"),
        refuse("AccessDeniedException"),
        refuse("UnrecognizedClientException"),
        say(b"<html>", status=403),
        say(b"", status=301),
    ],
)
def test_an_answer_is_no_reason_to_ask_again(said: Answer) -> None:
    """Neither about the item, nor about the request or its sender."""
    wire = Wire(said)

    with pytest.raises(AwsRefusedError):
        client_of(wire).update_item()

    assert len(wire.asked) == 1


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (say({"__type": "a.b#Code:http://x/#y"}, status=400), "Code"),
        (say({"__type": "Code"}, status=400), "Code"),
        (say({"code": "Code"}, status=400), "Code"),
        (say({}, status=400, x_amzn_errortype="Code:http://x/"), "Code"),
        (say(b"[]", status=404), "404"),
        (say({"__type": None}, status=418), "418"),
        *(
            (say(body, status=400, x_amzn_errortype="ConditionalCheckFailedException"), "400")
            for body in (b"", b"<html>", b'{"Item": ')
        ),
        *(
            (say({"__type": told}, status=400), "400")
            for told in ({"key": "sk-1"}, "sk 1\nx", "é", "x" * 200, "#", 5.5)
        ),
    ],
)
def test_code_of_a_refusal(said: Answer, code: str) -> None:
    """In any of the places that AWS's protocols know, if it is a word; else HTTP's own.

    One whose item is cut off would say that there is none: it says nothing.
    """
    with pytest.raises(AwsRefusedError) as caught:
        client_of(Wire(said)).get_item()

    assert (caught.value.code, caught.value.status) == (code, said.status)


def test_null_is_nothing() -> None:
    """As botocore has it: a member that is null is absent."""
    assert client_of(Wire(say(b'{"Item": null, "Count": 0}'))).get_item() == {"Count": 0}
    with pytest.raises(AwsRefusedError) as caught:
        client_of(Wire(refuse("ConditionalCheckFailedException", Item=None))).put_item()

    assert "Item" not in caught.value.answer


def test_refusal_brings_what_was_said() -> None:
    """The item that did not meet the condition is there, and in no text of the error."""
    said = refuse("ConditionalCheckFailedException", Item={"pk": {"S": "p"}}, message="p failed")

    with pytest.raises(AwsRefusedError) as caught:
        client_of(Wire(said)).put_item()

    assert caught.value.answer["Item"] == {"pk": {"S": "p"}}
    assert str(caught.value) == "400 ConditionalCheckFailedException"


@pytest.mark.parametrize(
    ("said", "waits_max_s"),
    [(refuse("InternalServerError", 500), [0.025, 0.05]), (refuse("Throttling"), [1.0, 2.0])],
)
def test_waits_grow_and_are_drawn(said: Answer, waits_max_s: list[float]) -> None:
    """Short after a fault, longer for who asks too much; nobody waits in step with others."""
    waits_s = []
    for _ in range(200):
        wire = Wire(said, said, said)
        with pytest.raises(AwsRefusedError):
            client_of(wire).get_item()
        waits_s.append(wire.waits_s)

    for drawn_s, most_s in zip(zip(*waits_s, strict=True), waits_max_s, strict=True):
        assert most_s / 2 < max(drawn_s) <= most_s
        assert min(drawn_s) < most_s / 2
        assert len(set(drawn_s)) > 100


def test_expired_keys_are_read_again() -> None:
    """Once they are others they are tried; as long as they are the same, that is the answer."""
    keys = [read_keys(), Keys(access_key="NEW", secret_key="new")]
    wire = Wire(refuse("ExpiredTokenException"), say())
    client_of(wire, find_keys=lambda: keys.pop(0)).get_item()
    same = Wire(refuse("ExpiredTokenException"))
    with pytest.raises(AwsRefusedError):
        client_of(same).get_item()

    [(first, _), (second, _)] = wire.asked
    assert "Credential=AKIA/" in first["authorization"]
    assert first["x-amz-security-token"] == SECRETS[1]
    assert "Credential=NEW/" in second["authorization"]
    assert "x-amz-security-token" not in second
    assert len(same.asked) == 1


def test_nothing_shows_a_secret() -> None:
    """Neither the client nor its parts nor the keys, whoever prints them."""
    client = client_of(Wire())

    for shown in (repr(client), str(vars(client)), repr(vars(client._signer)), repr(read_keys())):
        assert not any(secret in shown for secret in SECRETS)


def test_close_closes_the_wire() -> None:
    """And what is no operation is no attribute."""
    wire = Wire()
    client = client_of(wire)

    client.close()

    assert wire.is_closed
    with pytest.raises(AttributeError):
        _ = client._nothing
