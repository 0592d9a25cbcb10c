"""Mending while others read, delete and cancel, and on an index that lacks something."""

import pytest
import trio

from cas.errors import Damaged
from cas.local import open_store
from cas.maintenance.quarantine import Quarantine
from index.errors import NoSpace
from index.records import Place
from tests.cas import pages
from tests.cas.collecting import AT_ONCE, collect, push_idle
from tests.cas.damaging import (
    CONTENT,
    SIBLING,
    flip,
    hurt,
    lose,
    marked,
    place_of,
    scrub,
    until,
)
from tests.cas.pushing import prepare, pull, push

KIB = 1 << 10


async def test_who_reads_the_old_layout_gets_nothing_wrong_when_it_has_gone(store, tmp_path):
    """Its chunks are named nowhere any more: nothing is left to check the bytes against."""
    digest, sibling = await push(store, CONTENT), await push(store, SIBLING)
    pack, _ = place_of(store, digest)
    with (
        store.read(lambda view: view.open(digest)) as one,
        store.read(lambda view: view.open(sibling)) as other,
    ):
        lose(tmp_path, pack, "flipped")
        await scrub(store)
        await push(store, CONTENT)
        await until(lambda: not hurt(store))

        for blob in (one, other):
            with pytest.raises(Damaged):
                blob.read(0, blob.size)


async def test_who_reads_what_is_deleted_reads_on(tmp_path):
    async with open_store(tmp_path, AT_ONCE) as store:
        await prepare(store)
        digest = await push_idle(store, CONTENT)
        with store.read(lambda view: view.open(digest)) as blob:
            await collect(store)
            for held in blob._held.values():  # its file has no name any more
                pages.drop(held.number)

            assert blob.read(0, blob.size) == CONTENT


async def test_what_the_index_lacks_is_not_made_up_by_mending(store, tmp_path):
    digest = await push(store, CONTENT)
    flip(tmp_path, *place_of(store, digest, 350 * KIB))
    await scrub(store)

    def lose_a_chunk(transaction) -> None:
        extent = transaction.extents(transaction.object(digest.key).id)[0]
        transaction.delete("chunk_at", Place(extent.pack, extent.offset).encode())

    await store._writer.write(lose_a_chunk)

    await push(store, CONTENT[200 * KIB :] + b"brings what was lost")
    await trio.sleep(0.3)

    assert hurt(store) == {str(digest)}
    await push(store, CONTENT)
    assert pull(store, digest) == CONTENT


@pytest.mark.parametrize("error", [NoSpace(), trio.Cancelled])
async def test_marks_whose_objects_could_not_be_marked_are_owed(
    store, tmp_path, error, monkeypatch
):
    digest = await push(store, CONTENT)
    flip(tmp_path, *place_of(store, digest))
    quarantine, original = store.upkeep.quarantine, Quarantine._write_hurt

    def fail(self, transaction, hits):
        monkeypatch.setattr(Quarantine, "_write_hurt", original)
        raise error

    if error is trio.Cancelled:  # right after the marks of the chunks
        with trio.CancelScope() as scope:
            monkeypatch.setattr(quarantine, "mark_hurt", scope_cancelling(scope))
            await quarantine.believe([Place(*place_of(store, digest))])
        monkeypatch.undo()
    else:
        monkeypatch.setattr(Quarantine, "_write_hurt", fail)
        with pytest.raises(NoSpace):
            await quarantine.believe([Place(*place_of(store, digest))])
    assert len(marked(store)) == 1
    assert hurt(store) == set()

    await store.upkeep._look_again()

    assert hurt(store) == {str(digest)}


def scope_cancelling(scope):
    async def cancelled():
        scope.cancel()
        await trio.lowlevel.checkpoint()

    return cancelled
