"""What an image runs on, as people write it: "linux/amd64", "linux/arm/v7".

It is for lists only: what cannot be read is left out, and refuses nothing.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

# Source: image-spec, media-types.md, and Docker's image manifest, schema 2.
CONFIGS: Final = frozenset(
    (
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.docker.container.image.v1+json",
    )
)
MOST: Final = 64  # platforms of one index that are listed
_LONGEST: Final = 32  # characters of each part
_UNKNOWN: Final = "unknown"  # BuildKit's attestations run on nothing


class _Config(msgspec.Struct, frozen=True):
    """Source: image-spec, config.md. The rest of it is not read."""

    os: Any = None
    architecture: Any = None
    variant: Any = None


def of_config(content: bytes) -> tuple[str, ...]:
    """What an image's config says; empty when it says nothing that we read."""
    try:
        config = msgspec.json.decode(content, type=_Config)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()
    found = _named(config.os, config.architecture, config.variant)
    return (found,) if found else ()


def of_descriptors(platforms: Iterable[object]) -> tuple[str, ...]:
    """What the `platform` of an index's descriptors say, each once, in their order."""
    found: dict[str, None] = {}
    for each in platforms:
        if isinstance(each, Mapping) and len(found) < MOST:
            name = _named(each.get("os"), each.get("architecture"), each.get("variant"))
            if name:
                found[name] = None
    return tuple(found)


def _named(os: object, architecture: object, variant: object) -> str:
    parts = [part for part in (os, architecture, variant) if isinstance(part, str) and part]
    is_whole = len(parts) >= 2 and os in parts and architecture in parts
    is_plain = all(
        len(part) <= _LONGEST and part.isascii() and part.isprintable() for part in parts
    )
    return "/".join(parts) if is_whole and is_plain and os != _UNKNOWN else ""
