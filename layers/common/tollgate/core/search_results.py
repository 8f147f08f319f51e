"""What a search found, from the provider's words to results that may be shown. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from tollgate.core.search_text import one_line, read_date, strip_markup

TITLE_CHARACTERS_MAX = 200
TEXT_CHARACTERS_MAX = 8000
URL_CHARACTERS_MAX = 1000
_RAW_CHARACTERS_MAX = 20_000
_URL = re.compile(r"https?://[A-Za-z0-9.\-]+(:[0-9]{1,5})?([/?#].*)?", re.IGNORECASE)
_URL_SAFE = "!#$%&'()*+,/:;=?@[]~"


@dataclass(frozen=True, slots=True, kw_only=True)
class RawResult:
    """One result in the provider's words: HTML, any length, any address."""

    title: str
    url: str
    text: str
    date: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """One result that may be shown. Each field is one line; `date` is `YYYY-MM-DD`, if known."""

    title: str
    url: str
    text: str
    date: str | None

    def json(self) -> dict[str, str | None]:
        """Return what the caller is told of it."""
        return {"title": self.title, "url": self.url, "date": self.date}


def clean_results(raws: Iterable[RawResult], *, results_max: int) -> list[SearchResult]:
    """Return the first `results_max` results with a web address, each address once."""
    cleaned: dict[str, SearchResult] = {}
    for raw in raws:
        url = _clean_url(raw.url)
        if url is not None and url not in cleaned:
            cleaned[url] = _clean(raw, url)
        if len(cleaned) == results_max:
            break
    return list(cleaned.values())


def _clean(raw: RawResult, url: str) -> SearchResult:
    return SearchResult(
        title=_plain(raw.title)[:TITLE_CHARACTERS_MAX].strip() or url,
        url=url,
        text=_plain(raw.text)[:TEXT_CHARACTERS_MAX].strip(),
        date=read_date(raw.date),
    )


def _plain(text: str) -> str:
    return one_line(strip_markup(text[:_RAW_CHARACTERS_MAX]))


def _clean_url(url: str) -> str | None:
    """Return an http or https address, or None where it is none, is too long or has credentials.

    What an address may not hold as it is (a space, a bracket, a letter beyond ASCII) is escaped.
    """
    escaped = quote(url.strip()[:URL_CHARACTERS_MAX], safe=_URL_SAFE, errors="replace")
    is_whole = len(url.strip()) <= URL_CHARACTERS_MAX and len(escaped) <= URL_CHARACTERS_MAX
    return escaped if is_whole and _URL.fullmatch(escaped) else None
