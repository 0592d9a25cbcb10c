"""Damage what is stored, as a disk would, and ask the store what it makes of it."""

import os
from collections.abc import Callable
from pathlib import Path

import trio

from cas import layout
from cas.digest import Digest
from cas.verbs import Scrub, Scrubbed, Store
from index import keys
from index.changes import ImageName, Link, SetTag
from index.damage import HURT, iter_bad, iter_hurt
from index.environment import Environment
from index.records import Damage, Extent
from tests.cas import pages
from tests.cas.pushing import IMAGE, drift, noise

KIB = 1 << 10
_SHARED = noise(300 * KIB, "shared")
CONTENT = _SHARED + noise(100 * KIB, "own")
SIBLING = _SHARED + noise(100 * KIB, "sibling's")


def place_of(store: Store, digest: Digest, at: int = 0) -> tuple[int, int]:
    """(pack, offset) of byte `at` of an object."""

    def look(view) -> Extent:
        row = view.object(digest.key)
        logical, extent = next(view.iter_extents_over(row.id, at, at + 1))
        return extent._replace(offset=extent.offset + at - logical)

    found = store.read(look)
    return found.pack, found.offset


def flip(root: Path, pack: int, offset: int) -> None:
    """Change a byte on the disk, and have memory forget it."""
    path = layout.pack_path(root, pack)
    path.chmod(0o600)
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.pwrite(descriptor, bytes((os.pread(descriptor, 1, offset)[0] ^ 1,)), offset)
        pages.drop(descriptor)
    finally:
        os.close(descriptor)


def lose(root: Path, pack: int, way: str) -> None:
    """Damage a pack near its beginning, at its end, or all of it."""
    path = layout.pack_path(root, pack)
    match way:
        case "flipped":
            flip(root, pack, 50 * KIB)
        case "cut off":
            os.truncate(path, 20 * KIB)
        case "missing":
            path.unlink()


def forget(root: Path, pack: int) -> None:
    """Have memory forget a pack."""
    descriptor = os.open(layout.pack_path(root, pack), os.O_RDONLY)
    pages.drop(descriptor)
    os.close(descriptor)


def resident(root: Path, pack: int) -> int:
    """Pages of a pack that are in memory."""
    descriptor = os.open(layout.pack_path(root, pack), os.O_RDONLY)
    try:
        return pages._resident(descriptor, 0, 0)
    finally:
        os.close(descriptor)


def spoil_inline(environment: Environment, digest: Digest) -> None:
    """Change a byte of an object that lives in the index, behind the store's back."""
    with environment.begin() as opened:
        transaction = environment.transaction(opened)
        row = transaction.object(digest.key)
        content = bytearray(transaction.inline(row.id))
        content[0] ^= 1
        transaction.put("inline", keys.u64(row.id), bytes(content))


async def tag(store: Store, digest: Digest, image: ImageName = IMAGE, name: str = "latest") -> None:
    """Tag a linked object as if it were a manifest, so that it has a name."""
    await store.commit([Link(image, digest.key), SetTag(image, name, digest.key)])


async def scrub(store: Store, rate: int = 0) -> Scrubbed:
    """The report of a whole scrub."""
    told = [each async for each in store.maintain(Scrub(bytes_per_second=rate))]
    assert isinstance(told[-1], Scrubbed)
    return told[-1]


def marked(store: Store) -> dict[tuple[int, int], Damage]:
    """What the index says is damaged: chunks, and at pack 0 objects that live in it."""

    def look(view) -> dict[tuple[int, int], Damage]:
        rows = dict(iter_bad(view))
        inline = {(HURT, at): row for at, row in iter_hurt(view) if view.inline(at) is not None}
        return rows | inline

    return store.read(look)


def hurt(store: Store) -> set[str]:
    """The digests of the objects that are hurt."""
    return store.read(lambda view: {str(Digest(row.name)) for _, row in iter_hurt(view)})


async def assert_clean(store: Store) -> None:
    """Nothing is damaged, and every count is right."""
    report = await scrub(store)
    assert (report.standing, report.found, report.damaged) == (0, 0, ())
    assert await drift(store) == []


async def until(condition: Callable[[], object]) -> None:
    """Wait until it holds: of a row, which has no event."""
    with trio.fail_after(10):
        while not condition():  # noqa: ASYNC110 - see above
            await trio.sleep(0.01)
