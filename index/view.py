"""One read snapshot of the index: every question is one lookup or one cursor range.

A `View` is made, used and closed within one sync function. `steps` counts cursor moves, so that a
test can assert that a page costs the page.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from index import keys
from index.changes import ImageName
from index.records import (
    ChunkAt,
    Damage,
    Extent,
    GarbageKind,
    Image,
    Link,
    Manifest,
    Object,
    Pack,
    Place,
    Repository,
    Run,
    Storage,
    Tag,
    Usage,
    Work,
)
from index.walk import Walk, walking

if TYPE_CHECKING:
    import lmdb


class View:
    """Typed look-ups on one transaction. Digests are raw keys, images their 8-byte id I."""

    __slots__ = ("_tables", "_transaction", "steps")

    def __init__(
        self, transaction: "lmdb.Transaction[bytes]", tables: "Mapping[str, lmdb._Database]"
    ) -> None:
        self._transaction = transaction
        self._tables = tables
        self.steps = 0

    # --- rows and ranges ---

    def get(self, table: str, key: bytes) -> bytes | None:
        """One row's value. No row has an empty key."""
        return self._transaction.get(key, db=self._tables[table]) if key else None

    def scan(
        self, table: str, prefix: bytes = b"", after: bytes | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """Rows whose key begins with `prefix`, in order, from beyond the key `after`."""
        with self._transaction.cursor(db=self._tables[table]) as cursor:
            self.steps += 1
            found = cursor.set_range(prefix if after is None else max(prefix, after))
            if found and cursor.key() == after:
                self.steps += 1
                found = cursor.next()
            while found:
                key, value = cursor.item()
                if not key.startswith(prefix):
                    return
                yield key, value
                self.steps += 1
                found = cursor.next()

    def scan_keys(self, table: str, prefix: bytes, start: bytes) -> Iterator[bytes]:
        """Keys from `start` on that begin with `prefix`, in order; no value is read."""
        with self._transaction.cursor(db=self._tables[table]) as cursor:
            self.steps += 1
            if not cursor.set_range(start):
                return
            for key in cursor.iternext(keys=True, values=False):
                if not key.startswith(prefix):
                    return
                yield key
                self.steps += 1

    def last_before(self, table: str, prefix: bytes, key: bytes) -> tuple[bytes, bytes] | None:
        """The row with the greatest key ≤ `key` that begins with `prefix`."""
        with self._transaction.cursor(db=self._tables[table]) as cursor:
            self.steps += 1
            if cursor.set_range(key):
                if cursor.key() == key:
                    return cursor.item()
                found = cursor.prev()
            else:
                found = cursor.last()
            if not found or not cursor.key().startswith(prefix):
                return None
            return cursor.item()

    def walk(self, table: str) -> AbstractContextManager[Walk]:
        """A cursor of a table that is sent from place to place, for the length of a block."""
        return walking(self, self._transaction.cursor(db=self._tables[table]))

    def entries(self, table: str) -> int:
        """Rows of a table, without counting them."""
        return self._transaction.stat(self._tables[table])["entries"]

    def depth(self, table: str) -> int:
        """Levels of a table's tree: pages that a look-up reads, and a change writes."""
        return self._transaction.stat(self._tables[table])["depth"]

    # --- places and names ---

    def snapshot(self) -> int:
        """The number of this snapshot: two with the same number show the same, in every row."""
        return self._transaction.id()

    def revision(self) -> int:
        """How many commits changed something."""
        return keys.number(self.get("meta", keys.META_REVISION) or b"\0")

    def storage(self, name: str) -> Storage | None:
        """A storage by name."""
        value = self.get("storage", name.encode())
        return None if value is None else Storage.decode(value)

    def iter_storages(self) -> Iterator[tuple[str, Storage]]:
        """All storages by name."""
        for key, value in self.scan("storage"):
            yield key.decode(), Storage.decode(value)

    def repository(self, name: str) -> Repository | None:
        """A repository by `storage/name`."""
        value = self.get("repository", name.encode())
        return None if value is None else Repository.decode(value)

    def iter_repositories(self, after: str = "") -> Iterator[tuple[str, Repository]]:
        """Repositories in the order of their names, from beyond `after`."""
        for key, value in self.scan("repository", after=after.encode() or None):
            name = key.decode()
            if name.startswith(keys.LEAVING):  # they come last: no name sorts after these
                return
            yield name, Repository.decode(value)

    def iter_public(self, after: str = "") -> Iterator[tuple[str, Repository]]:
        """As `iter_repositories`, of public ones: what is private costs nothing."""
        for key, _ in self.scan("public", after=after.encode() or None):
            record = self.repository(key.decode())
            if record is not None:
                yield key.decode(), record

    def repository_name(self, number: int) -> str | None:
        """The name of a repository by its id; None also when it is being taken apart."""
        found = self.get("repository_by_id", keys.u32(number))
        name = None if found is None else found.decode()
        return None if name is None or name.startswith(keys.LEAVING) else name

    def image(self, name: ImageName) -> Image | None:
        """An image's id and counts; None when it holds nothing (or its repository is missing)."""
        repository = self.repository(name.repository)
        if repository is None:
            return None
        value = self.get("image", keys.image(keys.u32(repository.id), name.path))
        return None if value is None else Image.decode(value)

    def image_name(self, image: bytes) -> ImageName | None:
        """The name of an image by its id; None also when its repository is being taken apart."""
        name = self.stored_name(image)
        return None if name is None or name.repository.startswith(keys.LEAVING) else name

    def stored_name(self, image: bytes) -> ImageName | None:
        """As `image_name`, with the names of what is being taken apart: for changes, not people."""
        repository = self.get("repository_by_id", image[:4])
        path = self.get("image_by_id", image)
        if repository is None or path is None:
            return None
        return ImageName(repository.decode(), path.decode())

    def iter_images(self, repository: int, after: str = "") -> Iterator[tuple[str, Image]]:
        """Images (path, row) of a repository in byte order of their paths, from beyond `after`."""
        prefix = keys.u32(repository)
        start = keys.image(prefix, after) if after else None
        for key, value in self.scan("image", prefix, start):
            yield key[4:].decode(), Image.decode(value)

    def tag(self, image: bytes, name: str) -> Tag | None:
        """What a tag points at."""
        value = self.get("tag", keys.tag(image, name))
        return None if value is None else Tag.decode(value)

    def iter_tags(self, image: bytes, after: str = "") -> Iterator[tuple[str, bytes]]:
        """Tags (name, encoded `Tag`) of an image in byte order, from beyond `after`.

        `after` need not exist. The value is left encoded: a page of names needs none of it.
        """
        start = keys.tag(image, after) if after else None
        for key, value in self.scan("tag", image, start):
            yield key[keys.IMAGE_SIZE :].decode(), value

    def iter_tags_of(self, image: bytes, digest: bytes) -> Iterator[str]:
        """Tags of an image that point at `digest`."""
        prefix = image + digest
        for key, _ in self.scan("tag_by_digest", prefix):
            yield key[len(prefix) :].decode()

    # --- what an image may serve, and what needs what ---

    def manifest(self, image: bytes, digest: bytes) -> Manifest | None:
        """A manifest's attributes."""
        value = self.get("manifest", image + digest)
        return None if value is None else Manifest.decode(value)

    def iter_manifests(self, image: bytes) -> Iterator[tuple[bytes, Manifest]]:
        """Manifests of an image by digest."""
        for key, value in self.scan("manifest", image):
            yield key[keys.IMAGE_SIZE :], Manifest.decode(value)

    def link(self, image: bytes, digest: bytes) -> Link | None:
        """Whether, and since when, the image may serve the digest."""
        value = self.get("link", image + digest)
        return None if value is None else Link.decode(value)

    def iter_images_linking(self, digest: bytes) -> Iterator[bytes]:
        """Ids of the images that may serve `digest`."""
        for key, _ in self.scan("link_by_digest", digest):
            yield key[len(digest) :]

    def iter_children(self, image: bytes, parent: bytes) -> Iterator[tuple[bytes, int]]:
        """(digest, edge kind) of what a manifest needs."""
        prefix = image + parent
        for key, value in self.scan("edge", prefix):
            yield key[len(prefix) :], value[0]

    def edge(self, image: bytes, parent: bytes, child: bytes) -> int | None:
        """The kind of a manifest's edge to `child`; None: it has none."""
        value = self.get("edge", image + parent + child)
        return None if value is None else value[0]

    def iter_parents(self, image: bytes, child: bytes) -> Iterator[bytes]:
        """Manifests of the image that need `child`."""
        prefix = image + child
        for key, _ in self.scan("edge_by_child", prefix):
            yield key[len(prefix) :]

    def iter_referrers(
        self, image: bytes, subject: bytes, artifact_type: str | None = None, after: bytes = b""
    ) -> Iterator[tuple[bytes, bytes]]:
        """(cursor, descriptor JSON) of the manifests that refer to `subject`.

        A cursor is the 8-byte hash of the artifact type ‖ D; `after` is one, and need not exist.
        """
        prefix = image + subject
        start = prefix + after if after else None
        filtered = prefix if artifact_type is None else prefix + keys.type_hash(artifact_type)
        for key, value in self.scan("referrer", filtered, start):
            yield key[len(prefix) :], value

    # --- bytes ---

    def object(self, digest: bytes) -> Object | None:
        """The live object under a digest."""
        value = self.get("object", digest)
        return None if value is None else Object.decode(value)

    def inline(self, object_id: int) -> bytes | None:
        """An object's bytes, when they live in the index."""
        return self.get("inline", keys.u64(object_id))

    def extents(self, object_id: int) -> list[Extent]:
        """All extents of an object, in logical order; empty for an inline one."""
        return [Extent.decode(value) for _, value in self.scan("extent", keys.u64(object_id))]

    def iter_extents_over(
        self, object_id: int, start: int, stop: int
    ) -> Iterator[tuple[int, Extent]]:
        """(logical offset, extent) of the extents of an object that overlap `start` to `stop`."""
        prefix = keys.u64(object_id)
        found = self.last_before("extent", prefix, keys.place(object_id, start))
        if found is None or start >= stop:
            return
        key, value = found
        yield keys.split_place(key)[1], Extent.decode(value)
        for following, value in self.scan("extent", prefix, key):
            logical = keys.split_place(following)[1]
            if logical >= stop:
                return
            yield logical, Extent.decode(value)

    def chunk(self, name: bytes) -> Place | None:
        """Where the chunk named by this BLAKE3 hash lies, in whatever state its pack is."""
        value = self.get("chunk", name)
        return None if value is None else Place.decode(value)

    def chunk_at(self, pack: int, offset: int) -> ChunkAt | None:
        """The chunk that begins at a place."""
        value = self.get("chunk_at", keys.place(pack, offset))
        return None if value is None else ChunkAt.decode(value)

    def iter_chunks(self, pack: int, start: int = 0) -> Iterator[tuple[int, ChunkAt]]:
        """(offset, chunk) of a pack from the first chunk at or beyond `start`."""
        after = keys.place(pack, start - 1) if start else None
        for key, value in self.scan("chunk_at", keys.u64(pack), after):
            yield keys.split_place(key)[1], ChunkAt.decode(value)

    def chunk_names(self, pack: int) -> dict[bytes, bytes]:
        """Every chunk of a pack: key of `chunk_at` → u32 length · 32 bytes BLAKE3.

        Not decoded, as millions are to be compared (measured: under 1 µs each, decoded 5).
        """
        prefix = keys.u64(pack)
        found: dict[bytes, bytes] = {}
        with self._transaction.cursor(db=self._tables["chunk_at"]) as cursor:
            self.steps += 1
            if cursor.set_range(prefix):
                for key, value in cursor:
                    self.steps += 1
                    if not key.startswith(prefix):
                        break
                    found[key] = value[:-4]  # without its references: they are no part of it
        return found

    def iter_chunks_over(self, pack: int, start: int, stop: int) -> Iterator[tuple[int, ChunkAt]]:
        """(offset, chunk) of the chunks of a pack that overlap `start` to `stop`."""
        prefix = keys.u64(pack)
        found = self.last_before("chunk_at", prefix, keys.place(pack, start))
        first = start if found is None else keys.split_place(found[0])[1]
        for offset, row in self.iter_chunks(pack, first):
            if offset >= stop:
                return
            if offset + row.length > start:
                yield offset, row

    def iter_chunks_back(self, pack: int, stop: int) -> Iterator[tuple[int, ChunkAt]]:
        """(offset, chunk) of a pack from the last chunk that begins before `stop` to the first.

        Rows may be deleted or replaced while it runs: each step seeks anew.
        """
        prefix = keys.u64(pack)
        while stop > 0:
            found = self.last_before("chunk_at", prefix, keys.place(pack, stop - 1))
            if found is None:
                return
            stop = keys.split_place(found[0])[1]
            yield stop, ChunkAt.decode(found[1])

    def pack(self, pack: int) -> Pack | None:
        """A pack's state and lengths."""
        value = self.get("pack", keys.u64(pack))
        return None if value is None else Pack.decode(value)

    def iter_packs(self) -> Iterator[tuple[int, Pack]]:
        """All packs by id."""
        for key, value in self.scan("pack"):
            yield keys.number(key), Pack.decode(value)

    def iter_marked_packs(self) -> Iterator[int]:
        """Packs that have lost bytes since they were last rewritten, or may have."""
        prefix = keys.garbage(0, GarbageKind.PACK, b"")
        for key, _ in self.scan("garbage", prefix):
            yield keys.number(key[len(prefix) :])

    def iter_damage(
        self, pack: int, start: int = 0, stop: int | None = None
    ) -> Iterator[tuple[int, Damage]]:
        """(offset, row) of what is damaged in a pack from `start` to `stop` (None: the end)."""
        after = keys.place(pack, start - 1) if start else None
        for key, value in self.scan("damage", keys.u64(pack), after):
            offset = keys.split_place(key)[1]
            if stop is not None and offset >= stop:
                return
            yield offset, Damage.decode(value)

    def iter_work(self) -> Iterator[tuple[int, Work]]:
        """Unfinished work."""
        for key, value in self.scan("work"):
            yield keys.number(key), Work.decode(value)

    def iter_runs(self) -> Iterator[tuple[int, Run]]:
        """(began at, in milliseconds since 1970; run) of maintenance, the newest first."""
        with self._transaction.cursor(db=self._tables["run"]) as cursor:
            found = cursor.last()
            while found:
                yield keys.number(cursor.key()), Run.decode(cursor.value())
                self.steps += 1
                found = cursor.prev()

    # --- counters and opaque rows ---

    def usage(self, repository: int) -> Usage:
        """What a repository holds."""
        value = self.get("usage", keys.u32(repository))
        return Usage(0, 0, 0) if value is None else Usage.decode(value)

    def record(self, table: str, key: bytes) -> bytes | None:
        """A row of one of `keys.RECORD_TABLES`."""
        return self.get(table, key)

    def iter_records(self, table: str, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Rows of one of `keys.RECORD_TABLES`."""
        yield from self.scan(table, prefix)
