"""What one operation does to the orders of packages: what it touched, before and after.

A package is a tag, or a manifest that no tag names. Whoever changes a tag or a manifest says so
first, so that what was listed is looked up before the change; what is listed after it is looked up
at the end. The difference is written, each block once.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from index import keys, names, ordering
from index.changes import EdgeKind, PutManifest
from index.names import Order
from index.records import Manifest, Tag
from index.transaction import Transaction
from index.view import View

MOST: Final = (1 << 48) - 1  # of a time or a size that is kept in order
_MOST_TOTAL: Final = (1 << 63) - 1  # of a field in a row
_VALUE: Final = 6  # bytes: the first 3 are the group, so that neighbours have it in common
_HEAD: Final = 4  # letters of 3 bytes
_IMAGE: Final = 6  # letters of a u32
_LINE: Final = 2 * _HEAD + 1  # where the image begins
_NAME: Final = _LINE + _IMAGE  # where the line of the order of names begins
# Of a line of the order of a time or a size: where that one begins, and the image's letters.
NAMED_AT: Final = _HEAD + _IMAGE
IMAGE_OF_LINE: Final = slice(_HEAD, NAMED_AT)
_ROWS_PER_PACKAGE: Final = 9  # of each order: the block's old and new row, and a neighbour's


class Figures(NamedTuple):
    """What packages are ordered by, apart from their names."""

    pushed_at: int
    size: int


# --- what is listed ---


def figures(view: View, image: bytes, line: bytes) -> Figures | None:
    """The figures of a line of an image; None: no such package."""
    if line.startswith(names.UNTAGGED):
        digest = names.from_letters(line[1:])
        record = view.manifest(image, digest)
        if record is None or next(view.iter_tags_of(image, digest), None) is not None:
            return None
        return Figures(record.pushed_at, whole(record))
    tag = view.tag(image, line.decode())
    return None if tag is None else tag_figures(tag, view.manifest(image, tag.digest))


def tag_figures(tag: Tag, record: Manifest | None) -> Figures:
    """The figures of a tag; `record` is of the manifest that it names."""
    return Figures(tag.pushed_at, 0 if record is None else whole(record))


def whole(record: Manifest) -> int:
    """Bytes of a package: its manifest and what hangs on it."""
    return record.total or record.size


def with_children(view: View, image: bytes, change: PutManifest) -> Manifest:
    """The row of a manifest, whose total has those of the manifests it needs that are there now.

    So that of an index is more than its own text; it stays as it is when one of those goes later.
    """
    kinds = dict(change.edges).items()
    rows = [
        view.manifest(image, child)
        for child, kind in kinds
        if kind == EdgeKind.CHILD and child != change.digest
    ]
    more = sum(whole(row) for row in rows if row is not None)
    if not more:
        return change.record
    return msgspec.structs.replace(
        change.record, total=min(whole(change.record) + more, _MOST_TOTAL)
    )


def value_entry(value: int, image: bytes, line: bytes) -> bytes:
    """The entry of a line of an image in the order of a time or a size.

    Letters of the 3 upper bytes of 6 are the group; those of the 3 lower ones and of the image's
    u32 begin the line.
    """
    ordered = min(value, MOST).to_bytes(_VALUE)
    head, low = names.letters(ordered[:3]), names.letters(ordered[3:])
    return head + b"\0" + low + image_letters(image) + line


def image_letters(image: bytes) -> bytes:
    """How an image is named in those orders: its u32 in 6 letters."""
    return names.letters(image[4:])[:_IMAGE]


def image_number(letters: bytes) -> bytes:
    """Read back what `image_letters` wrote: the image's u32."""
    return names.from_letters(letters + b"==")


def split_value_entry(entry: bytes) -> tuple[bytes, bytes]:
    """(letters of the image, line) of an entry in the order of a time or a size."""
    return entry[_LINE:_NAME], entry[_NAME:]


def value_of(entry: bytes) -> int:
    """The time or size in an entry."""
    return int.from_bytes(names.from_letters(entry[:_HEAD] + entry[_HEAD + 1 : _LINE]))


def entry_of(order: Order, path: str, image: bytes, line: bytes, found: Figures) -> bytes:
    """What a package is in an order."""
    if order is Order.NAME:
        return names.name_entry(path, line)
    return value_entry(found.pushed_at if order is Order.PUSHED else found.size, image, line)


def iter_listed(view: View, repository: int) -> Iterator[tuple[str, bytes, bytes, Figures]]:
    """(path, I, line, figures) of every package of a repository by name, from the rows themselves.

    No order is looked at: this is what they have to say.
    """
    for path, row in view.iter_images(repository):
        for tag, value in view.iter_tags(row.id):
            found = Tag.decode(value)
            record = view.manifest(row.id, found.digest)
            yield path, row.id, names.tag_line(tag), tag_figures(found, record)
        for digest, record in view.iter_manifests(row.id):
            if next(view.iter_tags_of(row.id, digest), None) is None:
                found_at = Figures(record.pushed_at, whole(record))
                yield path, row.id, names.manifest_line(digest), found_at


# --- an operation ---


class Listed:
    """The packages that one operation touches. Nothing is written before `settle`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._before: dict[tuple[bytes, bytes], Figures | None] = {}
        self._paths: dict[bytes, str] = {}  # I → path

    @property
    def size(self) -> int:
        """Rows that `settle` will write, about."""
        return _ROWS_PER_PACKAGE * len(self._before)

    def touch_tag(self, image: bytes, path: str, tag: str) -> None:
        """A tag is about to be set or dropped; so say those of what it named and will name."""
        self._touch(image, path, names.tag_line(tag))

    def touch_manifest(self, image: bytes, path: str, digest: bytes) -> None:
        """A manifest is about to get or lose a tag."""
        self._touch(image, path, names.manifest_line(digest))

    def touch_row(self, image: bytes, path: str, digest: bytes) -> None:
        """A manifest's row is about to come or go: its tags are ordered by its size."""
        self.touch_manifest(image, path, digest)
        for tag in self._transaction.iter_tags_of(image, digest):
            self.touch_tag(image, path, tag)

    def settle(self) -> None:
        """Bring the orders up to date."""
        gone: dict[bytes, dict[bytes, bool]] = {}
        come: dict[bytes, dict[bytes, bool]] = {}
        for (image, line), before in self._before.items():
            after = figures(self._transaction, image, line)
            path, repository = self._paths[image], keys.number(image[:4])
            for order in Order:
                old = before and entry_of(order, path, image, line, before)
                new = after and entry_of(order, path, image, line, after)
                start = names.prefix(repository, order)
                if old != new and old is not None:
                    gone.setdefault(start, {})[old] = False
                if old != new and new is not None:
                    come.setdefault(start, {})[new] = True
        for start in sorted(gone.keys() | come.keys()):
            ordering.edit(self._transaction, start, gone.get(start, {}) | come.get(start, {}))

    def _touch(self, image: bytes, path: str, line: bytes) -> None:
        if (image, line) not in self._before:
            self._before[image, line] = figures(self._transaction, image, line)
            self._paths[image] = path


class Unlisted(Listed):
    """For a repository that is being taken apart: its orders went first, and nobody asks."""

    def _touch(self, image: bytes, path: str, line: bytes) -> None:
        """Nothing is listed."""
