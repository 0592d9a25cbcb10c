"""Fields of an upstream's answer as values: hostile text in, bounded values or None out."""

import re
from collections.abc import Iterator
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

from frontend.domain.urls import Url, UrlInvalid

MAX_WAIT: Final = 86_400.0  # seconds: whoever says longer is asked again tomorrow
_MAX_LINK: Final = 16_384  # characters
_DIGITS: Final = re.compile(r"[0-9]{1,18}")  # beyond every size, and what int() takes at once
_RATE: Final = re.compile(r"[ \t]*([0-9]{1,9})(?:[ \t]*;[ \t]*w=([0-9]{1,9}))?[ \t]*(?:[;,].*)?")
_RANGE: Final = re.compile(r"bytes[ \t]+([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")
_LINK: Final = re.compile(r"[ \t,]*<([^<>]*)>((?:[ \t]*;[ \t]*[A-Za-z*-]+"
                          r"(?:[ \t]*=[ \t]*(?:\"(?:[^\"\\]|\\.)*\"|[^\s\",;]+))?)*)")  # fmt: skip
_REL: Final = re.compile(r';[ \t]*rel[ \t]*=[ \t]*(?:"([^"]*)"|([^\s",;]+))', re.IGNORECASE)


class Rate(NamedTuple):
    """So many of something, and in how many seconds it holds (None: not said)."""

    most: int
    window: int | None


class Part(NamedTuple):
    """Bytes `start` to `stop`, which is not included, of `total` (None: not said)."""

    start: int
    stop: int
    total: int | None


def parse_retry_after(text: str | None, now: float) -> float | None:
    """Seconds to wait from `now` (Unix time) on, 0 to MAX_WAIT; RFC 9110, 10.2.3."""
    text = (text or "").strip()
    if _DIGITS.fullmatch(text):
        return min(float(text), MAX_WAIT)
    try:
        date = parsedate_to_datetime(text)
        moment = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, IndexError, TypeError):  # what the library lets through
        return None
    return min(max(0.0, moment - now), MAX_WAIT)


def parse_rate(text: str | None) -> Rate | None:
    """Docker Hub's `ratelimit-limit: 100;w=21600`."""
    match = _RATE.fullmatch(text or "")
    return match and Rate(int(match[1]), int(match[2]) if match[2] else None)


def parse_length(text: str | None) -> int | None:
    """Content-Length, or None when there is none that can be."""
    return int(text) if text is not None and _DIGITS.fullmatch(text) else None


def parse_part(text: str | None) -> Part | None:
    """Content-Range of a 206: never empty, never beyond its total."""
    match = _RANGE.fullmatch(text or "")
    if match is None:
        return None
    start, stop = int(match[1]), int(match[2]) + 1
    total = None if match[3] == "*" else int(match[3])
    is_sane = start < stop and (total is None or stop <= total)
    return Part(start, stop, total) if is_sane else None


def next_page(link: str | None, asked: Url) -> Url | None:
    """Where the next page is, by a Link field with rel=next; None on another origin or path."""
    for target, relations in _iter_links(link or ""):
        if "next" not in relations:
            continue
        try:
            url = asked.join(target)
        except UrlInvalid:
            return None
        is_same = url.origin == asked.origin and _path(url) == _path(asked)
        return url if is_same and url != asked else None
    return None


def _path(url: Url) -> str:
    return url.target.partition("?")[0]


def _iter_links(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each target with its relations (RFC 8288, 3), until what cannot be read."""
    position = 0
    while len(text) <= _MAX_LINK and (match := _LINK.match(text, position)):
        rel = _REL.search(match[2])
        yield match[1], (rel[1] or rel[2] or "").lower().split() if rel else []
        position = match.end()
