"""What a search has found so far: bounded, each thing once, and in which order it is shown."""

from enum import IntEnum
from typing import Final, NamedTuple

MOST: Final = 5_000  # images, and as many packages and blobs; beyond, there are "at least" so many


class Kind(IntEnum):
    """What was found, in the order in which it is shown."""

    IMAGE = 1
    TAG = 2
    MANIFEST = 3
    BLOB = 4


class Hit(NamedTuple):
    """One thing that was found; hits sort as they are shown: by kind, whole names first."""

    kind: Kind
    is_part: bool  # no term is the whole of its name
    repository: str
    path: str
    tag: str = ""
    digest: bytes = b""  # D, of manifests and blobs


class Hits:
    """A set of hits with a bound for images and one for all else."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._images: dict[Hit, None] = {}
        self._others: dict[Hit, None] = {}
        self.has_more_images = False  # than are kept
        self.has_more_others = False

    @property
    def is_cut(self) -> bool:
        """Whether there are more than were kept."""
        return self.has_more_images or self.has_more_others

    def add(self, hit: Hit) -> None:
        """Keep a hit, or note that there are more."""
        is_image = hit.kind is Kind.IMAGE
        kept = self._images if is_image else self._others
        if len(kept) < self._most:
            kept[hit] = None
        elif hit not in kept:
            self.has_more_images |= is_image
            self.has_more_others |= not is_image

    def ordered(self) -> list[Hit]:
        """All that were kept, as they are shown."""
        return sorted(self._images) + sorted(self._others)
