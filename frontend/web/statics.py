"""The files that pages use: read once, under names with the hash of their content.

/static/<name>-<16 hex>.<ending>     never changes, so browsers keep it for a year
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from blake3 import blake3

FOLDER: Final = Path(__file__).parent / "static"
TYPES: Final[Mapping[str, str]] = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HASH: Final = 8  # bytes


@dataclass(frozen=True, slots=True)
class Static:
    """A file: its name with the hash, its content, and what that is."""

    name: str
    content: bytes
    content_type: str


@cache
def statics() -> Mapping[str, Static]:
    """All files, by their names without the hash."""
    return {path.name: _read(path) for path in sorted(FOLDER.iterdir())}


@cache
def by_hashed_name() -> Mapping[str, Static]:
    """All files, by the names that browsers ask for."""
    return {each.name: each for each in statics().values()}


def static_link(name: str) -> str:
    """Where a file is.

    Raises:
        KeyError: there is none of this name.
    """
    return f"/static/{statics()[name].name}"


def _read(path: Path) -> Static:
    content = path.read_bytes()
    found = blake3(content).hexdigest(length=_HASH)
    return Static(f"{path.stem}-{found}{path.suffix}", content, TYPES[path.suffix])
