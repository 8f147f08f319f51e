"""Text from strangers made plain: one line, no markup, no invisible characters. Pure.

Tags are cut by two expressions that look at each character once: the standard library's parser
takes quadratic time on hostile markup, and no HTML library is in the layer.
"""

import html
import re
import unicodedata
from datetime import datetime
from email.utils import parsedate_to_datetime

_INLINE_TAG = re.compile(
    r"</?(?:a|abbr|b|code|em|font|i|mark|q|s|span|strong|sub|sup|u)\b[^<>]*>", re.IGNORECASE
)
_TAG = re.compile(r"<[a-z/!?][^<>]*>", re.IGNORECASE)
_INVISIBLE = re.compile(r"[^\t\n\r -~]")
_SPACES = {"Zs", "Zl", "Zp"}


def strip_markup(text: str) -> str:
    """Return the text without HTML tags, its character references resolved.

    A tag that shapes a word, such as `<strong>`, leaves nothing behind; any other leaves a space.
    """
    return html.unescape(_TAG.sub(" ", _INLINE_TAG.sub("", text)))


def one_line(text: str) -> str:
    """Return the text on one line: runs of whitespace are one space.

    Control characters, zero-width and direction marks, tag characters, lone surrogates, private and
    unassigned code points are left out: they can hide words from a reader that a model reads.
    """
    return " ".join(_INVISIBLE.sub(_visible, text).split())


def _visible(match: re.Match[str]) -> str:
    category = unicodedata.category(match[0])
    if category in _SPACES:
        return " "
    return "" if category.startswith("C") else match[0]


def read_date(text: str) -> str | None:
    """Return the day that a result's date names, `YYYY-MM-DD`, or None where it names none.

    Read are ISO 8601 (SearXNG, Brave) and the form of e-mail and HTTP (Tavily's news).
    """
    try:
        return datetime.fromisoformat(text.strip()).date().isoformat()
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(text).date().isoformat()
    except (ValueError, IndexError, OverflowError):
        return None
