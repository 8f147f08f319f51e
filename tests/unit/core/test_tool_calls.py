"""Tool calls of a stream: whose fragment is whose, in which form, and what clients make of them."""

import json
from typing import Any

import httpx
import pytest
from langchain_openai import ChatOpenAI
from openai import OpenAI
from pydantic import SecretStr
from tollgate.core import call_arguments
from tollgate.core.stream_form import StreamForm
from tollgate.core.tool_calls import StreamedCalls

type Fragment = dict[str, Any]


def call(name: str = "", arguments: str | None = None, **fields: Any) -> Fragment:
    """Return a fragment with what is given and nothing else."""
    given = {"name": name or None, "arguments": arguments}
    inner = {key: value for key, value in given.items() if value is not None}
    return fields | ({"function": inner} if inner else {})


def place(*fragments: Fragment) -> list[tuple[Any, bool]]:
    """Return the index of each fragment, and whether it begins a call: that has an id."""
    calls = StreamedCalls("chatcmpl-1", 0)
    return [(found["index"], "id" in found) for found in map(calls.reshape, fragments)]


def test_given_indexes_are_counted_from_0() -> None:
    """Gaps and a first index of 1 leave no hole for the clients' helpers to fall into."""
    found = place({"index": 1, "id": "a"}, {"index": 4, "id": "b"}, {"index": 1}, {"index": 4})

    assert found == [(0, True), (1, True), (0, False), (1, False)]


def test_without_an_index_the_id_decides() -> None:
    """A new id begins a call, a known one goes on with it, none is the last one's."""
    found = place({"id": "a"}, {"id": "b"}, {"id": "a"}, {}, call(arguments="{}"))

    assert found == [(0, True), (1, True), (0, False), (1, False), (1, False)]


def test_without_index_and_id_a_name_begins_a_call() -> None:
    """What has neither belongs to the last call, or is the first one's beginning."""
    assert place({}, call("f"), {}, call("f")) == [(0, True), (1, True), (1, False), (2, True)]


def test_known_index_with_another_id_and_a_name_begins_a_call() -> None:
    """Gemini gives parallel calls the index 0; what comes after is the newest's, or its id's."""
    found = place(
        call("f", "{}", index=0, id="a"),
        call("f", "", index=0, id="b"),
        call(arguments="{}", index=0),
        call(arguments=" ", index=0, id="a"),
    )

    assert found == [(0, True), (1, True), (1, False), (0, False)]


def test_known_index_with_another_name_after_the_arguments_begins_a_call() -> None:
    """Without an id too: no name goes on once its arguments have begun."""
    found = place(call("f", "{}", index=0, id=""), call("g", "{}", index=0, id=""))

    assert found == [(0, True), (1, True)]


VLLM = [  # up to 0.7, of a tool that is asked for by its name; the last one says only "stop"
    call("f", part, index=0, id=f"chatcmpl-tool-{at}")
    for at, part in enumerate(('{"a"', ':{"b":"}"', ',"c":"', "\\", '"}"}', "}", "\n", ""))
]


def test_call_goes_on_under_ids_that_change_with_each_fragment() -> None:
    """Until its object is closed no name begins another one, and an empty end of it never does."""
    assert place(*VLLM) == [(0, True), *[(0, False)] * (len(VLLM) - 1)]


@pytest.mark.parametrize("identity", [{"id": ""}, {}, {"id": "f"}, {"id": "null"}])
@pytest.mark.parametrize("index", [{"index": 0}, {}])
def test_same_name_with_an_object_behind_a_whole_one_begins_a_call(
    identity: Fragment, index: Fragment
) -> None:
    """Two calls of one function that nothing else tells apart; each has an id of its own."""
    calls = StreamedCalls("chatcmpl-1", 0)
    parts = [call("f", text, **identity, **index) for text in ('{"c":"}"}', '{"c":"]"}', "{}")]
    found = [calls.reshape(part) for part in parts]

    assert [one["index"] for one in found] == [0, 1, 2]
    assert len({one["id"] for one in found}) == 3


def test_repetition_without_arguments_behind_a_whole_object_begins_no_call() -> None:
    """Some say id and name once more with the finish."""
    first, again = call("f", "{}", index=0, id="a"), call("f", "", index=0, id="a")

    assert place(first, again) == [(0, True), (0, False)]


