"""Vendors' errors of all shapes, judged and cleaned."""

import json

import pytest
from tollgate.errors import UpstreamBrokenError, UpstreamRefusedError
from tollgate.upstream.error_bodies import ErrorBody, clean, parse_error_body
from tollgate.upstream.failures import ChannelFailedError
from tollgate.upstream.refusals import error_in_event, judge_error, judge_event
from tollgate.upstream.sse import SseParser

from tests.recordings import Recording, find_recordings, load_recordings, parametrize

ERRORS = [recording for recording in load_recordings() if recording.status >= 400]
# Case: what it is judged to be. A reason, or the refusal's (message, type, param, code).
EXPECTED: dict[str, str | tuple[str, str, str | None, str | None]] = {
    "034": (
        "Unsupported parameter: 'logprobs' is not supported with this model.",
        "invalid_request_error",
        "logprobs",
        "unsupported_parameter",
    ),
    "035": ("invalid model ID", "invalid_request_error", None, None),
    "036": "credentials",
    "037": "credentials",
    "038": "credentials",
    "039": "not_found",
    "040": "not_found",
    "041": "credentials",
    "047": (
        "Error while downloading file. Upstream status code: 404.",
        "invalid_request_error",
        "url",
        "invalid_value",
    ),
    "048": "not_found",
    "056": "not_found",
    "057": "credentials",
    "058": "rate_limit",
    "063": (
        (
            "The supported API model names are deepseek-v4-pro or deepseek-v4-flash, but you "
            "passed bad model."
        ),
        "invalid_request_error",
        None,
        "invalid_request_error",
    ),
    "064": "credentials",
    "072": (
        (
            "This model does not support response format `json_schema`. See supported models at "
            "https://console.groq.com/docs/structured-outputs#supported-models"
        ),
        "invalid_request_error",
        "response_format",
        None,
    ),
    "073": "not_found",
    "081": "not_found",
    "082": "credentials",
    "083": (
        (
            "tools.list[Tool].0.type: Input should be 'function'; tools.list[Tool].0.function: "
            "Field required; tools.list[str].0: Input should be a valid string"
        ),
        "invalid_request_error",
        "tools.list[Tool].0.type",
        None,
    ),
    "084": "unavailable",
    "094": "rate_limit",
    "095": "credentials",
    "100": "credentials",
    "108": "not_found",
    "116": "credentials",
    "117": (
        "model features structured outputs not support",
        "invalid_request_error",
        None,
        "INVALID_REQUEST_BODY",
    ),
    "118": "credentials",
    "119": "unavailable",
    "120": "unavailable",
    "124": "not_found",
    "128": "credentials",
    "129": "not_found",
    "138": "not_found",
    "144": (
        "Validation: `response_format.json_schema.name` cannot be empty",
        "Bad Request",
        None,
        "400",
    ),
    "145": (
        "This model does not support logprobs > 1 due to advanced speculative decoding.",
        "Bad Request",
        None,
        "400",
    ),
    "161": "unavailable",
}


def describe(
    verdict: ChannelFailedError | UpstreamRefusedError | None,
) -> str | tuple[str, str, str | None, str | None] | None:
    if isinstance(verdict, UpstreamRefusedError):
        return str(verdict), verdict.error_type, verdict.param, verdict.code
    return verdict.reason if verdict else None


@parametrize(ERRORS)
def test_recorded_errors(recording: Recording) -> None:
    """Every recorded error body is judged as it should be, and refusals keep their words."""
    verdict = judge_error(recording.status, parse_error_body(recording.body))

    assert EXPECTED[recording.name[:3]] == describe(verdict)


@parametrize([r for r in find_recordings(is_stream=True) if r.name[:3] in {"089", "137"}])
def test_recorded_streams_that_begin_with_an_error(recording: Recording) -> None:
    """An error as the first event is the caller's where it says that the request is wrong."""
    (event,) = SseParser().feed(recording.body)
    verdict = judge_event(event.event, json.loads(event.data))

    assert isinstance(verdict, UpstreamRefusedError)
    assert verdict.status == 400


@parametrize(
    [r for r in find_recordings(is_stream=True) if r.name[:3] in {"013", "070", "088", "164"}]
)
def test_recorded_streams_that_fail_on_the_way(recording: Recording) -> None:
    """Exactly one event of each is an error, and its words are kept."""
    parser = SseParser()
    events = [*parser.feed(recording.body), *parser.end()]
    parsed = [(e.event, json.loads(e.data)) for e in events if e.data != "[DONE]"]
    errors = [error for event, raw in parsed if (error := error_in_event(event, raw))]

    words = {
        "013": "Could not finish the message",
        "070": "Tool call validation failed",
        "088": "Token limit reached",
        "164": "failed to decode",
    }
    assert len(errors) == 1
    assert str(errors[0]).startswith(words[recording.name[:3]])


