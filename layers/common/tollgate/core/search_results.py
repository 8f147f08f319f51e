"""What a search found, from the provider's words to results that may be shown. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

import idna

from tollgate.core.search_text import one_line, read_date, strip_markup

TITLE_CHARACTERS_MAX = 200
TEXT_CHARACTERS_MAX = 8000
URL_CHARACTERS_MAX = 1000
_RAW_CHARACTERS_MAX = 20_000
_URL = re.compile(
    r"(?P<scheme>https?://)(?P<host>[^/?#:@]{1,253})(?P<port>(?::[0-9]{1,5})?)(?P<rest>(?:[/?#].*)?)",
    re.IGNORECASE | re.DOTALL,
)
_HOST = re.compile(r"[A-Za-z0-9._\-]+")
_URL_SAFE = "#$%&*+,/:;=?@~"


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
    """Return an http or https address in ASCII, or None where it is none, is too long or has
    credentials.

    A host beyond ASCII is written as DNS knows it (IDNA 2008), or is no address. Behind the host
    all is escaped that an address may not hold as it is (a space, a letter beyond ASCII), and the
    brackets, parentheses, `!` and `'` that could end or begin a link in Markdown.
    """  # noqa: D205 - one sentence
    parts = _URL.fullmatch(url.strip()) if len(url) <= _RAW_CHARACTERS_MAX else None
    host = _clean_host(parts["host"]) if parts else None
    if parts is None or host is None:
        return None
    rest = quote(parts["rest"], safe=_URL_SAFE, errors="replace")
    cleaned = f"{parts['scheme']}{host}{parts['port']}{rest}"
    return cleaned if len(cleaned) <= URL_CHARACTERS_MAX else None


def _clean_host(host: str) -> str | None:
    try:
        name = host if host.isascii() else idna.encode(host, uts46=True).decode()
    except UnicodeError:  # of which IDNAError is one
        return None
    return name if _HOST.fullmatch(name) else None
