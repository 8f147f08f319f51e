"""A body against catalog and key."""

from dataclasses import replace
from typing import Any

import pytest
from tollgate.core.catalog import Catalog
from tollgate.core.search_message import FRAME_TOKENS_MAX
from tollgate.errors import (
    ContextLengthExceededError,
    InvalidRequestError,
    ModelNotAllowedError,
    ModelNotFoundError,
    WebSearchQueryMissingError,
    WebSearchUnavailableError,
)
from tollgate.ledger.model import Key
from tollgate.metering.orders import ChatOrder, quote_order, read_order

GOOD: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def order(catalog: Catalog, key: Key, **fields: Any) -> ChatOrder:
    body = {name: value for name, value in {**GOOD, **fields}.items() if value is not ...}
    return read_order(body, key=key, request_id="r", catalog=catalog)


def test_a_plain_order(catalog: Catalog, key: Key) -> None:
    """Defaults, the id, and a body without our own fields but with all others."""
    found = order(catalog, key, official=False, temperature=0.5, unknown={"x": 1})

    assert found.completion_id == "chatcmpl-r"
    assert (found.is_stream, found.has_usage_chunk, found.choices) == (False, False, 1)
    assert (found.output_tokens_asked, found.tier_percent) == (None, 100)
    assert found.body == {"messages": GOOD["messages"], "temperature": 0.5, "unknown": {"x": 1}}


@pytest.mark.parametrize(
    ("fields", "is_official"),
    [({}, False), ({"model": "m-official"}, True), ({"official": True}, True)],
)
def test_official(catalog: Catalog, key: Key, fields: dict[str, Any], *, is_official: bool) -> None:
    """By suffix or in the body."""
    assert is_official is order(catalog, key, **fields).name.is_official


def test_stream_options(catalog: Catalog, key: Key) -> None:
    """What decides the caller's view."""
    found = order(catalog, key, stream=True, stream_options={"include_usage": True}, n=3)

    assert (found.is_stream, found.has_usage_chunk, found.choices) == (True, True, 3)


@pytest.mark.parametrize(
    ("fields", "asked"),
    [
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 7}, 7),
        ({"max_tokens": 5, "max_completion_tokens": 7}, 5),
        ({"max_tokens": None}, None),
    ],
)
def test_output_limit(
    catalog: Catalog, key: Key, fields: dict[str, Any], asked: int | None
) -> None:
    """Either field, the smaller of both."""
    assert asked == order(catalog, key, **fields).output_tokens_asked


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": ...}, "model"),
        ({"model": 5}, "model"),
        ({"model": ""}, "model"),
        ({"messages": ...}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": {}}, "messages"),
        ({"messages": ["x"]}, "messages[0]"),
        ({"messages": [{"role": "user"}, {"content": "x"}]}, "messages[1]"),
        ({"stream": "true"}, "stream"),
        ({"stream": 1}, "stream"),
        ({"official": "yes"}, "official"),
        ({"stream_options": []}, "stream_options"),
        ({"n": 0}, "n"),
        ({"n": 129}, "n"),
        ({"n": True}, "n"),
        ({"n": 1.5}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"max_completion_tokens": -1}, "max_completion_tokens"),
        ({"service_tier": "priority"}, "service_tier"),
        ({"service_tier": 5}, "service_tier"),
    ],
)
def test_mistakes_name_their_field(
    catalog: Catalog, key: Key, fields: dict[str, Any], param: str
) -> None:
    """What metering reads must be right; the path says where it is not."""
    with pytest.raises(InvalidRequestError) as caught:
        order(catalog, key, **fields)

    assert param == caught.value.param


@pytest.mark.parametrize(("tier", "percent"), [("auto", 100), ("default", 100), ("flex", 50)])
def test_service_tiers(catalog: Catalog, key: Key, tier: str, percent: int) -> None:
    """The plain ones are plain, a priced one has its percentage."""
    assert percent == order(catalog, key, service_tier=tier).tier_percent


@pytest.mark.parametrize("model", ["x", "unpriced", "unpriced-official", "web-x"])
def test_models_that_are_not_sold(catalog: Catalog, key: Key, model: str) -> None:
    """Unknown and unpriced are the same to a caller."""
    with pytest.raises(ModelNotFoundError):
        order(catalog, key, model=model)


def test_web_search_is_not_configured(catalog: Catalog, key: Key) -> None:
    """The prefix is understood, and there is no provider."""
    with pytest.raises(WebSearchUnavailableError):
        order(catalog, key, model="web-m")


def test_web_order_has_a_query_and_providers(web_catalog: Catalog, key: Key) -> None:
    """The last user message; the body goes upstream as it came. Without the prefix, no search."""
    found = order(web_catalog, key, model="web-m-official")

    assert found.search is not None
    assert found.search.query == "hi"
    assert [provider.name for provider in found.search.providers] == ["dear", "cheap"]
    assert found.body == {"messages": GOOD["messages"]}
    assert found.name.is_official
    assert order(web_catalog, key).search is None


def test_web_order_without_words(web_catalog: Catalog, key: Key) -> None:
    """Nothing can be searched for where no user has said anything; bad messages come first."""
    with pytest.raises(WebSearchQueryMissingError):
        order(web_catalog, key, model="web-m", messages=[{"role": "system", "content": "x"}])
    with pytest.raises(InvalidRequestError) as caught:
        order(web_catalog, key, model="web-m", messages=[])
    assert caught.value.code is None


