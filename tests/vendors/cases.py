"""Which recording is asked for how: in its own form and the other one, by each client.

A job is one request of one client. Clients read in two ways, so that together they see every
column of docs/wire-format.md's table of streams.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Literal

from tests.recordings import Recording, load_recordings
from tests.vendors.errors import REFUSED_STREAMS
from tests.vendors.oracle import read_images, read_recording
from tests.vendors.readings import Reading

type Client = Literal["wire", "python", "node", "langchain", "ai-compatible", "ai-openai"]
type Kind = Literal["chat", "error", "images", "models", "completions"]

CLIENTS: tuple[Client, ...] = ("python", "node", "langchain", "ai-compatible", "ai-openai")
# (official name, include_usage) of the streams that a client asks for.
FORMS: dict[Client, tuple[tuple[bool, bool], ...]] = {
    "wire": ((False, False), (False, True), (True, True), (True, False)),
    "python": ((False, True), (True, False)),
    "node": ((False, False), (True, True)),
    "langchain": ((False, True), (True, True)),
    "ai-compatible": ((False, False), (True, True)),
    "ai-openai": ((False, True), (True, True)),
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One recording in one form. `is_turned`: it was recorded in the other."""

    recording: Recording
    is_stream: bool
    is_turned: bool = False

    @property
    def name(self) -> str:
        """The recording's, which is the model's too."""
        return self.recording.name

    @cached_property
    def expected(self) -> Reading:
        """What a good chat answer says."""
        return read_recording(self.recording)

    @property
    def is_broken(self) -> bool:
        """Whether it is a stream that an error ends."""
        return self.is_stream and self.expected.is_failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One request. `kind`: "chat", "images", "edits" or "models"; `is_raw`: to the vendor itself.

    `model`: the base name; each client has its own for errors, whose channel rests after one.
    """

    case: str
    client: Client
    kind: str = "chat"
    model: str
    is_stream: bool = False
    is_official: bool = False
    has_usage: bool = False
    is_raw: bool = False
    choices: int = 1
    tools: tuple[str, ...] = ()


def kind_of(recording: Recording) -> Kind:
    """Return what a recording is an answer to."""
    if "/models" in recording.endpoint and recording.endpoint.startswith("GET"):
        return "models"
    if "images/" in recording.endpoint:
        return "images"
    if recording.status != 200 or recording.name in REFUSED_STREAMS:
        return "error"
    return "chat" if recording.is_chat else "completions"


def find(kind: Kind) -> list[Recording]:
    """Return the recordings of this kind, sorted by name."""
    return [recording for recording in load_recordings() if kind_of(recording) == kind]


def chat_cases() -> Iterator[Case]:
    """Yield each good chat recording in its own form, and in the other if no error ends it."""
    for recording in find("chat"):
        case = Case(recording=recording, is_stream=recording.is_stream)
        yield case
        if not case.is_broken:
            yield Case(recording=recording, is_stream=not case.is_stream, is_turned=True)


def chat_jobs(case: Case, client: Client) -> Iterator[Job]:
    """Yield how a client asks for a chat case, each way for plain and `-official` names.

    The bytes themselves are looked at in all four forms that a stream has.
    """
    forms = FORMS[client] if case.is_stream else ((False, False), (True, False))
    calls = {name for choice in case.expected.choices.values() for _, name, _ in choice.calls}
    for is_official, has_usage in forms:
        yield Job(
            case=case.name,
            client=client,
            model=case.name,
            is_stream=case.is_stream,
            is_official=is_official,
            has_usage=has_usage,
            choices=len(case.expected.choices) or 1,
            tools=tuple(sorted(calls)),
        )


def is_limited(job: Job, cases: Mapping[tuple[str, bool], Case]) -> bool:
    """Whether the client has no means to read this answer, whoever sends it.

    It is given the vendor's own bytes too then, and has to come to the same.
    """
    if job.kind == "chat" and job.model == job.case:
        return _is_limited_chat(cases[job.case, job.is_stream], job.client)
    if job.client != "ai-openai" or job.kind not in ("images", "edits") or job.model != job.case:
        return False
    recording = next(entry for entry in load_recordings() if entry.name == job.case)
    return any(image.startswith("http") for image in read_images(recording))


def _is_limited_chat(case: Case, client: Client) -> bool:
    if client in ("python", "node", "wire"):
        return False
    has_several = case.is_stream and len(case.expected.choices) > 1
    return has_several or "custom-tool" in case.name


def error_model(case: str, client: Client) -> str:
    """Return the name of the model by which a client meets an error."""
    return f"{case}.{client}"


def error_jobs(recording: Recording, client: Client) -> Iterator[Job]:
    """Yield how a client meets an error: streaming and not, plain and `-official`."""
    is_image = "images/" in recording.endpoint
    styles = (False,) if is_image else (True,) if recording.is_stream else (False, True)
    for is_stream, is_official in product(styles, (False, True)):
        yield Job(
            case=recording.name,
            client=client,
            kind="images" if is_image else "chat",
            model=error_model(recording.name, client),
            is_stream=is_stream,
            is_official=is_official,
            has_usage=is_stream and client != "wire",
        )


def image_jobs(recording: Recording, client: Client) -> Iterator[Job]:
    """Yield how a client asks for images: whole, plain and `-official`, and as a stream."""
    kind = "edits" if "edits" in recording.endpoint else "images"
    forms = [(False, False), (False, True)]
    if kind == "images" and client in ("python", "node"):
        forms += [(True, False), (True, True)]
    for is_stream, is_official in forms:
        yield Job(
            case=recording.name,
            client=client,
            kind=kind,
            model=recording.name,
            is_stream=is_stream,
            is_official=is_official,
        )
