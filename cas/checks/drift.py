"""What a check yields, and what it is given: a finding with its mend, and one run's snapshot.

A check is a function of a `Run` that yields `Drift`. Checks share what a run has counted, never
what an earlier check found: repair gives each of them a snapshot of its own.
"""

from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from cas import layout
from cas.digest import Digest
from index import keys
from index.ledger import Clock
from index.records import Extent, Link, Manifest, Object, PackState
from index.transaction import Transaction
from index.view import View

MOST_NAMES: Final = 20  # names that one sentence gives of what is hurt
MEND_ROWS: Final = 4  # rows that one mend changes at most

Mend = Callable[[Transaction], None]
Look = Callable[[Callable[[View], bool]], bool]


class Drift(NamedTuple):
    """One thing that differs. Without a `mend` it can only be told; a mend may be run twice."""

    sentence: str
    mend: Mend | None = None


Check = Callable[["Run"], Iterator[Drift]]


class Described(NamedTuple):
    """What a manifest's bytes say: its row, its children with their kinds, its descriptor."""

    record: Manifest
    edges: dict[bytes, int]
    referrer: bytes


class Describe(Protocol):
    """Reads a manifest, for one who knows media types; None when it is none."""

    def __call__(self, digest: Digest, content: bytes) -> Described | None:
        """Read `content`, which has `digest`."""


class Listing(NamedTuple):
    """Names on disk, listed before the snapshot is taken."""

    packs: list[str]
    uploads: list[str]  # entries of uploads/ that are no upload


@dataclass(frozen=True, slots=True)
class Place:
    """What a run is about: the data directory, a fresh look at its index, and who reads manifests.

    `clock` says from when unreferenced rows may be collected that had no time yet.
    """

    root: Path
    look_again: Look
    clock: Clock
    describe: Describe | None = None


@dataclass
class Run:
    """One snapshot, the directory it is compared with, and what was counted."""

    view: View
    place: Place
    files: Listing
    checked: Counter[str] = field(default_factory=Counter)
    sizes: dict[int, int] = field(default_factory=dict)  # pack → bytes of its file, -1 without one

    @cached_property
    def building(self) -> set[int]:
        """Objects that unfinished work is about: what they have is in flight, and no drift."""
        return {work.object for _, work in self.view.iter_work()}

    @cached_property
    def live(self) -> "array[int]":
        """Ids of all live objects, sorted: 8 bytes each."""
        rows = self.view.scan("object")
        return array("Q", sorted(array("Q", (Object.decode(value).id for _, value in rows))))

    @cached_property
    def spans(self) -> "dict[int, tuple[array[int], array[int]]]":
        """Pack → where extents begin in it, and where they end: 16 bytes an extent."""
        found: dict[int, tuple[array[int], array[int]]] = defaultdict(
            lambda: (array("Q"), array("Q"))
        )
        for _, value in self.view.scan("extent"):
            self.checked["extents"] += 1
            extent = Extent.decode(value)
            starts, stops = found[extent.pack]
            starts.append(extent.offset)
            stops.append(extent.offset + extent.length)
        return found

    def file_size(self, pack: int) -> int:
        """Bytes of a pack's file; -1 when it has none although something stands on it."""
        if pack not in self.sizes:
            try:
                size = layout.pack_path(self.place.root, pack).stat().st_size
            except FileNotFoundError:
                # Collection may have unlinked it since our snapshot: then its row is dead or gone.
                was_needed = _is_alive(self.view, pack)
                is_needed = self.place.look_again(lambda view: _is_alive(view, pack))
                is_needed = is_needed or not was_needed  # what stands on a dead pack is lost
                size = -1 if is_needed else 1 << 63
            self.sizes[pack] = size
        return self.sizes[pack]

    # --- names ---

    def image(self, image: bytes) -> str:
        """An image's name; its id when the index has lost it."""
        name = self.view.image_name(image)
        return f"image {image.hex()}" if name is None else str(name)

    def named(self, image: bytes, digest: bytes) -> str:
        """`image@digest`."""
        return f"{self.image(image)}@{Digest(digest)}"

    def hurt(self, digest: bytes) -> str:
        """What cannot be pulled without `digest`: tags, and digests where no tag needs it."""
        names = [
            name
            for image in self.view.iter_images_linking(digest)
            for name in self._needing(image, digest)
        ]
        more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        return (", ".join(names[:MOST_NAMES]) + more) or "nothing"

    def _needing(self, image: bytes, digest: bytes) -> list[str]:
        seen, waiting, tags = {digest}, [digest], set[str]()
        while waiting:
            each = waiting.pop()
            tags |= set(self.view.iter_tags_of(image, each))
            parents = set(self.view.iter_parents(image, each)) - seen
            seen |= parents
            waiting += parents
        name = self.image(image)
        return [f"{name}:{tag}" for tag in sorted(tags)] or [self.named(image, digest)]


def _is_alive(view: View, pack: int) -> bool:
    row = view.pack(pack)
    return row is not None and row.state is not PackState.DEAD


# --- keys and mends that several checks need ---


def split(key: bytes) -> tuple[bytes, bytes, bytes]:
    """Split a key into image, first digest, rest."""
    digest, rest = keys.split_digest(key[keys.IMAGE_SIZE :])
    return key[: keys.IMAGE_SIZE], digest, rest


def put(table: str, key: bytes, value: bytes = b"") -> Mend:
    """The mend that writes one row."""
    return lambda transaction: transaction.put(table, key, value)


def drop(*rows: tuple[str, bytes]) -> Mend:
    """The mend that takes rows away."""

    def mend(transaction: Transaction) -> None:
        for table, key in rows:
            transaction.delete(table, key)

    return mend


def fresh_link(clock: Clock) -> bytes:
    """A link that is put back: kept as long as a fresh push, counted by the check of counts."""
    until = clock.now + clock.grace
    return Link(clock.now, until, 0, 0).encode()
