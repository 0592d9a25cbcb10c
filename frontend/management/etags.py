"""Entity tags of rows: who changes what he read is told when somebody was faster.

Source: RFC 9110, 13.1.1 and 13.1.2. A tag is a hash of the row, so it is strong. Where an answer
shows more `beside` the row, which changes by itself, the tag has a second part: who has read the
answer has it no more when that changed, but he may change the row.
"""

import re
from typing import Final

from blake3 import blake3

from frontend.management.problems import Outdated
from frontend.management.routing import Asked

_SIZE: Final = 12  # bytes of a hash
_MEMBER: Final = re.compile(r'(W/)?"([^"]*)"')


def etag(row: bytes, beside: bytes = b"") -> str:
    """The entity tag of a row."""
    return f'"{_hash(row)}{_hash(beside) if beside else ""}"'


def _hash(row: bytes) -> str:
    return blake3(row).hexdigest(length=_SIZE)


def etag_header(row: bytes, beside: bytes = b"") -> tuple[str, str]:
    """The header that says it."""
    return ("ETag", etag(row, beside))


def require_match(asked: Asked, row: bytes) -> None:
    """Refuse a change of another row than the caller has seen, if he said which he has.

    Raises:
        Outdated: If-Match names others.
    """
    said = asked.headers.get("if-match")
    if said is None or said.strip() == "*":
        return
    rows = {value[: 2 * _SIZE] for weak, value in _MEMBER.findall(said) if not weak}
    if _hash(row) not in rows:
        raise Outdated


def has_not_changed(asked: Asked, row: bytes, beside: bytes = b"") -> bool:
    """Whether the caller has this row already, by If-None-Match."""
    said = asked.headers.get("if-none-match", "")
    return said.strip() == "*" or etag(row, beside) in {
        f'"{value}"' for _, value in _MEMBER.findall(said)
    }