@parametrize(
    [r for r in find_recordings(is_stream=True) if r.name[:3] not in {"013", "070", "088", "164"}]
)
def test_good_streams_have_no_error(recording: Recording) -> None:
    """No chunk of a stream that worked is taken for an error."""
    parser = SseParser()
    events = [*parser.feed(recording.body), *parser.end()]
    parsed = [(e.event, json.loads(e.data)) for e in events if e.data != "[DONE]"]
    errors = [event for event, raw in parsed if error_in_event(event, raw)]

    assert len(errors) == (recording.name[:3] in {"089", "137"})


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (400, {"message": "Your credit balance is too low"}, "credentials"),
        (400, {"code": "billing_hard_limit_reached"}, "credentials"),
        (400, {"code": "invalid_api_key"}, "credentials"),
        (429, {"type": "insufficient_quota"}, "credentials"),
        (503, {"message": "x", "type": "invalid_request_error"}, "unavailable"),
        (307, {}, "unavailable"),
        (404, {"message": "no file", "param": "file"}, ("no file", None)),
        (400, {"message": "flagged", "code": "content_filter"}, ("flagged", "content_filter")),
        (
            400,
            {"message": "The model 'x' does not exist", "param": "model", "code": "invalid_value"},
            "not_found",
        ),
        (
            400,
            {"message": "'x' takes no images", "param": "model", "code": "invalid_value"},
            ("'x' takes no images", "invalid_value"),
        ),
        (413, {}, ("The upstream provider refused the request (status 413).", None)),
        (403, {"message": "no access to x", "code": "model_not_found"}, "not_found"),
        (403, {"message": "no access to x"}, "credentials"),
        (403, {"message": "no", "code": "content_filter"}, ("no", "content_filter")),
        (
            403,
            {"message": "flagged", "code": 403, "metadata": {"reasons": ["violence"]}},
            ("flagged", "content_policy_violation"),
        ),
        (403, {"message": "no", "code": 403, "metadata": {"reasons": []}}, "credentials"),
        (429, {"message": "slow", "metadata": {"reasons": "none"}}, "rate_limit"),
    ],
)
def test_judge_error(status: int, error: dict[str, object], expected: object) -> None:
    """Type and code weigh more than a 4xx; a status without words has a sentence of ours."""
    verdict = judge_error(status, parse_error_body(json.dumps({"error": error}).encode()))
    words = describe(verdict)

    assert expected == ((words[0], words[3]) if isinstance(words, tuple) else words)


def test_flagged_content_is_no_matter_of_keys_to_the_caller() -> None:
    """A 403 for what was said is told as OpenAI does, with 400; other statuses stay."""
    body = parse_error_body(b'{"error": {"code": "content_policy_violation"}}')
    statuses = [getattr(judge_error(status, body), "status", None) for status in (400, 403, 451)]

    assert statuses == [400, 400, 451]


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (403, {"message": "x"}, True),
        (403, {"message": "x", "code": "insufficient_quota"}, True),
        (429, {"message": "x"}, True),
        (429, {"message": "x", "code": "insufficient_quota"}, False),
        (401, {"message": "x"}, False),
        (402, {"message": "x"}, False),
        (500, {"message": "x"}, False),
    ],
)
def test_what_is_said_of_one_model(
    status: int, error: dict[str, object], *, expected: bool
) -> None:
    """A 403 and a rate limit leave the channel's other models alone."""
    verdict = judge_error(status, parse_error_body(json.dumps({"error": error}).encode()))

    assert isinstance(verdict, ChannelFailedError)
    assert verdict.is_models is expected


def test_sentence_that_may_quote_the_caller_rests_no_channel() -> None:
    """A caller who writes "invalid api key" into a field cannot send a channel to rest."""
    body = parse_error_body(b'{"error": {"message": "bad value: invalid api key"}}')
    verdict = judge_error(400, body)

    assert isinstance(verdict, ChannelFailedError)
    assert not verdict.is_resting


