"""What is wrong with a reading: each kind of answer held against what the vendor's bytes say."""

from dataclasses import replace
from typing import Any

from tests.recordings import load_recordings
from tests.vendors.cases import Case, Job
from tests.vendors.errors import EXPECTED, SAID_BY_VENDOR
from tests.vendors.oracle import lacks_finish, read_error_message, read_images, read_model_ids
from tests.vendors.readings import Choice, Reading, differences
from tests.vendors.views import PARSING, expect, parsed, settle


def judge_chat(case: Case, job: Job, seen: Reading) -> list[str]:
    """Hold a chat answer against the oracle; of the bytes themselves only how they end."""
    expected = expect(case, job)
    if job.client == "wire":
        wanted = Reading(is_failed=expected.is_failed, error=expected.error)
        return differences(wanted, Reading(is_failed=seen.is_failed, error=seen.error))
    if job.client in PARSING:
        seen = _parse_calls(seen)
    return differences(expected, settle(expected, seen, job))


def judge_limited(case: Case | None, job: Job, seen: Reading, raw: Reading) -> list[str]:
    """Hold a client that cannot read the answer well against itself with the vendor's bytes.

    `case` None: it is an image answer, of which it reads nothing.
    """
    if raw.is_failed or case is None:
        fails, wanted = _how_it_fails(seen), _how_it_fails(raw)
        return [] if fails == wanted else [f"fails by {fails}, with the vendor's bytes by {wanted}"]
    expected = replace(expect(case, job), choices=_without_gaps(case, raw))
    settled = settle(expected, replace(seen, choices=_without_gaps(case, seen)), job)
    return [*seen.warnings, *differences(expected, settled)]


def _how_it_fails(reading: Reading) -> tuple[bool, list[str]]:
    """Return whether a client failed, and the names of what it raised."""
    return reading.is_failed, [warning.partition(":")[0] for warning in reading.warnings]


def _parse_calls(seen: Reading) -> Reading:
    """Return the reading with arguments in the form that clients which parse them leave."""
    choices = {
        index: replace(choice, calls=parsed(choice)) for index, choice in seen.choices.items()
    }
    return replace(seen, choices=choices)


def _without_gaps(case: Case, reading: Reading) -> dict[int, Choice]:
    """Return choices without what the vendor leaves out and the gateway makes up."""
    has_ids = all(call[0] for choice in case.expected.choices.values() for call in choice.calls)
    left: dict[str, Any] = {} if has_ids else {"calls": []}
    if lacks_finish(case.recording):
        left["finish"] = None
    return {index: replace(choice, **left) for index, choice in reading.choices.items()}


def judge_error(job: Job, seen: Reading) -> list[str]:
    """Hold an error against the row that it has to become, and its sentence against its owner."""
    number = job.case[:3]
    status, code = EXPECTED[number]
    if seen.error is None:
        return ["no error"]
    theirs = next(
        read_error_message(entry) for entry in load_recordings() if entry.name == job.case
    )
    said = seen.error.message
    problems = []
    if (seen.error.status, seen.error.code) != (status, code):
        problems.append(f"{seen.error.status} {seen.error.code}, expected {status} {code}")
    if number in SAID_BY_VENDOR and theirs and theirs not in said:
        problems.append(f"says {said}, not {theirs}")
    if number not in SAID_BY_VENDOR and theirs and theirs in said:
        problems.append(f"says what is the operator's: {said}")
    return problems if said else [*problems, "says nothing"]


def judge_images(job: Job, seen: Reading) -> list[str]:
    """Hold the images against the recorded ones."""
    recording = next(entry for entry in load_recordings() if entry.name == job.case)
    if seen.error:
        return [f"failed: {seen.error}"]
    return differences(Reading(images=read_images(recording)), seen)


def judge_models(job: Job, seen: Reading) -> list[str]:
    """Look for each recorded name in a sorted list."""
    recording = next(entry for entry in load_recordings() if entry.name == job.case)
    missing = set(read_model_ids(recording)) - set(seen.models)
    problems = [f"missing: {sorted(missing)[:5]}"] if missing else []
    return problems if seen.models == sorted(seen.models) else [*problems, "not sorted"]
