"""What a collection would take now, and why: a dry run on one snapshot, which changes nothing."""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cas import layout
from cas.digest import Digest
from cas.maintenance import reclaim
from cas.uploads import staging
from cas.verbs import Collected, Due
from index import keys
from index.collect import iter_due
from index.ledger import WAS_MANIFEST
from index.records import Extent, GarbageKind, Object
from index.view import View

MAX_TOLD: Final = 10_000  # things that are named; all are counted


def rehearse(view: View, *, root: Path, now: int, expiry: float) -> tuple[list[Due], Collected]:
    """Look through everything that is due; blocks for a time that grows with it."""
    run = _Rehearsal(view, root, now)
    told: list[Due] = []
    for due in run.iter_all(expiry):
        if len(told) < MAX_TOLD:
            told.append(due)
    return told, run.report()


class _Rehearsal:
    """One dry run."""

    def __init__(self, view: View, root: Path, now: int) -> None:
        self._view = view
        self._root = root
        self._now = now
        self._began = time.monotonic()
        self._count: Counter[str] = Counter()
        self._unlinked: Counter[bytes] = Counter()  # digest → links that go
        self._covered: Counter[tuple[int, int]] = Counter()  # chunk → extents that go

    def iter_all(self, expiry: float) -> Iterator[Due]:
        """Everything that would go; `report` is of what was iterated over."""
        yield from self._uploads(time.time() - expiry)
        for kind, name, value in iter_due(self._view, self._now):
            match kind:
                case GarbageKind.LINK:
                    yield self._link(name)
                case GarbageKind.OBJECT:
                    yield from self._object(name, value, "no image links it")
                case GarbageKind.MANIFEST:
                    why = "the index or the subject that needed it was deleted"
                    yield Due("manifest", self._linked(name), 0, why)
        for digest, links in self._unlinked.items():
            row = self._view.object(digest)
            if row is not None and row.references == links:
                yield from self._object(digest, b"", "its last links go")
        yield from self._packs()

    def report(self) -> Collected:
        """The figures; of bytes and chunks an estimate: packs are rewritten by pages."""
        chunks = [
            row.length
            for place, count in self._covered.items()
            if (row := self._view.chunk_at(*place)) is not None and row.references == count
        ]
        self._count.update(chunks=len(chunks), bytes_freed=sum(chunks))
        duration = round(time.monotonic() - self._began, 3)
        return Collected(**self._count, duration_seconds=duration)

    def _uploads(self, before: float) -> Iterator[Due]:
        folder = self._root / layout.UPLOADS
        for name in staging.iter_stale(folder, before):
            self._count["uploads_expired"] += 1
            yield Due("upload", name[:16], staging.size_of(folder / name), "nobody went on with it")

    def _link(self, key: bytes) -> Due:
        digest = key[keys.IMAGE_SIZE :]
        self._count["links"] += 1
        self._unlinked[digest] += 1
        row = self._view.object(digest)
        why = "nothing in its image refers to it, and its lease is over"
        return Due("link", self._linked(key), 0 if row is None else row.size, why)

    def _linked(self, key: bytes) -> str:
        image = self._view.stored_name(key[: keys.IMAGE_SIZE])
        return f"{image}@{Digest(key[keys.IMAGE_SIZE :])}"

    def _object(self, digest: bytes, hint: bytes, why: str) -> Iterator[Due]:
        row = self._view.object(digest)
        if row is None:
            return
        is_manifest = hint == WAS_MANIFEST
        self._count["manifests" if is_manifest else "blobs"] += 1
        self._cover(row)
        yield Due("manifest" if is_manifest else "blob", str(Digest(digest)), row.size, why)

    def _cover(self, row: Object) -> None:
        for extent in self._view.extents(row.id):
            self._cover_extent(extent)

    def _cover_extent(self, extent: Extent) -> None:
        stop = extent.offset + extent.length
        for offset, _ in self._view.iter_chunks_over(extent.pack, extent.offset, stop):
            self._covered[extent.pack, offset] += 1

    def _packs(self) -> Iterator[Due]:
        for pack in self._view.iter_marked_packs():
            found = reclaim.look_at(self._view, self._root, pack)
            if found is not None and (found.is_worth_it or not found.row.live):
                self._count.update(packs=1, bytes_freed=found.gain)
                why = "partly dead" if found.row.live else "nothing in it is live"
                yield Due("pack", f"{pack:016x}", found.gain, why)
