"""Entity tags of rows: who changes what he read is told when somebody was faster.

Source: RFC 9110, 13.1.1 and 13.1.2. A tag is a hash of the row, so it is strong.
"""

import re
from typing import Final

from blake3 import blake3

from frontend.management.problems import Outdated
from frontend.management.routing import Asked

_MEMBER: Final = re.compile(r'(W/)?"([^"]*)"')


def etag(row: bytes) -> str:
    """The entity tag of a row."""
    return f'"{blake3(row).hexdigest(length=12)}"'


def etag_header(row: bytes) -> tuple[str, str]:
    """The header that says it."""
    return ("ETag", etag(row))


def require_match(asked: Asked, row: bytes) -> None:
    """Refuse a change of another row than the caller has seen, if he said which he has.

    Raises:
        Outdated: If-Match names others.
    """
    said = asked.headers.get("if-match")
    if said is None or said.strip() == "*":
        return
    tags = {f'"{value}"' for weak, value in _MEMBER.findall(said) if not weak}
    if etag(row) not in tags:
        raise Outdated


def has_not_changed(asked: Asked, row: bytes) -> bool:
    """Whether the caller has this row already, by If-None-Match."""
    said = asked.headers.get("if-none-match", "")
    return etag(row) in {f'"{value}"' for _, value in _MEMBER.findall(said)}
