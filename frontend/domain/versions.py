r"""The order of tags as people number them: v1.9 before v1.10, and a release after its candidates.

Names without a version come before all versions, so that the newest is at the other end. Numbers
are compared from the left, as semver.org does; what follows them is told apart in three: words for
what comes before a release (`-rc1`, `-beta.2`, `.dev3`), nothing, and variants of it (`-alpine`).

A tag becomes a text that sorts like that: a number with its length before it (beyond all ASCII), a
point between two numbers as `\x7f`, what comes before a release with `\1`, and the end as `\2`.
"""

import re
from collections.abc import Sequence
from typing import Final

_PREFIX: Final = re.compile(r"\n[vV](?=[0-9])")
# The two that look ahead for single letters are what make it fast: most places fail there.
_EARLIER: Final = re.compile(
    r"(?<=[0-9])(?=[._a-z-])[._-]?(?=[abcdemnprs])(?=(?:a|b|c|m|ea|rc|cr|alpha|beta|pre|preview|dev"
    r"|snapshot|nightly|canary|next)(?![a-z]))",
    re.IGNORECASE,
)
_POINT: Final = re.compile(r"(?<=[0-9])\.(?=[0-9])")
_NUMBER: Final = re.compile(r"([0-9]+)")
_LENGTHS: Final = tuple(chr(0x80 + length) for length in range(129))  # as long as a tag may be
_AT_ONCE: Final = 2000  # tags: some 5 ms, between which others run


def version_keys(tags: Sequence[str]) -> list[str]:
    """What to sort tags by, for all of them at once: 100,000 take a quarter of a second."""
    found: list[str] = []
    for start in range(0, len(tags), _AT_ONCE):
        found += _keys(tags[start : start + _AT_ONCE])
    return found


def _keys(tags: Sequence[str]) -> list[str]:
    text = "".join(f"\n{tag}" for tag in tags)
    text = _POINT.sub("\x7f", _EARLIER.sub("\1", _PREFIX.sub("\n", text)))
    parts = _NUMBER.split(text.replace("\n", "\2\n") + "\2")
    digits = [part.lstrip("0") for part in parts[1::2]]
    parts[1::2] = [_LENGTHS[len(each)] + each for each in digits]
    return "".join(parts).split("\n")[1:]