@pytest.mark.parametrize(
    ("event", "raw", "expected"),
    [
        ("message", {"choices": [], "error": None}, None),
        ("message", {"choices": []}, None),
        ("message", {"error": "overloaded"}, "unavailable"),
        ("message", {"error": {"message": "x", "code": 429}}, "rate_limit"),
        ("message", {"error": {"message": "x", "type": "rate_limit_error"}}, "rate_limit"),
        ("message", {"error": {"message": "x", "code": 401}}, "credentials"),
        (
            "message",
            {"error": {"message": "x", "type": "content_policy_violation"}},
            ("x", "content_policy_violation", None, "content_policy_violation"),
        ),
        ("error", {"message": "x"}, "unavailable"),
        ("message", {"object": "error", "message": "x", "code": 429}, "rate_limit"),
        ("message", {"choices": [{"error": {"message": "x", "code": 402}}]}, "credentials"),
        ("message", {"choices": [{"error": None, "finish_reason": "stop"}]}, None),
        ("message", {"choices": [{}, {"finish_reason": "error"}]}, "unavailable"),
        (
            "message",
            {"choices": [{"finish_reason": "insufficient_system_resource"}]},
            "unavailable",
        ),
        ("message", {"choices": [{"finish_reason": ["error"]}, 5]}, None),
        ("message", {"choices": "error"}, None),
    ],
)
def test_judge_event(event: str, raw: dict[str, object], expected: object) -> None:
    """An error in an event is judged by the status that it names, else by its words."""
    assert expected == describe(judge_event(event, raw))


@pytest.mark.parametrize(
    ("choice", "is_channels"),
    [
        ({"finish_reason": "error", "native_finish_reason": "MALFORMED_FUNCTION_CALL"}, False),
        ({"error": {"message": "x", "code": "malformed"}}, False),
        ({"finish_reason": "error", "error": {"message": "x", "code": 502}}, True),
        ({"finish_reason": "insufficient_system_resource"}, True),
    ],
)
def test_error_of_one_choice_without_a_status_rests_no_channel(
    choice: dict[str, object], *, is_channels: bool
) -> None:
    """What the model made of one request may be the cause; another channel is asked all the same.

    In mid-stream too, where nobody else can be asked.
    """
    raw = {"choices": [{"delta": {}, **choice}]}
    verdict, told = judge_event("message", raw), error_in_event("message", raw)

    assert isinstance(verdict, ChannelFailedError)
    assert isinstance(told, UpstreamBrokenError)
    assert (verdict.reason, verdict.is_resting) == ("unavailable", is_channels)
    assert isinstance(told.verdict, ChannelFailedError)
    assert is_channels == told.verdict.is_resting


@pytest.mark.parametrize(
    "error",
    [
        {"message": "You exceeded your current quota", "code": "insufficient_quota"},
        {"message": "Incorrect API key provided: sk-1"},
        {"message": "org limit", "code": 429},
    ],
)
def test_operators_troubles_in_mid_stream_are_not_told(error: dict[str, object]) -> None:
    """What is about the operator is told as a stream that broke off."""
    told = error_in_event("message", {"error": error})

    assert str(told) == "The upstream provider broke off its answer."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("key sk-proj-abcdEFGH1234ijkl is bad", "key [redacted] is bad"),
        ("Your api key: ****iKey is bad", "Your api key: [redacted] is bad"),
        ("got sk-ab***yz.", "got [redacted]"),
        ("in organization org-A1b2C3d4E5f6 on", "in organization [redacted] on"),
        ("see https://me:pw@host.example/x now", "see [redacted] now"),
        ("see https://host.example/x now", "see https://host.example/x now"),
        ("Authorization: Bearer abcdef123456", "Authorization: [redacted]"),
        ("AIzaSyA-0123456789abcdefghijk", "[redacted]"),
        ("sub 01234567-89ab-cdef-0123-456789abcdef", "sub [redacted]"),
        ("user-defined key-value pairs", "user-defined key-value pairs"),
        ("two\n\x1b[31m lines", "two [31m lines"),
        ("the secret hunter2 itself", "the secret [redacted] itself"),
    ],
)
def test_clean(text: str, expected: str) -> None:
    """Keys, accounts and credentials go; ordinary words and addresses stay."""
    assert expected == clean(text, secrets=["hunter2"])


SECRET = "Zq81Lw04-Tn77Rb29-Xc53Md60"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"key {SECRET}.", "key [redacted]."),
        (f"{SECRET}{SECRET} {SECRET}", "[redacted][redacted] [redacted]"),
        (f"begins with {SECRET[:12]}…", "begins with [redacted]…"),
        (f"ends with {SECRET[-15:]}", "ends with [redacted]"),
        (f"KEY {SECRET.upper()}", "KEY [redacted]"),
        (f"{SECRET[:13]}\n{SECRET[13:]}", "[redacted] [redacted]"),
        (f"begins with {SECRET[:11]}", f"begins with {SECRET[:11]}"),
        ("\u0130 and Zq81lw04-tn77", "\u0130 and [redacted]"),
        (f"{'a ' * 1990}{SECRET}", f"{'a ' * 499}a…"),
    ],
)
def test_no_part_of_a_key_is_told(text: str, expected: str) -> None:
    """Twelve characters of it that follow one another go, in whatever case."""
    assert expected == clean(text, secrets=[SECRET])