def test_search_is_quoted_at_its_most(web_catalog: Catalog, key: Key) -> None:
    """The dearest provider, and prompt tokens for all that results may add."""
    found = quote_order(order(web_catalog, key, model="web-m", max_tokens=10))

    assert (found.search, found.search_tokens) == (500, FRAME_TOKENS_MAX + 200)
    assert found.prompt_tokens == 8 + found.search_tokens
    assert found.worst == 8 + FRAME_TOKENS_MAX + 200 + 40 + 500


def test_results_give_way_to_the_prompt(web_catalog: Catalog, key: Key) -> None:
    """They get half of what the prompt leaves; only where no message fits is it refused."""

    def say(words: int) -> ChatOrder:
        messages = [{"role": "user", "content": "word " * words}]
        return order(web_catalog, key, model="web-m", messages=messages)

    room = 2000 - 1608 - FRAME_TOKENS_MAX
    tight = quote_order(say(1600))
    assert tight.search_tokens == FRAME_TOKENS_MAX + room // 2 < FRAME_TOKENS_MAX + 200
    assert tight.output_tokens_max == room - room // 2
    with pytest.raises(ContextLengthExceededError):
        quote_order(say(1800))


@pytest.mark.parametrize(
    ("asked", "results", "output"),
    [(10, 200, 10), (592, 144, 592), (700, 36, 700), (740, 0, 736), (9000, 0, 736)],
)
def test_results_give_way_to_the_asked_answer(
    web_catalog: Catalog, key: Key, asked: int, results: int, output: int
) -> None:
    """They get what prompt and asked output leave; only their frame can shorten the answer."""
    messages = [{"role": "user", "content": "word " * 1000}]
    found = quote_order(order(web_catalog, key, model="web-m", messages=messages, max_tokens=asked))

    assert found.search_tokens == FRAME_TOKENS_MAX + results
    assert found.output_tokens_max == output


def test_keys_list_of_models(catalog: Catalog, key: Key) -> None:
    """A key with a list opens only what is on it, with or without affixes."""
    assert order(catalog, replace(key, models=frozenset({"m"})), model="m-official")
    with pytest.raises(ModelNotAllowedError):
        order(catalog, replace(key, models=frozenset({"other"})))


def test_quote_counts_the_prompt_and_bounds_the_output(catalog: Catalog, key: Key) -> None:
    """8 tokens of prompt; the model's limit, the caller's, or what the context leaves."""
    free = quote_order(order(catalog, key))
    asked = quote_order(order(catalog, key, max_tokens=10, n=2))
    beyond = quote_order(order(catalog, key, max_tokens=5000))

    assert (free.prompt_tokens, free.output_tokens_max) == (8, 1000)
    assert (asked.output_tokens_max, asked.worst) == (10, 8 + 2 * 40)
    assert beyond.output_tokens_max == 1000


def test_long_prompts_leave_less_or_are_refused(catalog: Catalog, key: Key) -> None:
    """What the prompt takes of the context the output cannot have."""

    def say(words: int) -> ChatOrder:
        return order(catalog, key, messages=[{"role": "user", "content": "word " * words}])

    assert quote_order(say(1500)).output_tokens_max < 500
    with pytest.raises(ContextLengthExceededError):
        quote_order(say(2500))


def test_estimates_do_not_shorten_the_answer(catalog: Catalog, key: Key) -> None:
    """A file that may fill the context is held for, and leaves the answer its whole limit."""
    file = {"type": "file", "file": {"file_data": "A" * 1_000_000}}
    found = quote_order(order(catalog, key, messages=[{"role": "user", "content": [file]}]))

    assert (found.prompt_tokens, found.output_tokens_max) == (2000, 1000)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, (False, False)),
        ({"modalities": ["text", "audio"]}, (False, True)),
        (
            {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]},
            (True, False),
        ),
    ],
)
def test_audio_is_noticed(
    catalog: Catalog, key: Key, fields: dict[str, Any], expected: tuple[bool, bool]
) -> None:
    """Sound in or out is held at its own price."""
    found = quote_order(order(catalog, key, **fields))

    assert expected == (found.has_audio_input, found.has_audio_output)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"Max_Tokens": 5}, "Max_Tokens"),
        ({"N": 9}, "N"),
        ({"MODEL": "x"}, "MODEL"),
        ({"Service_Tier": "priority"}, "Service_Tier"),
        ({"\u017ftream": True}, "\u017ftream"),
        ({"stream_options": {"Include_Usage": False}}, "stream_options.Include_Usage"),
        ({"messages": [{"role": "user", "Content": "x"}]}, "messages[0].Content"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"Web_Search_Options": {}}, "Web_Search_Options"),
    ],
)
def test_fields_that_cost_without_being_counted(
    catalog: Catalog, key: Key, fields: dict[str, Any], param: str
) -> None:
    """In another case, which Go reads all the same, or refused by the catalog; named as sent."""
    with pytest.raises(InvalidRequestError) as caught:
        order(catalog, key, **fields)

    assert caught.value.param == param


def test_refused_field_of_null(catalog: Catalog, key: Key) -> None:
    """It asks for nothing."""
    assert order(catalog, key, web_search_options=None).choices == 1
