"""Starts and repairs of stores with damage: after crashes, cut off, and of an older format."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from cas import layout
from cas.checks.repair import repair
from cas.errors import Damaged
from cas.local import open_store
from frontend.repairing import describe
from index import keys
from index.environment import open_environment
from index.records import Place
from tests.anomaly import replaced
from tests.cas.collecting import collect
from tests.cas.damage import drop, plant, populate
from tests.cas.damaging import (
    CONTENT,
    KIB,
    assert_clean,
    flip,
    marked,
    place_of,
    scrub,
    spoil_inline,
)
from tests.cas.pushing import drift, prepare, pull, push


def take_back_to_format_1(environment) -> None:
    """As the version that wrote it left an index: without the tables that came later."""
    for name in (b"run", b"damage"):
        table = environment._lmdb.open_db(name)
        with environment._lmdb.begin(write=True) as raw:
            raw.drop(table)
    environment.write(lambda t: t.put("meta", keys.META_FORMAT, keys.u32(1)))


async def test_a_mark_is_there_after_a_crash_whatever_did_not_follow(tmp_path):
    """Marking is one transaction, and nothing else has to be done for it to hold."""
    async with open_store(tmp_path) as store:
        await prepare(store)
        digest = await push(store, CONTENT)
        flip(tmp_path, *place_of(store, digest))
        await store._upkeep.quarantine.believe([Place(*place_of(store, digest))])
        marks = marked(store)
        shutil.copytree(tmp_path, tmp_path.with_name("killed"))

    async with open_store(tmp_path.with_name("killed")) as store:
        assert marked(store) == marks != {}
        assert await drift(store) == []
        await push(store, CONTENT)
        assert pull(store, digest) == CONTENT
        await assert_clean(store)


async def test_marks_in_an_active_pack_that_lost_its_end_go_on_with_a_new_one(tmp_path):
    async with open_store(tmp_path) as store:
        await prepare(store)
        digest = await push(store, CONTENT)
        pack, _ = place_of(store, digest)
        flip(tmp_path, *place_of(store, digest))
        await scrub(store)
    os.truncate(layout.pack_path(tmp_path, pack), 100 * KIB)

    async with open_store(tmp_path) as store:
        report = await scrub(store)
        assert report.standing > 1
        await push(store, CONTENT)
        assert pull(store, digest) == CONTENT
        await collect(store)  # the pack that lost its end
        await assert_clean(store)


async def test_an_index_of_format_1_can_be_scrubbed_and_mended(tmp_path):
    async with open_store(tmp_path) as store:
        await prepare(store)
        digest = await push(store, CONTENT)
        place = place_of(store, digest)
    with open_environment(tmp_path / layout.INDEX) as environment:
        take_back_to_format_1(environment)
    flip(tmp_path, *place)

    async with open_store(tmp_path) as store:
        assert (await scrub(store)).found == 1
        assert await drift(store) == []
        await push(store, CONTENT)
        assert pull(store, digest) == CONTENT
        await assert_clean(store)


async def test_a_repair_goes_on_where_the_disk_cannot_read(tmp_path):
    """What it would make of the bytes is lost; all else is mended."""
    await populate(tmp_path)
    plant(tmp_path, drop("chunk_at"))
    plant(tmp_path, drop("link_by_digest"))

    def wrap(name, call):
        def refuse(descriptor, *rest):
            if Path(f"/proc/self/fd/{descriptor}").readlink().parent.name == layout.PACKS:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return call(descriptor, *rest)

        return refuse

    with replaced(("pread",), wrap):
        done = await repair(tmp_path, describe)

    assert any("these bytes are lost" in each for each in done.left)
    assert any("has no row by digest" in each for each in done.mended)
    done = await repair(tmp_path, describe)  # the disk can again
    assert done.left == []


async def test_a_repair_that_drops_a_chunk_or_an_object_drops_its_mark(tmp_path):
    async with open_store(tmp_path) as store:
        await prepare(store)
        digest, inline = await push(store, CONTENT), await push(store, b"in the index")
        flip(tmp_path, *place_of(store, digest))
        spoil_inline(store._environment, inline)
        assert (await scrub(store)).standing == 2
    plant(tmp_path, lambda t: lose_objects(t, digest.key, inline.key))

    done = await repair(tmp_path, describe)

    assert done.left == []
    async with open_store(tmp_path) as store:
        assert marked(store) == {}
        assert await drift(store) == []
        await push(store, CONTENT)
        assert pull(store, digest) == CONTENT
        await assert_clean(store)


def lose_objects(transaction, *digests: bytes) -> None:
    """The index loses all that it has of some objects, but for chunks and marks."""
    for digest in digests:
        number = transaction.object(digest).id
        for table in ("inline", "extent"):
            for key, _ in list(transaction.scan(table, keys.u64(number))):
                transaction.delete(table, key)
        transaction.delete("object", digest)
        for key, _ in list(transaction.scan("link_by_digest", digest)):
            image = key[len(digest) :]
            transaction.delete("link_by_digest", key)
            transaction.delete("link", image + digest)


@pytest.mark.parametrize("is_marked", [True, False])
async def test_a_repair_keeps_the_row_of_a_damaged_chunk_beside_a_lost_one(tmp_path, is_marked):
    """Without it the wrong bytes would be served as if there were nothing to check them against."""
    async with open_store(tmp_path) as store:
        await prepare(store)
        digest = await push(store, CONTENT)
        pack, _ = place_of(store, digest)
        rows = store.read(lambda view: list(view.iter_chunks(pack)))
        flip(tmp_path, pack, rows[1][0])
        if is_marked:
            await scrub(store)
    plant(tmp_path, lambda t: t.delete("chunk_at", keys.place(pack, rows[0][0])))

    await repair(tmp_path, describe)

    async with open_store(tmp_path) as store:
        assert store.read(lambda view: view.chunk_at(pack, rows[1][0])) == rows[1][1]
        assert len(marked(store)) == is_marked
        with pytest.raises(Damaged):
            pull(store, digest)
