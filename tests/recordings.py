"""The recorded answers of real vendors, where the folder is beside the project."""

import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

_BESIDE = Path(__file__).parent.parent.parent / "shared" / "recordings"
FOLDER = Path(os.environ.get("TOLLGATE_RECORDINGS", _BESIDE))


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One recorded body. `body` is the vendor's bytes as the recording holds them."""

    name: str
    vendor: str
    status: int
    content_type: str | None
    endpoint: str
    is_stream: bool
    body: bytes

    @property
    def is_chat(self) -> bool:
        """Whether it answers a chat completion (not images, models or old completions)."""
        return "chat/completions" in self.endpoint and "legacy-completions" not in self.name


@cache
def load_recordings() -> tuple[Recording, ...]:
    """Return all recordings, sorted by name; none where the folder is absent."""
    return tuple(_load(folder) for folder in sorted(FOLDER.glob("*/")) if folder.is_dir())


def _load(folder: Path) -> Recording:
    meta = json.loads((folder / "meta.json").read_text())
    body = next(path for path in folder.iterdir() if path.name.startswith("response."))
    return Recording(
        name=folder.name,
        vendor=meta["vendor"],
        status=meta.get("status") or 200,
        content_type=meta.get("content_type"),
        endpoint=meta.get("endpoint") or "",
        is_stream=body.suffix == ".sse",
        body=body.read_bytes(),
    )


def find_image_recordings() -> list[Recording]:
    """Return the recorded answers of image endpoints, good and bad."""
    return [recording for recording in load_recordings() if "images/" in recording.endpoint]


def find_recordings(*, is_stream: bool, ok: bool = True) -> list[Recording]:
    """Return chat recordings that are streams or not, answered with 200 or with an error."""
    return [
        recording
        for recording in load_recordings()
        if recording.is_chat
        and recording.is_stream is is_stream
        and (recording.status == 200) is ok
    ]


def parametrize(recordings: list[Recording]) -> pytest.MarkDecorator:
    """Return a parametrization over `recordings`; without the folder, one that skips."""
    if recordings:
        return pytest.mark.parametrize(
            "recording", recordings, ids=[recording.name for recording in recordings]
        )
    skip = pytest.mark.skip(
        reason="the vendors' recordings are neither in ../shared/recordings nor in the folder that"
        " TOLLGATE_RECORDINGS names"
    )
    return pytest.mark.parametrize("recording", [pytest.param(None, marks=skip, id="absent")])
