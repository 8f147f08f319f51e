"""Vendors' usage objects, made one: counts that add up, details kept, no cost of the operator's.

What vendors do differently is listed in docs/wire-format.md#usage; each case has a test.
"""

from collections.abc import Mapping

from tollgate.core.prices import Usage
from tollgate.core.units import Tokens

_COUNT_MAX = 2**53
_DETAILS = ("prompt_tokens_details", "completion_tokens_details")
_DETAIL_KINDS = {
    "prompt_tokens_details": {
        "cached": "cached_tokens",
        "cache_write": "cache_write_tokens",
        "audio_prompt": "audio_tokens",
        "image_prompt": "image_tokens",
        "cached_image": "cached_image_tokens",
    },
    "completion_tokens_details": {
        "reasoning": "reasoning_tokens",
        "audio_completion": "audio_tokens",
        "image_completion": "image_tokens",
    },
}
_THINGS = {"images": "images", "search": "searches"}


def read_count(value: object) -> int | None:
    """Return a token count, or None where the value is none (bool, text, NaN, absurdly large)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not -_COUNT_MAX < value < _COUNT_MAX:
        return None
    return max(0, int(value))


def read_counts(value: object) -> dict[str, int]:
    """Return the whole-number entries of a details object."""
    if not isinstance(value, Mapping):
        return {}
    counts = {str(name): read_count(entry) for name, entry in value.items()}
    return {name: count for name, count in counts.items() if count is not None}


def _first(*counts: int | None) -> int:
    """Return the first count that is there and not 0, else 0."""
    return next((count for count in counts if count), 0)


def read_usage(raw: object) -> Usage | None:
    """Return what an upstream reported, or None where it reported no complete pair of counts.

    - Tokens that are only in the total (thinking at Gemini, reasoning at xAI) become completion
      tokens, since they are sold as output.
    - Parts larger than their whole are cut to it; audio first, as the dearest.
    """
    if not isinstance(raw, Mapping):
        return None
    prompt = read_count(raw.get("prompt_tokens"))
    reported = read_count(raw.get("completion_tokens"))
    if prompt is None or reported is None:
        return None
    completion = max(reported, (read_count(raw.get("total_tokens")) or 0) - prompt)
    return _assemble(raw, prompt, completion, hidden=completion - reported)


def _assemble(raw: Mapping[str, object], prompt: int, completion: int, *, hidden: int) -> Usage:
    """Cut the parts to their wholes and keep upstream's details beside them."""
    inputs, outputs = (read_counts(raw.get(name)) for name in _DETAILS)
    audio_prompt = min(inputs.get("audio_tokens", 0), prompt)
    cached = min(
        _first(
            inputs.get("cached_tokens"),
            read_count(raw.get("cached_tokens")),
            read_count(raw.get("prompt_cache_hit_tokens")),
        ),
        prompt - audio_prompt,
    )
    cache_write = min(inputs.get("cache_write_tokens", 0), prompt - audio_prompt - cached)
    audio_completion = min(outputs.get("audio_tokens", 0), completion)
    reasoning = min(
        _first(outputs.get("reasoning_tokens"), read_count(raw.get("reasoning_tokens")), hidden),
        completion - audio_completion,
    )
    if cached or "cached_tokens" in inputs:
        inputs["cached_tokens"] = cached
    if reasoning or "reasoning_tokens" in outputs:
        outputs["reasoning_tokens"] = reasoning
    details = zip(_DETAILS, (inputs, outputs), strict=True)
    return Usage(
        prompt=Tokens(prompt),
        completion=Tokens(completion),
        cached=Tokens(cached),
        cache_write=Tokens(cache_write),
        audio_prompt=Tokens(audio_prompt),
        reasoning=Tokens(reasoning),
        audio_completion=Tokens(audio_completion),
        details={name: counts for name, counts in details if counts},
    )


def usage_json(usage: Usage) -> dict[str, object]:
    """Return OpenAI's `usage` object; `total_tokens` is always the sum."""
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.total,
        **usage.details,
    }


def usage_counts(usage: Usage) -> dict[str, int]:
    """Return the non-zero counts by kind, as usage records and day sums keep them."""
    kinds = (
        "prompt",
        "completion",
        "cached",
        "cache_write",
        "audio_prompt",
        "reasoning",
        "audio_completion",
        "image_prompt",
        "cached_image",
        "image_completion",
        "images",
    )
    return {kind: count for kind in kinds if (count := getattr(usage, kind))}


def counts_json(counts: Mapping[str, int]) -> dict[str, object]:
    """Return a usage record's counts by kind as OpenAI's `usage`; a detail that is 0 is left out.

    Beside the tokens: `images`, how many an image request got, and `searches` of the web.
    """
    prompt, completion = counts.get("prompt", 0), counts.get("completion", 0)
    usage: dict[str, object] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    for name, kinds in _DETAIL_KINDS.items():
        details = {kinds[kind]: counts[kind] for kind in kinds if counts.get(kind)}
        if details:
            usage[name] = details
    return usage | {name: counts[kind] for kind, name in _THINGS.items() if counts.get(kind)}
