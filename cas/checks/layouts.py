"""Objects and the bytes that they stand on, inline or as extents.

An object without its bytes, and bytes without their object, are brought together again where a hash
proves it. What stands on lost bytes stays, and is told with everything that it hurts: pushing the
right bytes again mends it.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Final

from cas import layout
from cas.checks.drift import Drift, Run, drop
from cas.digest import Digest, new_hash
from cas.errors import Damaged, from_system
from cas.fence import Fence
from index import keys
from index.records import Extent, Object, Tag
from index.transaction import Transaction

_STEP: Final = 1 << 20  # bytes read at once


class BytesLost(Exception):
    """A pack's file is missing, shorter than what is wanted of it, or not to be read there."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What is kept under an object's id: `held` bytes in a row, `lost` of them in no file."""

    held: int
    lost: int
    where: str  # the first pack that lacks bytes, and how
    strays: tuple[bytes, ...]  # extents that do not go on where the one before ended


def layout_of(run: Run, object_id: int) -> Layout:
    """Measure an object's bytes; reads none of them."""
    content = run.view.inline(object_id)
    held, lost, where, strays = len(content or b""), 0, "", []
    for key, value in run.view.scan("extent", keys.u64(object_id)):
        extent = Extent.decode(value)
        if keys.split_place(key)[1] != held or content is not None:
            strays.append(key)
            continue
        held += extent.length
        size = run.file_size(extent.pack)
        beyond = min(extent.length, max(0, extent.offset + extent.length - max(size, 0)))
        if beyond and not lost:
            how = "its file is missing" if size < 0 else f"its file has {size} bytes"
            where = f"pack {extent.pack:016x}: {how}"
        lost += beyond
    return Layout(held, lost, where, tuple(strays))


def iter_content(run: Run, object_id: int) -> Iterator[bytes]:
    """The bytes of an object, in pieces of at most a MiB, or as they are inline.

    Raises:
        BytesLost: not all of them are in the files.
    """
    content = run.view.inline(object_id)
    if content is not None:
        yield content
        return
    for extent in run.view.extents(object_id):
        yield from iter_pack(run, extent)


def iter_pack(run: Run, extent: Extent) -> Iterator[bytes]:
    """The bytes of a run, in pieces of at most a MiB.

    Raises:
        BytesLost: not all of them are in the file, or the disk cannot read them.
    """
    Fence(run.place.root).announce(extent.pack, extent.offset, extent.offset + extent.length)
    try:
        descriptor = os.open(
            layout.pack_path(run.place.root, extent.pack), os.O_RDONLY | os.O_CLOEXEC
        )
    except FileNotFoundError:
        raise BytesLost(extent.pack) from None
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)  # nothing beside what is announced
        done = 0
        while done < extent.length:
            part = _read(descriptor, min(_STEP, extent.length - done), extent.offset + done)
            if not part:
                raise BytesLost(extent.pack)
            yield part
            done += len(part)
    finally:
        os.close(descriptor)


def _read(descriptor: int, size: int, offset: int) -> bytes:
    """As os.pread; nothing where the disk cannot read."""
    try:
        return os.pread(descriptor, size, offset)
    except OSError as error:
        if not isinstance(from_system(error, ""), Damaged):
            raise
        return b""


def has_digest(run: Run, object_id: int, digest: bytes) -> bool:
    """Whether what is kept under `object_id` hashes to `digest`; reads all of it."""
    return digest in _digests(run, object_id, [digest])


def _digests(run: Run, object_id: int, wanted: list[bytes]) -> set[bytes]:
    """Which of the digests `wanted` the bytes have."""
    hashes = {name: new_hash(name) for name in {Digest(each).algorithm for each in wanted}}
    try:
        for piece in iter_content(run, object_id):
            for each in hashes.values():
                each.update(piece)
    except BytesLost:
        return set()
    found = {Digest.from_raw(name, each.digest()).key for name, each in hashes.items()}
    return found & set(wanted)


