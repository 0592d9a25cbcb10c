"""Reference counts of one operation: rows are taken out, counted in memory, and settled once.

Link: references = edges to D in its image + tags naming D there + 1 while its manifest row exists.
Object: references = its links. `not_before` is non-zero exactly while references = 0, and then a
garbage row stands at that time: max(now + grace, the link's lease). Source: design, invariant 3.
"""

from dataclasses import dataclass
from typing import Final

from index import keys
from index.listed import Listed
from index.records import GarbageKind, Image, Link, Object, Usage
from index.transaction import Transaction

WAS_MANIFEST: Final = b"\1"  # value of a garbage row; only a hint, for who counts


@dataclass(frozen=True, slots=True)
class Clock:
    """When an operation happens, in seconds since 1970, and how long unreferenced things stay."""

    now: int
    grace: int


class Ledger:
    """The counted rows one operation touches. Nothing is written before `settle`."""

    def __init__(
        self, transaction: Transaction, clock: Clock, listed: Listed | None = None
    ) -> None:
        self.listed = listed or Listed(transaction)
        self._transaction = transaction
        self._clock = clock
        self._links: dict[bytes, Link | None] = {}
        self._objects: dict[bytes, Object | None] = {}
        self._images: dict[tuple[bytes, str], Image] = {}
        self._usages: dict[int, Usage] = {}
        self._manifests: set[bytes] = set()

    # --- links ---

    def link(self, image: bytes, digest: bytes) -> Link | None:
        """The link as this operation has left it so far."""
        key = image + digest
        if key not in self._links:
            self._links[key] = self._transaction.link(image, digest)
        return self._links[key]

    def put_link(self, image: bytes, digest: bytes, link: Link | None) -> None:
        """Replace (or with None remove) a link."""
        self._links[image + digest] = link

    def refer(self, image: bytes, digest: bytes, change: int) -> None:
        """Count references to a link; a link that is not there is counted when it comes."""
        link = self.link(image, digest)
        if link is not None:
            self.put_link(image, digest, link._replace(references=link.references + change))

    def is_linked_elsewhere(self, image: bytes, digest: bytes) -> bool:
        """Whether another image of the same repository has a link to `digest`."""
        repository = image[:4]
        pending = (key for key in self._links if key.startswith(repository))
        others = [key[: keys.IMAGE_SIZE] for key in pending if key.endswith(digest)]
        if any(other != image and self.link(other, digest) is not None for other in others):
            return True
        stored = self._transaction.scan("link_by_digest", digest + repository)
        images = (key[len(digest) :] for key, _ in stored)  # the first one found is enough
        return any(other != image and self.link(other, digest) is not None for other in images)

    def drop_link(self, path: str, image: Image, digest: bytes) -> None:
        """Take a link away that is there, and count its object, image and repository down."""
        row = self.object(digest)
        self.put_link(image.id, digest, None)
        size = 0 if row is None else row.size
        self.put_image(path, image._replace(links=image.links - 1, size=image.size - size))
        if row is not None:
            self.put_object(digest, row._replace(references=row.references - 1))
            self.count_linked(image.id, digest, -row.size)

    def count_linked(self, image: bytes, digest: bytes, size: int) -> None:
        """Usage counts a digest once per repository: only its first and last link change it."""
        if not self.is_linked_elsewhere(image, digest):
            self.use(keys.number(image[:4]), linked=size)

    # --- objects ---

    def object(self, digest: bytes) -> Object | None:
        """The object as this operation has left it so far."""
        if digest not in self._objects:
            self._objects[digest] = self._transaction.object(digest)
        return self._objects[digest]

    def put_object(self, digest: bytes, row: Object) -> None:
        """Add or replace an object row."""
        self._objects[digest] = row

    def note_manifest(self, digest: bytes) -> None:
        """The digest was a manifest somewhere; so is counted what is collected of it."""
        self._manifests.add(digest)

    # --- images and usage ---

    def image(self, repository: int, path: str) -> Image | None:
        """An image's row as this operation has left it so far."""
        prefix = keys.u32(repository)
        if (prefix, path) not in self._images:
            value = self._transaction.get("image", keys.image(prefix, path))
            if value is None:
                return None
            self._images[prefix, path] = Image.decode(value)
        return self._images[prefix, path]

    def put_image(self, path: str, image: Image) -> None:
        """Replace an image's counts; at links = 0 the row goes when the operation settles."""
        self._images[image.id[:4], path] = image

    def use(self, repository: int, *, linked: int = 0, images: int = 0, manifests: int = 0) -> None:
        """Add to what a repository holds."""
        usage = self._usages.get(repository) or self._transaction.usage(repository)
        self._usages[repository] = Usage(
            usage.linked + linked, usage.images + images, usage.manifests + manifests
        )

    @property
    def size(self) -> int:
        """Rows written so far, and those that `settle` will touch."""
        counted = 4 * len(self._links) + 2 * len(self._objects)
        counted += 2 * len(self._images) + len(self._usages)
        return self._transaction.rows + counted + self.listed.size

    # --- the end ---

    def settle(self) -> None:
        """Write every touched row once, with its `not_before` and its garbage row."""
        self.listed.settle()
        for key, link in self._links.items():
            self._settle_link(key, link)
        for digest, row in self._objects.items():
            if row is not None:
                self._settle_object(digest, row)
        for (_, path), image in self._images.items():
            self._settle_image(path, image)
        for number, usage in self._usages.items():
            self._transaction.put("usage", keys.u32(number), usage.encode())

    def _settle_link(self, key: bytes, link: Link | None) -> None:
        image, digest = key[: keys.IMAGE_SIZE], key[keys.IMAGE_SIZE :]
        before = self._transaction.link(image, digest)
        if link == before:
            return
        if link is not None:
            link = link._replace(not_before=self._not_before(link.references, link.lease))
        self._move_garbage(
            GarbageKind.LINK,
            key,
            0 if before is None else before.not_before,
            0 if link is None else link.not_before,
        )
        if link is None:
            self._transaction.delete("link", key)
            self._transaction.delete("link_by_digest", digest + image)
            return
        self._transaction.put("link", key, link.encode())
        if before is None:
            self._transaction.put("link_by_digest", digest + image)

    def _settle_object(self, digest: bytes, row: Object) -> None:
        before = self._transaction.object(digest)
        if row == before:
            return
        row = row._replace(not_before=self._not_before(row.references, 0))
        self._move_garbage(
            GarbageKind.OBJECT, digest, 0 if before is None else before.not_before, row.not_before
        )
        self._transaction.put("object", digest, row.encode())

    def _settle_image(self, path: str, image: Image) -> None:
        key = keys.image(image.id[:4], path)
        was_there = self._transaction.get("image", key) is not None
        is_there = image.links > 0
        if is_there:
            self._transaction.put("image", key, image.encode())
            if not was_there:
                self._transaction.put("image_by_id", image.id, path.encode())
        elif was_there:
            self._transaction.delete("image", key)
            self._transaction.delete("image_by_id", image.id)
        self.use(keys.number(image.id[:4]), images=is_there - was_there)

    def _not_before(self, references: int, lease: int) -> int:
        if references > 0:
            return 0
        return max(self._clock.now + self._clock.grace, lease)

    def _move_garbage(self, kind: GarbageKind, key: bytes, old: int, new: int) -> None:
        if old == new:
            return
        if old:
            self._transaction.delete("garbage", keys.garbage(old, kind, key))
        if new:
            value = WAS_MANIFEST if key in self._manifests else b""
            self._transaction.put("garbage", keys.garbage(new, kind, key), value)
