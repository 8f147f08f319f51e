"""The table of docs/vendors.md, written of what the clients read.

A cell names the forms in which a client read the recording as the vendor's own bytes have it:
S a stream, W a whole answer, each with a star for an `-official` name. ✗ before a form: it failed;
in brackets: the client has no means to read it well, whoever sends it.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path

from tests.recordings import Recording, load_recordings
from tests.vendors.cases import CLIENTS, Client, Job, kind_of
from tests.vendors.oracle import lacks_finish, read_images, read_recording
from tests.vendors.readings import Reading

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "vendors.md"
_BEGIN = "<!-- Written by `make vendors` from here on. -->"
_END = "<!-- Written by `make vendors` up to here. -->"
_TITLES: Mapping[Client, str] = {
    "python": "openai (Python)",
    "node": "openai (Node)",
    "langchain": "LangChain",
    "ai-compatible": "AI SDK, openai-compatible",
    "ai-openai": "AI SDK, openai",
}
OK = 200
_NO_CLIENT = "—"
_REMARKS = {
    "reasoning": "Reasoning: LangChain's ChatOpenAI and the AI SDK's `openai` provider do not show"
    " it, whoever sends it.",
    "refusal": "Refusal: the AI SDK shows it as text; LangChain not in a stream.",
    "audio": "Audio: the AI SDK shows at most the transcript of a whole answer, LangChain's streams"
    " nothing of it.",
    "choices": "Several choices: in a stream LangChain and the AI SDK join them, of a whole answer"
    " the AI SDK takes the first. They read the vendor's own bytes in the same way.",
    "sources": "Citations: LangChain and the AI SDK's `openai-compatible` provider do not show"
    " them.",
    "custom": "A call of a custom tool: LangChain and the AI SDK know function tools only, and fail"
    " on the vendor's own bytes in the same way.",
    "function_call": "`function_call`, OpenAI's form before tools: the AI SDK does not show it.",
    "finish": "The vendor names no finish reason; the gateway does.",
    "counted": "The vendor reports no usage; the gateway counts.",
    "error": "The vendor's stream ends with an error: so it does for every client, after the same"
    " output, and with the same sentence. The AI SDK puts a status of its own to it. There is no"
    " whole answer to ask for.",
    "images": "LangChain's ChatOpenAI has no images. The AI SDK fetches an image that is an address"
    " by itself: here a stand-in answers. S: a whole answer, as the events of a stream.",
    "addresses": "Images that are addresses: the AI SDK's `openai` provider takes only images in"
    " base64, and fails on the vendor's own bytes in the same way.",
    "models": "The names are those of the catalog, which here has the recorded ones: the gateway"
    " asks no vendor. LangChain and the AI SDK have no list of models.",
    "completions": "`/v1/completions` is not served: 404 in OpenAI's form.",
}


def render(results: Mapping[Job, list[str]], limited: AbstractSet[Job]) -> str:
    """Return the document's generated part.

    `results`: what was wrong with each job. `limited`: those in which the client is held against
    itself with the vendor's own bytes.
    """
    recordings = load_recordings()
    numbers = {name: number for number, name in enumerate(_REMARKS, start=1)}
    rows = [_row(recording, results, limited, numbers) for recording in recordings]
    heads = ["recording", "vendor", "kind", *(_TITLES[client] for client in CLIENTS), "remarks"]
    table = [_line(heads), _line(["---"] * len(heads)), *rows]
    remarks = [f"{numbers[name]}. {text}" for name, text in _REMARKS.items()]
    return "\n".join([_summary(recordings, results), "", *table, "", *remarks])


def replace_in(document: str, part: str) -> str:
    """Return the document with `part` between its two marks."""
    before, _, rest = document.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n\n{part}\n\n{_END}{after}"


def _summary(recordings: tuple[Recording, ...], results: Mapping[Job, list[str]]) -> str:
    read = [recording for recording in recordings if kind_of(recording) != "completions"]
    vendors = {recording.vendor for recording in recordings}
    failed = sum(1 for problems in results.values() if problems)
    chunks = sum(recording.is_stream for recording in recordings)
    return (
        f"{len(recordings)} recordings of {len(vendors)} vendors: {chunks} streams,"
        f" {len(recordings) - chunks} bodies. {len(read)} of them are answers to what the gateway"
        f" serves, and were read in {len(results)} requests; {failed} of those failed."
    )


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _row(
    recording: Recording,
    results: Mapping[Job, list[str]],
    limited: AbstractSet[Job],
    numbers: Mapping[str, int],
) -> str:
    mine = {job: found for job, found in results.items() if job.case == recording.name}
    cells = [_cell(client, mine, limited) for client in CLIENTS]
    kind = kind_of(recording)
    form = "stream" if recording.is_stream else "body"
    shown = f"{kind}, {form}" if kind == "chat" else kind
    if kind == "error":
        shown = f"error {recording.status}"
    remarks = ", ".join(str(numbers[name]) for name in numbers if name in _find(recording))
    return _line([recording.name, recording.vendor, shown, *cells, remarks])


def _cell(client: Client, results: Mapping[Job, list[str]], limited: AbstractSet[Job]) -> str:
    marks: dict[str, str] = {}
    for job, problems in results.items():
        if job.client == client:
            form = ("S" if job.is_stream else "W") + ("*" if job.is_official else "")
            passed = f"({form})" if job in limited else form
            marks[form] = f"✗{form}" if problems else passed
    return " ".join(marks[form] for form in sorted(marks)) or _NO_CLIENT


def _find(recording: Recording) -> set[str]:
    kind = kind_of(recording)
    if kind == "chat":
        return _find_chat(recording, read_recording(recording))
    if "images/" in recording.endpoint and recording.status == OK:
        has_address = any(image.startswith("http") for image in read_images(recording))
        return {"images", "addresses"} if has_address else {"images"}
    return {kind} - {"error"}


def _find_chat(recording: Recording, said: Reading) -> set[str]:
    choices = said.choices.values()
    found = {
        name
        for name in ("reasoning", "refusal", "audio", "sources")
        if any(getattr(choice, name) for choice in choices)
    }
    raw = recording.body.decode()
    flags = {
        "choices": len(said.choices) > 1,
        "custom": "custom-tool" in recording.name,
        "function_call": '"function_call": {' in raw,
        "error": said.is_failed,
        "finish": not said.is_failed and lacks_finish(recording),
        "counted": said.usage is None or (said.usage.completion == 0 and bool(said.choices)),
    }
    return found | {name for name, is_so in flags.items() if is_so}
