"""What a `web-` request searches for: the text of its last user message, cleaned and cut. Pure."""

from collections.abc import Mapping, Sequence
from itertools import islice

from tollgate.core.search_text import JOINERS, one_line

QUERY_CHARACTERS_MAX = 400
QUERY_WORDS_MAX = 50
_SCANNED_CHARACTERS_MAX = 20_000
_SCANNED_PARTS_MAX = 1000


def find_query(messages: Sequence[object]) -> str:
    """Return the query, or an empty text where no user message has any.

    The last user message that has text counts, whatever follows it (an assistant's message, a
    tool's result). Of content that is a list, the text parts are joined and the others skipped.
    Whitespace is collapsed, and the query cut to 50 words and 400 characters, at a word's end if
    there is one: Brave takes no more of either and Tavily no more characters, and the engines
    behind a SearXNG have limits like these.

    Joiners stay in it, unlike in what is found: without them a Persian word is another one, and
    nobody but its caller reads it.

    Source: Brave's and Tavily's references of their search endpoints.
    """
    for message in reversed(messages):
        if isinstance(message, Mapping) and message.get("role") == "user":
            query = _cut(one_line(_content_text(message.get("content")), keep=JOINERS))
            if one_line(query):
                return query
    return ""


def _content_text(content: object) -> str:
    """Return the beginning of a message's text: the query is in it, or nowhere."""
    if isinstance(content, str):
        return content[:_SCANNED_CHARACTERS_MAX]
    parts = islice(content if isinstance(content, list) else [], _SCANNED_PARTS_MAX)
    texts = [part.get("text") for part in parts if isinstance(part, Mapping)]
    heads = [text[:_SCANNED_CHARACTERS_MAX] for text in texts if isinstance(text, str)]
    return " ".join(heads)[:_SCANNED_CHARACTERS_MAX]


def _cut(text: str) -> str:
    words = text.split(maxsplit=QUERY_WORDS_MAX)[:QUERY_WORDS_MAX]
    joined = " ".join(words)
    if len(joined) <= QUERY_CHARACTERS_MAX:
        return joined
    head = joined[: QUERY_CHARACTERS_MAX + 1]
    at_word = head.rpartition(" ")[0]
    return at_word or joined[:QUERY_CHARACTERS_MAX]