def test_a_short_key_is_hidden_whole() -> None:
    """One shorter than that is hidden where it is all there."""
    assert clean("key hunter2, hunter", secrets=["hunter2"]) == "key [redacted], hunter"


def test_code_and_type_are_cleaned_of_the_key() -> None:
    """A vendor may put it there, too; in a refusal and in mid-stream."""
    fields = {"message": "no", "code": SECRET, "type": SECRET, "param": SECRET}
    refusal = judge_error(
        400, parse_error_body(json.dumps({"error": fields}).encode()), secrets=[SECRET]
    )
    broken = error_in_event("message", {"error": fields}, secrets=[SECRET])

    assert broken is not None
    assert isinstance(refusal, UpstreamRefusedError)
    assert {broken.code, refusal.code, refusal.error_type, refusal.param} == {"[redacted]"}


@pytest.mark.parametrize(
    ("raw", "message", "code"),
    [
        (
            {"choices": [{"error": {"code": 502, "message": "Engine fell"}, "delta": {}}]},
            "Engine fell",
            "502",
        ),
        ({"object": "error", "message": "Engine fell", "code": 500}, "Engine fell", "500"),
        (
            {"choices": [{"delta": {}, "finish_reason": "error"}]},
            "The upstream provider broke off its answer.",
            None,
        ),
        (
            {"choices": [{"error": {"code": 402, "message": "Your org has no credit"}}]},
            "The upstream provider broke off its answer.",
            None,
        ),
    ],
)
def test_error_inside_a_choice_or_flat_in_mid_stream(
    raw: dict[str, object], message: str, code: str | None
) -> None:
    """It is told as any other: in the vendor's words, unless they are the operator's."""
    told = error_in_event("message", raw)

    assert told is not None
    assert (str(told), told.code) == (message, code or UpstreamBrokenError().code)


def test_error_in_mid_stream_has_the_callers_name_of_the_model() -> None:
    """As a refusal has."""
    told = error_in_event("message", {"error": {"message": "dep-1 fell"}}, renamed=("dep-1", "gpt"))

    assert str(told) == "gpt fell"


def test_clean_is_bounded() -> None:
    """However long the vendor's words are, the caller's are not."""
    assert len(clean("word " * 100_000)) == 1000
    assert clean("", secrets=[""]) == ""


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"\xff", b"null", b'{"error": 5}'])
def test_bodies_without_words(body: bytes) -> None:
    """A body that says nothing is refused in words of ours."""
    verdict = judge_error(422, parse_error_body(body))

    assert str(verdict) == "The upstream provider refused the request (status 422)."


def test_report_in_place_of_the_message() -> None:
    """Mistral's validation report says which field it is about."""
    report = {"type": "extra_forbidden", "loc": ["body", "stream_options"], "msg": "Not permitted"}
    body = {"object": "error", "message": {"detail": [report]}, "type": "invalid_request_error"}
    found = parse_error_body(json.dumps(body).encode())

    assert (found.param, found.message) == ("stream_options", "stream_options: Not permitted")


def test_error_in_a_list() -> None:
    """Gemini wraps its error object in an array."""
    body = b'[{"error": {"code": 400, "message": "Bad schema", "status": "INVALID_ARGUMENT"}}]\n'

    assert parse_error_body(body).message == "Bad schema"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model 'dep-1' is odd", "model 'gpt' is odd"),
        ("dep-1, dep-1.", "gpt, gpt."),
        ("dep-12 and my-dep-1", "dep-12 and my-dep-1"),
        (r"dep-1 \1", r"gpt \1"),
    ],
)
def test_model_has_the_callers_name(text: str, expected: str) -> None:
    """The operator's own name of it is replaced as a whole word."""
    body = parse_error_body(json.dumps({"error": {"message": text}}).encode())

    assert expected == str(judge_error(400, body, renamed=("dep-1", "gpt")))
    assert text == str(judge_error(400, body, renamed=("dep-1", "dep-1")))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (ErrorBody(error_type="authentication_error"), "credentials"),
        (ErrorBody(error_type="permission_error", code="model_not_found"), "not_found"),
        (ErrorBody(), "not_found"),
    ],
)
def test_404_about_the_key_is_the_operators(body: ErrorBody, expected: str) -> None:
    """Unless it says that the model is not there."""
    verdict = judge_error(404, body)

    assert isinstance(verdict, ChannelFailedError)
    assert verdict.reason == expected
