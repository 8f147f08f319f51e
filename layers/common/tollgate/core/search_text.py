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
# Python refuses to read a decimal number of more than 4300 digits; no character needs ten.
_HUGE_REFERENCE = re.compile(r"&#(?:[0-9]{10,}|[xX][0-9a-fA-F]{10,});?")
_ODD = re.compile(r"[^\t\n\r -~]")
_SPACES = {"Zs", "Zl", "Zp"}
_BRAILLE_BLANK = "\u2800"
# Shown as nothing though their categories are those of marks and letters. Source: Unicode's
# DerivedCoreProperties.txt, "Default_Ignorable_Code_Point".
_IGNORABLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]"
)
JOINERS = "\u200c\u200d"  # they make words in Persian and Indic scripts, and emoji of several


def strip_markup(text: str) -> str:
    """Return the text without HTML tags, its character references resolved.

    A tag that shapes a word, such as `<strong>`, leaves nothing behind; any other leaves a space.
    """
    untagged = _TAG.sub(" ", _INLINE_TAG.sub("", text))
    return html.unescape(_HUGE_REFERENCE.sub("\ufffd", untagged))


def one_line(text: str, *, keep: str = "") -> str:
    """Return the text on one line: runs of whitespace are one space.

    Control characters, zero-width and direction marks, variation selectors and fillers, tag
    characters, lone surrogates, private and unassigned code points are left out: they can hide
    words from a reader that a model reads.

    `keep`: characters that stay all the same, such as `JOINERS`.
    """

    def show(match: re.Match[str]) -> str:
        return match[0] if match[0] in keep else _visible(match[0])

    return " ".join(_ODD.sub(show, text).split())


def _visible(character: str) -> str:
    """Return what a character beyond ASCII is shown as: itself, a space, or nothing."""
    category = unicodedata.category(character)
    if category in _SPACES or character == _BRAILLE_BLANK:
        return " "
    return "" if category.startswith("C") or _IGNORABLE.match(character) else character


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
