"""What somebody has in hand after one answer: the common ground of oracle and clients."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One choice. `calls`: id, name and arguments of each tool call.

    `audio`: its transcript; `audio_data`: how many characters of base64 came. `sources`: the
    addresses of its citations.
    """

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    finish: str | None = None
    audio: str = ""
    audio_data: int = 0
    sources: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRead:
    """Tokens, as OpenAI counts them: cached inside of prompt, reasoning inside of completion."""

    prompt: int
    completion: int
    cached: int = 0
    reasoning: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRead:
    """An error; inside a stream that had begun it has no status."""

    status: int | None = None
    code: str | None = None
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One answer. `is_failed`: an error ended it; `error` is what a client knows of that.

    `warnings`: whatever a client said beside; `images` and `models`: of those endpoints. The wire
    itself is read for `quota`, in points as it was shown last, and `completion_id` alone.
    """

    choices: dict[int, Choice] = field(default_factory=dict)
    usage: UsageRead | None = None
    is_failed: bool = False
    error: ErrorRead | None = None
    images: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    quota: float | None = None
    completion_id: str | None = None


def reading_from_json(raw: dict[str, Any]) -> Reading:
    """Return what the Node clients print, which leave out what is empty."""
    choices = {
        int(index): Choice(
            **{
                name: value
                for name, value in choice.items()
                if value is not None and name != "calls"
            },
            calls=[(call[0] or "", call[1], call[2]) for call in choice.get("calls") or [] if call],
        )
        for index, choice in (raw.get("choices") or {}).items()
    }
    usage = raw.get("usage")
    error = raw.get("error")
    return Reading(
        choices=choices,
        usage=UsageRead(**usage) if usage else None,
        is_failed=error is not None,
        error=ErrorRead(**error) if error else None,
        images=raw.get("images") or [],
        models=raw.get("models") or [],
        warnings=raw.get("warnings") or [],
    )


def differences(expected: Reading, seen: Reading) -> list[str]:
    """Return where two readings differ, each with both sides, cut short."""
    wanted, got = asdict(expected), asdict(seen)
    return [
        f"{name}: expected {str(wanted[name])[:300]}, read {str(got[name])[:300]}"
        for name in wanted
        if wanted[name] != got[name]
    ]