def test_long_arguments_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with each of many fragments does not make each look at all that came before."""
    read: list[int] = []
    scan = call_arguments.MARKS.finditer

    class Counting:
        def finditer(self, text: str) -> Any:
            read.append(len(text))
            return scan(text)

    monkeypatch.setattr(call_arguments, "MARKS", Counting())
    piece = '{"a":[{}]},'
    place(*[call("f", text, index=0) for text in ('{"x":[', *[piece] * 500)])

    assert sum(read) <= 500 * len(piece) + 6


@pytest.mark.parametrize(
    "later",
    [
        call(arguments="}", index=0, id="other"),
        call("f", "}", index=0, id="other"),
        call("f", "}", index=0),
        call("f", "}", index=0, id="a"),
    ],
)
def test_known_index_goes_on_where_nothing_says_otherwise(later: Fragment) -> None:
    """Another id, a repeated name, or both begin no call while the object is open."""
    assert place(call("f", "{", index=0, id="a"), later) == [(0, True), (0, False)]


def test_later_fragments_have_only_what_is_new() -> None:
    """Clients put ids and names together as they do arguments: `call_1call_1`, `ff`."""
    calls = StreamedCalls("chatcmpl-1", 0)
    repeated = call("f", '{"a"', index=0, id="call_1", type="function")
    found = [calls.reshape(one) for one in (repeated, repeated, call("f", ":1}", index=0))]

    assert found == [
        {
            "index": 0,
            "id": "call_1",
            "type": "function",
            "function": {"name": "f", "arguments": '{"a"'},
        },
        {"index": 0, "function": {"arguments": '{"a"'}},
        {"index": 0, "function": {"arguments": ":1}"}},
    ]


def test_name_in_parts_or_late_is_sent() -> None:
    """Before the arguments, what differs from the name so far goes on with it."""
    calls = StreamedCalls("chatcmpl-1", 0)
    parts = [call(index=0, id="a"), call("get_", index=0), call("time", index=0)]
    found: list[Any] = [calls.reshape(part)["function"] for part in parts]

    assert [one.get("name") for one in found] == [None, "get_", "time"]
    assert [one["arguments"] for one in found] == ["", "", ""]


def test_custom_tools_have_no_arguments() -> None:
    """Their input is any text, and stays theirs alone."""
    calls = StreamedCalls("chatcmpl-1", 0)
    first = {"index": 0, "id": "a", "type": "custom", "custom": {"name": "sh", "input": ""}}
    found = [calls.reshape(one) for one in (first, {"index": 0, "custom": {"input": "ls"}})]

    assert found == [first, {"index": 0, "custom": {"input": "ls"}}]
    assert calls.end([]) == []


NESTED = "".join(part["function"]["arguments"] for part in VLLM)
# What a vendor sends, fragment by fragment, and the calls that it means.
SENT: dict[str, tuple[list[list[Fragment]], list[tuple[str, str, str]]]] = {
    "parallel, all of index 0, in one chunk": (
        [[call("f", "{}", index=0, id="a"), call("g", '{"x":1}', index=0, id="b")]],
        [("a", "f", "{}"), ("b", "g", '{"x":1}')],
    ),
    "parallel, all of index 0, in several": (
        [[call("f", "{}", index=0, id="a")], [call("f", '{"x":1}', index=0, id="b")]],
        [("a", "f", "{}"), ("b", "f", '{"x":1}')],
    ),
    "id and name repeated": (
        [[call("f", part, index=0, id="a", type="function")] for part in ("", '{"x"', ":1}")],
        [("a", "f", '{"x":1}')],
    ),
    "another id with each part": ([[part] for part in VLLM], [("chatcmpl-tool-0", "f", NESTED)]),
    "parallel, of one function, without ids": (
        [[call("f", "{}", index=0, id=""), call("f", '{"x":1}', index=0, id="")]],
        [("call_1_0_0", "f", "{}"), ("call_1_0_1", "f", '{"x":1}')],
    ),
    "parallel, with the name for an id": (
        [[call("f", "{}", index=0, id="f")], [call("f", '{"x":1}', index=0, id="f")]],
        [("f", "f", "{}"), ("call_1_0_1", "f", '{"x":1}')],
    ),
    "no arguments": ([[call("f", index=0, id="a")]], [("a", "f", "{}")]),
    "null arguments": (
        [[{"index": 0, "id": "a", "function": {"name": "f", "arguments": None}}]],
        [("a", "f", "{}")],
    ),
    "empty arguments of one of two": (
        [[call("f", "", index=0, id="a")], [call("g", '{"x":1}', index=1, id="b")]],
        [("a", "f", "{}"), ("b", "g", '{"x":1}')],
    ),
}
# The chunks behind: a finish, one with the last call, or a [DONE] without.
FINISHES = ("own chunk", "last call", "none")


def answer(deltas: list[list[Fragment]], finish: str) -> httpx.MockTransport:
    """Return a vendor's stream in OpenAI's form, as a server that sends nothing else."""
    form = StreamForm(completion_id="chatcmpl-1", model="m", now=1)
    choices: list[Any] = [{"index": 0, "delta": {"tool_calls": calls}} for calls in deltas]
    if finish == "own chunk":
        choices.append({"index": 0, "delta": {}})
    if finish != "none":
        choices[-1]["finish_reason"] = "tool_calls"
    chunks = [form.reshape({"choices": [choice]}) for choice in choices]
    shaped = [chunk for chunk in chunks if chunk] + form.close_choices(is_at_limit=False)
    form.close_calls(shaped)
    events = [f"data: {json.dumps(chunk.payload)}\n\n" for chunk in shaped]
    body = "".join([*events, "data: [DONE]\n\n"])
    headers = {"content-type": "text/event-stream"}
    return httpx.MockTransport(lambda _: httpx.Response(200, headers=headers, text=body))


@pytest.mark.parametrize("finish", FINISHES)
@pytest.mark.parametrize("case", SENT)
def test_openais_stream_helper_reads_the_calls(case: str, finish: str) -> None:
    """Whole and one by one, as the vendor meant them."""
    deltas, expected = SENT[case]
    http = httpx.Client(transport=answer(deltas, finish))
    client = OpenAI(api_key="k", base_url="http://fake", http_client=http)
    with client.chat.completions.stream(model="m", messages=[]) as stream:
        calls = stream.get_final_completion().choices[0].message.tool_calls or []

    assert expected == [(one.id, one.function.name, one.function.arguments) for one in calls]


@pytest.mark.parametrize("finish", FINISHES)
@pytest.mark.parametrize("case", SENT)
def test_langchain_reads_the_calls(case: str, finish: str) -> None:
    """Each with its arguments parsed; none is invalid."""
    deltas, expected = SENT[case]
    http = httpx.Client(transport=answer(deltas, finish))
    llm = ChatOpenAI(
        model="m", api_key=SecretStr("k"), base_url="http://fake", http_client=http, streaming=True
    )
    message = llm.invoke("hi")

    assert message.invalid_tool_calls == []
    assert [(one[0], one[1], json.loads(one[2])) for one in expected] == [
        (found["id"], found["name"], found["args"]) for found in message.tool_calls
    ]


def close(*choices: dict[str, Any]) -> list[Any]:
    """Return the tool calls' fragments of each chunk once all of them have come."""
    form = StreamForm(completion_id="chatcmpl-1", model="m", now=1)
    chunks = [chunk for one in choices if (chunk := form.reshape({"choices": [one]}))]
    form.close_calls(chunks)
    found: list[Any] = [chunk.payload["choices"] for chunk in chunks]
    return [choice["delta"].get("tool_calls") for [choice] in found]


