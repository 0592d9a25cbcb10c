"""What a server wants to see before it answers: WWW-Authenticate (RFC 9110, 11.6.1)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

MAX_LENGTH: Final = 8192  # characters of the whole field; more is a stranger's game
_MAX_CHALLENGES: Final = 8
_MAX_PARAMETERS: Final = 16

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_GAP: Final = re.compile(r"[ \t,]*")
_SCHEME: Final = re.compile(rf"({_WORD})(?:[ \t]+|(?=,)|\Z)")
_TOKEN68: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*[ \t]*(?=,|\Z)")
# Unquoted addresses are no tokens, but are sent: up to the next comma they can be read.
_PARAMETER: Final = re.compile(
    rf'({_WORD})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))[ \t]*(?=,|\Z)', re.DOTALL
)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Challenge:
    """A scheme and its parameters, both with lower-case names."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def parse_challenges(text: str) -> tuple[Challenge, ...]:
    """Read all challenges of a field; several fields are joined with a comma before.

    What cannot be read ends the list, together with the challenge that it belongs to. So does a
    parameter that comes twice: it could be read in two ways.
    """
    found: list[Challenge] = []
    position = _skip(text, 0)
    while position < len(text) <= MAX_LENGTH and len(found) < _MAX_CHALLENGES:
        match = _SCHEME.match(text, position)
        if match is None:
            break
        parameters, position, is_whole = _parameters(text, match.end())
        if not is_whole:
            break
        found.append(Challenge(match[1].lower(), parameters))
    return tuple(found)


def _skip(text: str, position: int) -> int:
    match = _GAP.match(text, position)
    return position if match is None else match.end()


def _parameters(text: str, position: int) -> tuple[dict[str, str], int, bool]:
    """The parameters from `position` on, where the next challenge begins, and whether all is well.

    A comma divides parameters as well as challenges: what follows is a parameter if it has a `=`
    behind its first word.
    """
    token68 = _TOKEN68.match(text, position)
    if token68 is not None and not _PARAMETER.match(text, position):
        return {}, _skip(text, token68.end()), True
    found: dict[str, str] = {}
    while match := _PARAMETER.match(text, position):
        name = match[1].lower()
        if name in found or len(found) == _MAX_PARAMETERS:
            return {}, position, False
        found[name] = match[3] if match[2] is None else _ESCAPED.sub(r"\1", match[2])
        position = _skip(text, match.end())
    position = _skip(text, position)
    is_whole = position >= len(text) or _SCHEME.match(text, position) is not None
    return found, position, is_whole
