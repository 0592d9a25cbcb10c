"""A rewrite carries nothing wrong along unawares: what is not marked is as it was stored."""

import errno
import os
from contextlib import nullcontext
from pathlib import Path

import pytest

from cas import layout
from cas.digest import Digest
from cas.errors import Damaged
from cas.local import open_store
from tests.anomaly import replaced
from tests.cas.collecting import AT_ONCE, collect, push_idle
from tests.cas.damaging import (
    CONTENT,
    KIB,
    assert_clean,
    flip,
    marked,
    place_of,
    scrub,
    until,
)
from tests.cas.pushing import noise, prepare, pull, push

DIGEST = Digest.of(CONTENT)
OTHER = noise(200 * KIB, "other")


@pytest.fixture
async def store(tmp_path):
    """A store whose only pack has two blobs, and garbage behind them."""
    async with open_store(tmp_path, AT_ONCE) as opened:
        await prepare(opened)
        for content in (CONTENT, OTHER):
            await push(opened, content)
        await push_idle(opened, noise(400 * KIB, "garbage"))
        yield opened


def unreadable(pack: int, start: int):
    """For a block no call reads the page of a pack that `start` lies in."""
    page = start // 4096 * 4096

    def wrap(name, call):
        def refuse(*args):
            source, offset, length = _meant(name, args)
            path = str(Path(f"/proc/self/fd/{source}").readlink())
            if path.endswith(f"{pack:016x}") and offset < page + 4096 and offset + length > page:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return call(*args)

        return refuse

    return replaced(("copy_file_range", "preadv", "pread"), wrap)


def _meant(name: str, args) -> tuple[int, int, int]:
    match name:
        case "copy_file_range":
            return args[0], args[3], args[2]
        case "preadv":
            return args[0], args[2], sum(map(len, args[1]))
        case _:
            return args[0], args[2], args[1]


def inode(root, pack: int) -> int:
    return layout.pack_path(root, pack).stat().st_ino


async def test_a_marked_chunk_keeps_its_mark_and_its_pack_is_rewritten(store, tmp_path):
    pack, offset = place_of(store, DIGEST)
    flip(tmp_path, pack, offset)
    await scrub(store)
    marks, before = marked(store), inode(tmp_path, pack)

    assert (await collect(store)).packs == 1

    assert inode(tmp_path, pack) != before
    assert marked(store) == marks != {}
    with pytest.raises(Damaged):
        pull(store, DIGEST)
    assert pull(store, Digest.of(OTHER)) == OTHER
    await push(store, CONTENT)
    assert pull(store, DIGEST) == CONTENT
    await assert_clean(store)


async def test_what_cannot_be_read_is_not_given_up(store, tmp_path):
    """Also when it is marked: the disk may be back some day."""
    pack, offset = place_of(store, DIGEST)
    before = inode(tmp_path, pack)
    with unreadable(pack, offset):
        assert (await scrub(store)).found == 1

        found = await collect(store)

        assert (found.packs, found.postponed) == (0, 1)
        assert inode(tmp_path, pack) == before
        assert pull(store, Digest.of(OTHER)) == OTHER
    await scrub(store)
    assert marked(store) == {}
    assert pull(store, DIGEST) == CONTENT
    assert (await collect(store)).packs == 1
    assert pull(store, DIGEST) == CONTENT
    await assert_clean(store)


@pytest.mark.parametrize("way", ["wrong", "not to be read"])
async def test_damage_that_nobody_knew_is_not_copied_but_reported(store, tmp_path, way):
    pack, offset = place_of(store, DIGEST)
    before = inode(tmp_path, pack)
    if way == "wrong":
        flip(tmp_path, pack, offset)
    with unreadable(pack, offset) if way != "wrong" else nullcontext():
        found = await collect(store)

        assert (found.packs, found.postponed) == (0, 1)
        assert inode(tmp_path, pack) == before
        assert not layout.rewrite_path(tmp_path).exists()
        await until(lambda: len(marked(store)) == 1)
        known = (await collect(store)).packs
    assert known == (way == "wrong")
    assert len(marked(store)) == 1
    await push(store, CONTENT)
    await collect(store)
    assert pull(store, DIGEST) == CONTENT
    await assert_clean(store)


async def test_the_old_file_stays_until_the_disk_has_given_back_the_new_one(store, tmp_path):
    pack, _ = place_of(store, DIGEST)
    before = inode(tmp_path, pack)

    def wrap(name, call):
        def lose(source, target, count, source_at, target_at):
            """The disk says that it has the bytes, and has not."""
            return count

        return lose

    with replaced(("copy_file_range",), wrap):
        assert (await collect(store)).postponed == 1

    assert inode(tmp_path, pack) == before
    assert pull(store, DIGEST) == CONTENT
    await assert_clean(store)
    assert marked(store) == {}  # its source was sound
    assert (await collect(store)).packs == 1
    assert pull(store, DIGEST) == CONTENT
