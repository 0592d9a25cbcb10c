"""Names of images, tags and references: text in, values out.

A name is `storage/repository/path…`: the first component is a storage, the second a repository in
it, and the rest, one component or more, names the image.
"""

import re
from typing import Final

from cas.digest import Digest
from frontend.domain.faults import NameInvalid, NameUnknown, TagInvalid
from index.changes import ImageName

# Source: distribution-spec, "Pulling manifests": <name> and <reference>.
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_COMPONENT_PATTERN = re.compile(_COMPONENT)
_NAME = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
MAX_NAME: Final = 255  # characters, as clients limit host/name; the index's keys rely on it


def parse_name(text: str) -> ImageName:
    """Parse `storage/repository/path…`.

    Raises:
        NameInvalid: not of the specification's grammar, or too long.
        NameUnknown: a valid name of fewer than three components, under which nothing can be.
    """
    if len(text) > MAX_NAME or _NAME.fullmatch(text) is None:
        raise NameInvalid(text)
    parts = text.split("/", 2)
    if len(parts) < 3:
        raise NameUnknown(text)
    return ImageName(f"{parts[0]}/{parts[1]}", parts[2])


def parse_repository(text: str) -> tuple[str, str]:
    """Parse the `storage/repository` that someone wants to create or change: (storage, name).

    Raises:
        NameInvalid: not two components of the grammar, or too long to hold an image.
    """
    parts = text.split("/")
    if len(parts) != 2 or len(text) > MAX_NAME - 2 or not all(map(is_component, parts)):
        raise NameInvalid(text)
    return parts[0], parts[1]


def is_component(text: str) -> bool:
    """Whether `text` may be one component of a name: a storage's or a repository's own name."""
    return len(text) <= MAX_NAME and _COMPONENT_PATTERN.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    """Whether `text` follows the tag grammar."""
    return _TAG.fullmatch(text) is not None


def parse_tag(text: str) -> str:
    """Return `text`, which is a tag.

    Raises:
        TagInvalid: not of the specification's grammar.
    """
    if not is_tag(text):
        raise TagInvalid(text)
    return text


def parse_reference(text: str) -> Digest | str:
    """Parse a manifest's reference: what holds a colon is a digest, all else a tag.

    Raises:
        DigestInvalid: a colon, but no digest that we support.
        TagInvalid: no colon, and no tag.
    """
    return Digest.parse(text) if ":" in text else parse_tag(text)
