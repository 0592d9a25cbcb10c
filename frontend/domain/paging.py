"""Pages of lists: `n` and `last` in, a relative Link header out."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Final, NamedTuple, TypeVar
from urllib.parse import parse_qsl, quote, urlencode

from frontend.domain.faults import PaginationNumberInvalid, RequestInvalid

MAX_PAGE: Final = 1000  # entries: what a page costs is held in memory and on the event loop
_MAX_FIELDS: Final = 200  # parameters of a query
_MAX_LAST: Final = 300  # bytes; names and tags are shorter, so cutting there keeps the order

T = TypeVar("T")


class Page(NamedTuple):
    """At most `limit` entries, from beyond `last`, which need not exist."""

    limit: int
    last: str


def parse_query(query: str) -> tuple[tuple[str, str], ...]:
    """The parameters of a raw query, in order, with empty ones.

    Raises:
        RequestInvalid: more than anyone needs.
    """
    try:
        return tuple(parse_qsl(query, keep_blank_values=True, max_num_fields=_MAX_FIELDS))
    except ValueError:
        raise RequestInvalid(f"the query has more than {_MAX_FIELDS} parameters") from None


def first(parameters: Iterable[tuple[str, str]], name: str) -> str | None:
    """The first value of a parameter."""
    return next((value for key, value in parameters if key == name), None)


def parse_page(parameters: Iterable[tuple[str, str]]) -> Page:
    """Read `n` (capped at MAX_PAGE, which is the default too) and `last`.

    Raises:
        PaginationNumberInvalid: `n` is not a number of digits.
    """
    given = dict(reversed(tuple(parameters)))
    last = given.get("last", "").encode()[:_MAX_LAST].decode(errors="ignore")
    return Page(_limit(given.get("n", "")), last)


def _limit(text: str) -> int:
    if not text:
        return MAX_PAGE
    if not (text.isascii() and text.isdigit()):
        raise PaginationNumberInvalid("n", text)
    digits = text.lstrip("0")
    return min(int(digits or "0"), MAX_PAGE) if len(digits) < 10 else MAX_PAGE


def cut(entries: Iterator[T], limit: int) -> tuple[list[T], bool]:
    """The next `limit` entries, and whether there are more; looks at limit + 1 at most."""
    if limit == 0:
        return [], False
    page = list(islice(entries, limit + 1))
    return page[:limit], len(page) > limit


def next_link(path: str, parameters: Mapping[str, str]) -> tuple[str, str]:
    """The Link header (RFC 8288) to the next page; relative, as Host is a stranger's text."""
    return "Link", f'<{path}?{urlencode(parameters, quote_via=quote, safe="")}>; rel="next"'
