"""Values as people read them."""

import re
from datetime import UTC, datetime
from typing import Final

from markupsafe import Markup, escape

_UNITS: Final = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_STEPS: Final = (
    (365 * 86400, "year"),
    (30 * 86400, "month"),
    (86400, "day"),
    (3600, "hour"),
    (60, "minute"),
)


def size_text(size: int) -> str:
    """Bytes, in the unit that leaves up to three digits before the point."""
    value, unit = float(size), 0
    while value >= 1000 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    if unit == 0:
        return "1 byte" if size == 1 else f"{size} bytes"
    return f"{value:.1f} {_UNITS[unit]}" if value < 99.95 else f"{value:.0f} {_UNITS[unit]}"


def count_text(number: int) -> str:
    """A number, with its thousands apart."""
    return f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def plural(number: int, one: str, many: str = "") -> str:
    """A number of things."""
    return f"{count_text(number)} {one if number == 1 else many or one + 's'}"


def age_text(seconds: float) -> str:
    """How long ago, or until when: in one unit."""
    is_past = seconds >= 0
    for length, word in _STEPS:
        number = int(abs(seconds) // length)
        if number:
            said = f"{number} {word}{'' if number == 1 else 's'}"
            return f"{said} ago" if is_past else f"in {said}"
    return "just now" if is_past else "in a moment"


def time_markup(text: str | None, now: float, never: str = "never") -> Markup:
    """A time of the API: its distance to read, the moment itself to point at."""
    if not text:
        return escape(never)
    moment = datetime.fromisoformat(text)
    exact = moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        text, exact, age_text(now - moment.timestamp())
    )


def short_digest(digest: str) -> str:
    """The beginning of a digest, for the eye."""
    algorithm, _, hexadecimal = digest.partition(":")
    return f"{algorithm}:{hexadecimal[:12]}"


def is_web_link(text: str) -> bool:
    """Whether a text of a stranger may be a link: to another site, and nothing that runs here."""
    return re.fullmatch(r"https?://[!-~]{1,1000}", text, re.IGNORECASE) is not None
