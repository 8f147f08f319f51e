"""What a `web-` request searches for."""

from typing import Any

import pytest
from tollgate.core.search_query import find_query


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


TOOL_CALL = {"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]}
TOOL_RESULT = {"role": "tool", "tool_call_id": "c", "content": "21 degrees"}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.org/x.png"}}


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([user("first"), {"role": "assistant", "content": "yes"}, user("second")], "second"),
        ([user("weather in Rome"), TOOL_CALL, TOOL_RESULT], "weather in Rome"),
        ([user("why?"), {"role": "assistant", "content": "Because"}], "why?"),
        ([user([{"type": "text", "text": "what is"}, IMAGE, {"type": "text", "text": "this"}])],
         "what is this"),
        ([user("a question"), user([IMAGE])], "a question"),
        ([user("a question"), user("  \n ")], "a question"),
        ([{"role": "system", "content": "be kind"}, user("hi")], "hi"),
        ([user(" two\n\twords ")], "two words"),
        ([user("what does <div> do & why")], "what does <div> do & why"),
        ([user("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645")],
         "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"),
        ([user("\U0001f469\u200d\U0001f33e at work")], "\U0001f469\u200d\U0001f33e at work"),
        ([user("a question"), user("\u200d \u200c")], "a question"),
        ([user("hid\u200bden\u202e and \ud83d half\x00")], "hidden and half"),
    ],
)  # fmt: skip
def test_last_user_text_is_the_query(messages: list[Any], expected: str) -> None:
    """Parts are joined, what follows is skipped, and what has no text gives way to what has."""
    assert expected == find_query(messages)


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "system", "content": "be kind"}],
        [user(None)],
        [user([IMAGE])],
        [user([{"type": "text", "text": 5}, "text", None])],
        [user({"text": "no list"})],
        [user("\u200b")],
        [user("\u200c\u200d")],
        [user("\u3164\ufe0f")],
    ],
)
def test_without_user_text_there_is_no_query(messages: list[Any]) -> None:
    """Whatever the JSON is made of."""
    assert not find_query(messages)


def test_fifty_words() -> None:
    """Brave takes no more."""
    assert find_query([user("w " * 80)]) == ("w " * 50).strip()


def test_four_hundred_characters_to_a_words_end() -> None:
    """Brave and Tavily take no more; a single endless word is cut where it stands."""
    words = find_query([user("abcdefghijklmnopqrs " * 30)])

    assert (len(words), words.split()[-1]) == (399, "abcdefghijklmnopqrs")
    assert find_query([user("硬" * 1000)]) == "硬" * 400


def test_a_huge_message_is_not_read_whole() -> None:
    """Six megabytes in one text or in a million parts: the query is in the beginning."""
    assert len(find_query([user("x" * 6_000_000)])) == 400
    assert find_query([user([{"type": "text", "text": "y"}] * 100_000)]).startswith("y y y")
