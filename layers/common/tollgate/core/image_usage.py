"""An image answer's usage, read from the vendor's object, reckoned where there is none, shown.

OpenAI's form: `input_tokens` and `output_tokens`, each split into text and image tokens; some say
`prompt_tokens` and `completion_tokens`, as chat does. Vendors that sell by the image report none,
or only their price for it, which is the operator's affair.
"""

from collections.abc import Mapping

from tollgate.core.prices import Usage
from tollgate.core.units import Tokens
from tollgate.core.usage import read_count, read_counts

_INPUT, _OUTPUT = "input_tokens_details", "output_tokens_details"
_CHAT_NAMES: Mapping[str, str] = {
    "input_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens",
    _INPUT: "prompt_tokens_details",
    _OUTPUT: "completion_tokens_details",
}
_SHOWN = ("text_tokens", "image_tokens", "cached_tokens")


def read_image_usage(raw: object, *, images: int) -> Usage | None:
    """Return what an upstream reported for `images` images, or None without both token counts.

    A count of 0 output tokens beside an image is no report. Output that is not split is all
    image, input that is not split is all text: OpenAI reports both splits, and bills so. Parts
    larger than their whole are cut to it.
    """
    if not isinstance(raw, Mapping):
        return None
    named = {
        name: raw.get(other) if raw.get(name) is None else raw[name]
        for name, other in _CHAT_NAMES.items()
    }
    prompt, completion = read_count(named["input_tokens"]), read_count(named["output_tokens"])
    if prompt is None or not completion:
        return None
    inputs, outputs = _read_split(named[_INPUT]), _read_split(named[_OUTPUT])
    image_prompt = min(inputs.get("image_tokens", 0), prompt)
    cached, cached_image = _read_cached(named[_INPUT], prompt=prompt, image_prompt=image_prompt)
    text = min(outputs.get("text_tokens", 0), completion)
    return Usage(
        prompt=Tokens(prompt),
        completion=Tokens(completion),
        cached=Tokens(cached),
        image_prompt=Tokens(image_prompt),
        cached_image=Tokens(cached_image),
        image_completion=Tokens(completion - text),
        images=images,
        details={name: counts for name, counts in ((_INPUT, inputs), (_OUTPUT, outputs)) if counts},
    )


def _read_split(details: object) -> dict[str, int]:
    """Return what a split has of OpenAI's; a cost of the vendor's in it is not the caller's."""
    return {name: count for name, count in read_counts(details).items() if name in _SHOWN}


def _read_cached(details: object, *, prompt: int, image_prompt: int) -> tuple[int, int]:
    """Return the cached text and image tokens; what is not split is text as far as there is any."""
    fields = details if isinstance(details, Mapping) else {}
    split = read_counts(fields.get("cached_tokens_details"))
    cached = min(read_count(fields.get("cached_tokens")) or sum(split.values()), prompt)
    text = min(split.get("text_tokens", cached), prompt - image_prompt)
    return text, min(max(0, cached - text), image_prompt)


def image_usage_json(usage: Usage) -> dict[str, object]:
    """Return OpenAI's `usage` object of an image answer; `total_tokens` is always the sum."""
    return {
        "input_tokens": usage.prompt,
        "output_tokens": usage.completion,
        "total_tokens": usage.total,
        **usage.details,
    }


def reckon_image_usage(
    *, text_tokens: int, image_tokens: int, output_tokens: int, images: int
) -> Usage:
    """Return the usage of an answer whose upstream reported none, by the catalog's own rules."""
    prompt = text_tokens + image_tokens
    return Usage(
        prompt=Tokens(prompt),
        completion=Tokens(output_tokens),
        image_prompt=Tokens(image_tokens),
        image_completion=Tokens(output_tokens),
        images=images,
        is_exact=False,
        details={
            _INPUT: {"text_tokens": text_tokens, "image_tokens": image_tokens},
            _OUTPUT: {"text_tokens": 0, "image_tokens": output_tokens},
        },
    )


def add_usages(first: Usage, second: Usage) -> Usage:
    """Return the sum, details included: a stream's images each report their own."""
    return Usage(
        prompt=Tokens(first.prompt + second.prompt),
        completion=Tokens(first.completion + second.completion),
        cached=Tokens(first.cached + second.cached),
        image_prompt=Tokens(first.image_prompt + second.image_prompt),
        cached_image=Tokens(first.cached_image + second.cached_image),
        image_completion=Tokens(first.image_completion + second.image_completion),
        images=first.images + second.images,
        is_exact=first.is_exact and second.is_exact,
        details={
            name: _add_counts(first.details.get(name, {}), second.details.get(name, {}))
            for name in {**first.details, **second.details}
        },
    )


def _add_counts(first: Mapping[str, int], second: Mapping[str, int]) -> dict[str, int]:
    return {name: first.get(name, 0) + second.get(name, 0) for name in {**first, **second}}
