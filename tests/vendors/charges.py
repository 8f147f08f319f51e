"""What was charged for an answer, held against the prices of tests/e2e/test_vendors.py."""

from collections.abc import Iterator

from tollgate.core.tokens import count_text

from tests.e2e.gateway import Record
from tests.recordings import Recording
from tests.vendors.cases import Case, find
from tests.vendors.oracle import read_images, read_output
from tests.vendors.readings import UsageRead

PROMPT_TOKENS = 8  # "hello" as OpenAI counts a prompt: 3 a message, 3 for the answer, role and text


def judge_record(record: Record, case: Case | None) -> Iterator[str]:
    """Yield what is wrong with a record; `case` None: it is an image request's."""
    if case is None:
        price = _image_price(next(entry for entry in find("images") if entry.name == record.model))
    else:
        used = _usage(record, case)
        uncached = used.prompt - used.cached
        price = 250 * uncached + 125 * used.cached + 1000 * used.completion
        if record.is_exact is _is_counted(case):
            yield "exact or not"
        if record.outcome != ("broken" if case.expected.is_failed else "complete"):
            yield "outcome"
    if record.quota != price or price <= 0:
        yield f"{record.quota} charged, not {price}"


def _usage(record: Record, case: Case) -> UsageRead:
    """Return what a chat answer used, by the oracle: the vendor's report, or its output counted.

    The prompt is counted as well then, and is `PROMPT_TOKENS` but for the AI SDK, which is given
    tools to call.
    """
    if not _is_counted(case):
        assert case.expected.usage is not None
        return case.expected.usage
    has_calls = any(choice.calls for choice in case.expected.choices.values())
    prompt = max(PROMPT_TOKENS, record.tokens["prompt"]) if has_calls else PROMPT_TOKENS
    return UsageRead(
        prompt=prompt, completion=count_text(read_output(case.recording), "o200k_base")
    )


def _is_counted(case: Case) -> bool:
    """Whether the vendor leaves the counting to the gateway: no usage, or none for its output."""
    used = case.expected.usage
    return used is None or (used.completion == 0 and bool(read_output(case.recording)))


def _image_price(recording: Recording) -> int:
    if recording.name.startswith("045-"):
        return 14 * 500 + 272 * 3000
    return 1_000_000 * len(read_images(recording))