@pytest.mark.parametrize("reason", ["length", "content_filter", "model_length", "safety"])
def test_call_that_was_cut_off_gets_no_arguments(reason: str) -> None:
    """A call whose arguments did not come in time must not look like one that has none."""
    begun = {"delta": {"tool_calls": [call("f", index=0, id="a")]}}

    assert close(begun, {"delta": {}, "finish_reason": reason})[1] is None


@pytest.mark.parametrize("reason", ["tool_calls", "stop", "function_call"])
def test_arguments_behind_the_finish_are_all_there_are(reason: str) -> None:
    """No empty object is put before them, though a finish reason has come already."""
    begun = {"delta": {"tool_calls": [call("f", "", index=0, id="a")]}, "finish_reason": reason}
    later = {"delta": {"tool_calls": [call(arguments='{"x":1}', index=0)]}}
    [[first], [second]] = close(begun, later)

    assert [first["function"]["arguments"], second["function"]["arguments"]] == ["", '{"x":1}']


def test_call_that_begins_behind_the_finish_is_begun_before_it_is_filled_in() -> None:
    """The empty object comes with it, not with the finish."""
    begun = {"delta": {"tool_calls": [call("f", index=0, id="a")]}}
    [none, [found]] = close({"delta": {}, "finish_reason": "stop"}, begun)

    assert none is None
    assert (found["id"], found["function"]) == ("a", {"name": "f", "arguments": "{}"})
