"""What a search has found so far: bounded, each thing once, and in which order it is shown."""

from itertools import islice
from typing import Final, NamedTuple

MOST: Final = 2_000  # images, and as many packages and blobs; beyond, there are "at least" so many


class Kind:
    """What was found, in the order in which it is shown; plain numbers, as thousands are hashed."""

    IMAGE: Final = 1
    TAG: Final = 2
    MANIFEST: Final = 3
    BLOB: Final = 4


class Hit(NamedTuple):
    """One thing that was found; hits sort as they are shown: by kind, whole names first."""

    kind: int  # of Kind
    is_part: bool  # no term is the whole of its name
    repository: str
    path: str
    tag: str = ""
    digest: bytes = b""  # D, of manifests and blobs


class Hits:
    """A set of hits with a bound for images and one for all else."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._images: dict[Hit, None] = {}  # in the order in which they were found
        self._others: dict[Hit, None] = {}

    @property
    def has_more_images(self) -> bool:
        """More images were found than are kept: there is no need for others."""
        return len(self._images) > self._most

    @property
    def has_more_others(self) -> bool:
        """More tags, manifests and blobs were found than are kept."""
        return len(self._others) > self._most

    @property
    def is_cut(self) -> bool:
        """Whether there are more than are kept."""
        return self.has_more_images or self.has_more_others

    def add(self, *hits: Hit) -> None:
        """Note hits, all of them images or none."""
        kept = self._images if hits[0].kind == Kind.IMAGE else self._others
        kept.update(dict.fromkeys(hits))

    def ordered(self) -> list[Hit]:
        """All that are kept, as they are shown."""
        kept = (islice(some, self._most) for some in (self._images, self._others))
        return [hit for some in kept for hit in sorted(some)]
