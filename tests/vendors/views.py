"""What of an answer a client has the means to show, whoever sent it.

Each thing left out here is a remark in docs/vendors.md. A client that joins or drops something is
so with OpenAI's own answers too.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from tests.vendors.cases import Case, Client, Job
from tests.vendors.readings import Choice, ErrorRead, Reading

# Clients that hand out arguments as the objects that they parsed.
PARSING = frozenset({"langchain", "ai-compatible", "ai-openai"})
type View = Callable[[Choice, bool], Choice]


def expect(case: Case, job: Job) -> Reading:
    """Return what the client has to read, given what the vendor's body says."""
    said = case.expected
    view = _VIEWS[job.client]
    choices = {index: view(choice, case.is_stream) for index, choice in said.choices.items()}
    if case.is_broken and job.client in _FIRST_ONLY:
        # The AI SDK has no reason but the error then, even where one came before.
        choices = {index: replace(choice, finish=None) for index, choice in choices.items()}
    has_usage = not case.is_stream or job.has_usage or not job.is_official
    return Reading(
        choices={0: choices[0]} if job.client in _FIRST_ONLY and choices else choices,
        usage=said.usage if has_usage and not case.is_broken else None,
        is_failed=case.is_broken,
        error=_told(said.error, job.client) if case.is_broken else None,
    )


def _told(error: ErrorRead | None, client: Client) -> ErrorRead | None:
    """Return what a client tells of an error in mid-stream: the AI SDK makes up its status."""
    if error is None or client not in _FIRST_ONLY:
        return error
    return ErrorRead(message=error.message)


def settle(expected: Reading, seen: Reading, job: Job) -> Reading:
    """Return `seen` with what no oracle can know taken out, where it is there as it must be.

    Those are ids of tool calls that the vendor sent none for, figures of a stream that broke off,
    figures that the gateway had to count by itself, and what a client that parses arguments makes
    of text that is no JSON.
    """
    choices = {
        index: _settle_choice(expected.choices.get(index), choice, is_parsing=job.client in PARSING)
        for index, choice in seen.choices.items()
    }
    if seen.is_failed and not choices and list(expected.choices.values()) == [Choice()]:
        choices = dict(expected.choices)  # an error before anything that the client would show
    is_counted = expected.usage is None and seen.usage is not None
    is_due = seen.is_failed or not (job.is_official and job.is_stream and not job.has_usage)
    usage = None if is_counted and is_due and _is_some(seen) else seen.usage
    return replace(seen, choices=choices, usage=usage, error=_told(seen.error, job.client))


def _is_some(seen: Reading) -> bool:
    return seen.is_failed or (seen.usage is not None and seen.usage.completion > 0)


def _settle_choice(expected: Choice | None, seen: Choice, *, is_parsing: bool) -> Choice:
    wanted = expected.calls if expected else []
    if len(wanted) != len(seen.calls):
        return seen
    calls = [
        (
            seen_id if call_id else "",
            name,
            arguments if _is_json(said) or not is_parsing else said,
        )
        for (call_id, _, said), (seen_id, name, arguments) in zip(wanted, seen.calls, strict=True)
    ]
    return replace(seen, calls=calls)


def _is_json(arguments: str) -> bool:
    try:
        json.loads(arguments or "{}")
    except ValueError:
        return False
    return True


def _as_is(choice: Choice, is_stream: bool) -> Choice:
    return choice


def _langchain(choice: Choice, is_stream: bool) -> Choice:
    shown = replace(choice, reasoning="", sources=[], calls=parsed(choice))
    return replace(shown, refusal="", audio="", audio_data=0) if is_stream else shown


def _ai_compatible(choice: Choice, is_stream: bool) -> Choice:
    return replace(
        choice,
        text=choice.text + choice.refusal,
        refusal="",
        audio="",
        audio_data=0,
        sources=[],
        calls=[call for call in parsed(choice) if choice.finish != "function_call"],
    )


def _ai_openai(choice: Choice, is_stream: bool) -> Choice:
    shown = _ai_compatible(choice, is_stream)
    spoken = "" if is_stream or choice.text else choice.audio
    return replace(shown, text=shown.text + spoken, reasoning="", sources=choice.sources)


def parsed(choice: Choice) -> list[tuple[str, str, str]]:
    """Return the calls with their arguments in the form that `json.dumps` gives a parsed object."""
    return [(call_id, name, _parse(arguments)) for call_id, name, arguments in choice.calls]


def _parse(arguments: str) -> str:
    if not _is_json(arguments):
        return arguments
    return json.dumps(json.loads(arguments or "{}"), sort_keys=True)


_FIRST_ONLY = {"ai-compatible", "ai-openai"}
_VIEWS: Mapping[Client, View] = MappingProxyType(
    {
        "wire": _as_is,
        "python": _as_is,
        "node": _as_is,
        "langchain": _langchain,
        "ai-compatible": _ai_compatible,
        "ai-openai": _ai_openai,
    }
)
