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

_PREFIX: Final = re.compile(r"\n[vV]\Z")
_EARLIER: Final = re.compile(
    r"\A[._-]?(?=(?:a|b|c|m|ea|rc|cr|alpha|beta|pre|preview|dev|snapshot|nightly|canary|next)"
    r"(?![a-z]))",
    re.IGNORECASE,
)
_NUMBER: Final = re.compile(r"0*([0-9]+)")
_LENGTHS: Final = tuple(chr(0x80 + length) for length in range(129))  # as long as a tag may be
_AT_ONCE: Final = 2000  # tags: some 2 ms, between which others run


def version_keys(tags: Sequence[str]) -> list[str]:
    """What to sort tags by, for all of them at once: 100,000 take less than 0.1 s."""
    found: list[str] = []
    for start in range(0, len(tags), _AT_ONCE):
        found += _keys(tags[start : start + _AT_ONCE])
    return found


def _keys(tags: Sequence[str]) -> list[str]:
    parts = _NUMBER.split("\n" + "\n".join(tags) + "\n")
    # What stands between numbers is the same again and again: a few texts for thousands of tags.
    between = {text: _between(text) for text in set(parts[::2])}
    parts[::2] = map(between.__getitem__, parts[::2])
    parts[1::2] = [_LENGTHS[len(digits)] + digits for digits in parts[1::2]]
    return "".join(parts).split("\n")[1:-1]


def _between(text: str) -> str:
    """The part of a key for what stands between two numbers, of one tag or of several."""
    if text == ".":
        return "\x7f"
    return _PREFIX.sub("\n", _EARLIER.sub("\1", text)).replace("\n", "\2\n")