# --- the checks ---


def objects(run: Run) -> Iterator[Drift]:
    """Every object has its bytes; bytes without one are its own again, or nobody's."""
    broken = [each for each in _iter_broken(run) if each[2].held != each[1].size or each[2].strays]
    wanted: list[bytes] | None = None
    adopted = set()
    for number in _iter_orphans(run):
        if wanted is None:  # orphans are rare: only now is it worth looking
            wanted = [*(digest for digest, _, _ in broken), *_without_object(run)]
        digest = next(iter(_digests(run, number, wanted)), None) if wanted else None
        if digest is None:
            yield from _drop_orphan(run, number)
        else:
            adopted.add(digest)
            yield _adopt(run, number, digest)
    for digest, row, found in broken:
        if digest not in adopted:
            yield from _broken(run, digest, row, found)


def lost(run: Run) -> Iterator[Drift]:
    """Every byte of an object lies in a file."""
    for digest, _, found in _iter_broken(run, count=True):
        if found.lost:
            sentence = f"object {Digest(digest)}: {found.lost} bytes are lost, {found.where}"
            yield Drift(f"{sentence}; push it again: it hurts {run.hurt(digest)}")


def _iter_broken(run: Run, *, count: bool = False) -> Iterator[tuple[bytes, Object, Layout]]:
    for digest, value in run.view.scan("object"):
        run.checked["objects"] += count
        row = Object.decode(value)
        found = layout_of(run, row.id)
        if found.held != row.size or found.strays or found.lost:
            yield digest, row, found


def _without_object(run: Run) -> set[bytes]:
    """Digests that are named somewhere, and have no object."""
    by_digest = (keys.split_digest(key)[0] for key, _ in run.view.scan("link_by_digest"))
    linked = (key[keys.IMAGE_SIZE :] for key, _ in run.view.scan("link"))
    tagged = (Tag.decode(value).digest for _, value in run.view.scan("tag"))
    return {each for each in chain(by_digest, linked, tagged) if run.view.object(each) is None}


def _iter_orphans(run: Run) -> Iterator[int]:
    """Ids under which bytes are kept, and no object."""
    for table in ("inline", "extent"):
        live = iter(run.live)
        owner = next(live, None)
        for prefix, _ in groupby(key[:8] for key, _ in run.view.scan(table)):
            number = keys.number(prefix)
            while owner is not None and owner < number:
                owner = next(live, None)
            if owner != number and number not in run.building:
                yield number


def _drop_orphan(run: Run, number: int) -> Iterator[Drift]:
    for table in ("inline", "extent"):
        for key, _ in run.view.scan(table, keys.u64(number)):
            yield Drift(f"{table} {key.hex()}: belongs to no object", drop((table, key)))


def _adopt(run: Run, number: int, digest: bytes) -> Drift:
    before = run.view.object(digest)
    size = layout_of(run, number).held
    row = Object(number, size, 0, 0) if before is None else before._replace(id=number, size=size)
    what = "its row is missing" if before is None else "its row is about other bytes"

    def mend(transaction: Transaction) -> None:
        transaction.put("object", digest, row.encode())

    return Drift(f"object {Digest(digest)}: {what}, and its bytes are under {number}", mend)


def _broken(run: Run, digest: bytes, row: Object, found: Layout) -> Iterator[Drift]:
    name = f"object {Digest(digest)}"
    if found.held == row.size:
        for key in found.strays:
            yield Drift(f"{name}: an extent beyond its bytes", drop(("extent", key)))
        return
    said = f"{name}: {row.size} bytes, {found.held} found"
    if not found.strays and has_digest(run, row.id, digest):

        def mend(transaction: Transaction) -> None:
            transaction.put("object", digest, row._replace(size=found.held).encode())

        yield Drift(said, mend)
        return
    yield Drift(f"{said}; push it again: it hurts {run.hurt(digest)}")
