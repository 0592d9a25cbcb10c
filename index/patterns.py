"""Shell-style patterns of tags: what they may be, and whether a tag matches, in bounded time.

`*` stands for any characters, also none; `?` for one; `[abc]`, `[a-z]` for one of those, `[!abc]`
for one that is none of them; all else for itself. A pattern is of the whole tag, and case counts.
There is nothing to escape: no tag has one of these characters.
"""

import re
from functools import lru_cache
from typing import Final

MAX_PATTERN: Final = 128  # characters, as of a tag: a match takes at most the product of both
_TAG_CHARACTERS: Final = frozenset(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
)


class PatternInvalid(ValueError):
    """The text is no pattern; the message says why."""


def matches(pattern: str, text: str) -> bool:
    """Whether a whole tag is as `pattern` says.

    Raises:
        PatternInvalid
    """
    return compile_pattern(pattern).fullmatch(text) is not None


@lru_cache(maxsize=1024)  # patterns; a compiled one takes a few KiB
def compile_pattern(pattern: str) -> re.Pattern[str]:
    """The regular expression of a pattern, which never goes back over what a `*` took.

    A star takes as little as lets what stands between it and the next one match, and that is never
    changed afterwards: whatever a later start could still match, this one can too.
    Source: CPython, Lib/fnmatch.py, `translate`.

    Raises:
        PatternInvalid: says what is wrong with it.
    """
    if not pattern:
        raise PatternInvalid("a tag pattern is empty: `*` matches every tag")
    if len(pattern) > MAX_PATTERN:
        raise PatternInvalid(f"a tag pattern has more than {MAX_PATTERN} characters")
    first, *others = [_one_run(run) for run in _runs(pattern)]
    if not others:
        return re.compile(first)
    *middle, last = others
    found = "".join(f"(?>.*?{run})" for run in middle if run)
    return re.compile(f"{first}{found}.*{last}")


def _runs(pattern: str) -> list[list[str]]:
    """The pieces between stars; a piece is a character, `?`, or a whole `[…]`."""
    runs: list[list[str]] = [[]]
    index = 0
    while index < len(pattern):
        character = pattern[index]
        if character == "*":
            runs.append([])
        elif character == "[":
            end = pattern.find("]", index)
            if end < 0:
                raise PatternInvalid(f"tag pattern {pattern!r}: a `[` without its `]`")
            runs[-1].append(pattern[index : end + 1])
            index = end
        elif character == "?" or character in _TAG_CHARACTERS:
            runs[-1].append(character)
        else:
            raise PatternInvalid(
                f"tag pattern {pattern!r}: no tag has a {character!r}: use letters, digits, "
                ". _ - and * ? [ ]"
            )
        index += 1
    return runs


def _one_run(pieces: list[str]) -> str:
    return "".join(map(_piece, pieces))


def _piece(piece: str) -> str:
    if piece == "?":
        return "."
    if len(piece) == 1:
        return re.escape(piece)
    body = piece[1:-1]
    is_negated = body.startswith("!")
    listed = "".join(_span(piece, each) for each in _spans(body[is_negated:]))
    if not listed:
        raise PatternInvalid(f"tag pattern: {piece} lists no character")
    return f"[{'^' if is_negated else ''}{listed}]"


def _spans(body: str) -> list[str]:
    """`a-z` as one, and single characters; a `-` at either end is itself."""
    return re.findall(r".-.|.", body)


def _span(piece: str, span: str) -> str:
    first, last = span[0], span[-1]
    if not {first, last} <= _TAG_CHARACTERS or first > last:
        raise PatternInvalid(f"tag pattern: {span!r} in {piece} is no range of a tag's characters")
    return f"{re.escape(first)}-{re.escape(last)}" if len(span) == 3 else re.escape(first)
