"""Pushing the right bytes again mends what was damaged, whoever shares it, however it ends."""

from pathlib import Path

import pytest
import trio

from cas import layout
from cas.digest import Digest
from cas.errors import Damaged
from cas.keeping import keeping_packs
from cas.local import open_store
from cas.placing import _Build
from cas.verbs import Owner
from index.changes import Link, PutObject
from index.damage import mark_chunk
from index.records import Place
from tests.cas.collecting import AT_ONCE, collect, push_idle
from tests.cas.damaging import (
    CONTENT,
    SIBLING,
    assert_clean,
    flip,
    hurt,
    lose,
    marked,
    place_of,
    scrub,
    spoil_inline,
    until,
)
from tests.cas.pushing import (
    IMAGE,
    OTHER,
    changes_for,
    drift,
    fill,
    noise,
    prepare,
    pull,
    push,
)

ROOT = Path(__file__).parents[2]
KIB = 1 << 10


WAYS = ("flipped", "cut off", "missing")


@pytest.mark.parametrize("way", WAYS)
async def test_pushing_the_right_bytes_again_mends_whoever_shares_them(store, tmp_path, way):
    digest, sibling = await push(store, CONTENT), await push(store, SIBLING)
    pack, _ = place_of(store, digest)
    lose(tmp_path, pack, way)
    await scrub(store)
    with pytest.raises(Damaged):
        pull(store, sibling)

    await push(store, CONTENT)
    if way != "flipped":  # the sibling's own bytes were lost too
        await push(store, SIBLING)
    await until(lambda: not hurt(store))

    assert pull(store, digest) == CONTENT
    assert pull(store, sibling) == SIBLING
    await collect(store)  # the pack has nothing that lives, or is made whole
    await assert_clean(store)
    assert marked(store) == {}
    found = await scrub(store)
    assert found.chunks == store.read(lambda view: view.entries("chunk"))  # all are shared again


async def test_what_else_is_damaged_stays_marked_and_is_never_served_as_zeros(store, tmp_path):
    digest, sibling = await push(store, CONTENT), await push(store, SIBLING)
    lose(tmp_path, place_of(store, digest)[0], "missing")
    await scrub(store)

    await push(store, CONTENT)

    assert pull(store, digest) == CONTENT
    with pytest.raises(Damaged):
        pull(store, sibling)
    report = await scrub(store)
    assert (report.found, report.mended) == (0, 0)
    assert report.standing > 0
    assert any("missing" in sentence for sentence in await drift(store))


async def test_a_mended_image_that_another_image_links_is_mended_for_both(store, tmp_path):
    digest = await push(store, CONTENT)
    await push(store, CONTENT, Owner(OTHER, "admin"))
    lose(tmp_path, place_of(store, digest)[0], "flipped")
    await scrub(store)

    await push(store, CONTENT, Owner(OTHER, "admin"))

    assert pull(store, digest) == CONTENT
    await assert_clean(store)


async def test_wrong_bytes_mend_nothing(store, tmp_path):
    digest = await push(store, CONTENT)
    lose(tmp_path, place_of(store, digest)[0], "flipped")
    await scrub(store)
    upload = await fill(store, CONTENT[:-1] + b"x")

    with pytest.raises(Exception, match="not"):
        await store.commit(changes_for(upload, digest))

    assert (await scrub(store)).standing == 1


async def test_a_push_of_what_is_sound_touches_no_pack(store, tmp_path):
    digest, other = await push(store, CONTENT), await push(store, noise(90 * KIB, "other"))
    path = layout.pack_path(tmp_path, place_of(store, digest)[0])
    flip(tmp_path, *place_of(store, digest))
    await scrub(store)
    before = path.stat().st_ino

    await push(store, noise(90 * KIB, "other"))

    assert path.stat().st_ino == before
    assert pull(store, other) == noise(90 * KIB, "other")


async def test_a_reader_that_has_the_old_file_keeps_what_it_has(store, tmp_path):
    digest, sibling = await push(store, CONTENT), await push(store, SIBLING)
    pack, _ = place_of(store, digest)
    with store.read(lambda view: view.open(sibling)) as blob:
        tail = blob.read(350 * KIB, blob.size)
        lose(tmp_path, pack, "flipped")
        await scrub(store)
        await push(store, CONTENT)

        assert blob.read(350 * KIB, blob.size) == tail
        with pytest.raises(Damaged):
            blob.read(0, blob.size)
    await until(lambda: not hurt(store))
    assert pull(store, sibling) == SIBLING


async def test_the_index_gets_its_bytes_back(store):
    content = b"an object in the index"
    digest = Digest.of(content)
    await store.commit([PutObject(digest.key, content), Link(IMAGE, digest.key)])
    spoil_inline(store._environment, digest)
    assert (await scrub(store)).found == 1

    await push(store, content)

    assert pull(store, digest) == content
    await assert_clean(store)


async def test_what_lives_in_the_index_is_mended_before_anybody_found_it(store):
    digest = await push(store, b"in the index")
    spoil_inline(store._environment, digest)

    await push(store, b"in the index")

    assert pull(store, digest) == b"in the index"


# --- who else uses the pack ---


async def test_neither_a_backup_nor_who_relies_on_the_pack_is_in_the_way(store, tmp_path):
    digest = await push(store, CONTENT)
    pack, _ = place_of(store, digest)
    lose(tmp_path, pack, "flipped")
    await scrub(store)

    with keeping_packs(tmp_path), store.pins.holding(pack):
        await push(store, CONTENT)

    assert pull(store, digest) == CONTENT


async def test_a_neighbour_that_cannot_be_read_is_not_in_the_way(store, tmp_path):
    digest, other = await push(store, CONTENT), await push(store, noise(90 * KIB, "other"))
    pack, _ = place_of(store, other)
    flip(tmp_path, *place_of(store, other))
    lose(tmp_path, pack, "flipped")
    await scrub(store)

    await push(store, CONTENT)

    assert pull(store, digest) == CONTENT
    assert hurt(store) == {str(other)}


async def test_what_is_pushed_mends_others_that_lost_the_same(store, tmp_path):
    """Although it is none of them: chunks have names."""
    digest, sibling = await push(store, CONTENT), await push(store, SIBLING)
    lose(tmp_path, place_of(store, digest)[0], "flipped")  # in what they share
    await scrub(store)
    assert hurt(store) == {str(digest), str(sibling)}

    await push(store, CONTENT + b"and more")
    await until(lambda: not hurt(store))

    assert pull(store, digest) == CONTENT
    assert pull(store, sibling) == SIBLING
    await assert_clean(store)


async def test_what_is_marked_while_it_is_built_is_built_again(store, tmp_path, monkeypatch):
    """A push of several transactions takes a chunk that is found damaged before its last one."""
    monkeypatch.setattr("index.placement.ROWS", 16)
    first = await push(store, CONTENT)
    flip(tmp_path, *place_of(store, first))
    original, is_over = _Build.following, False

    def following(self, transaction):
        nonlocal is_over
        if not is_over:
            is_over = True
            mark_chunk(transaction, Place(*place_of_chunk(transaction, first)), 1, "")
        return original(self, transaction)

    monkeypatch.setattr(_Build, "following", following)
    content = CONTENT + noise(400 * KIB, "more")

    digest = await push(store, content)

    assert is_over
    assert pull(store, digest) == content
    assert await drift(store) == []


def place_of_chunk(view, digest) -> tuple[int, int]:
    extent = view.extents(view.object(digest.key).id)[0]
    return extent.pack, extent.offset


async def test_a_manifest_that_came_as_a_blob_is_mended_as_a_manifest(store, tmp_path):
    digest = await push(store, CONTENT)
    flip(tmp_path, *place_of(store, digest))
    await scrub(store)

    await store.commit([PutObject(digest.key, CONTENT), Link(IMAGE, digest.key)])

    assert pull(store, digest) == CONTENT
    await collect(store)  # what it was is dismantled
    await assert_clean(store)


async def test_a_large_manifest_is_mended_as_a_blob(store):
    digest = Digest.of(CONTENT)
    await store.commit([PutObject(digest.key, CONTENT), Link(IMAGE, digest.key)])
    spoil_inline(store._environment, digest)
    await scrub(store)
    assert hurt(store) == {str(digest)}

    await push(store, CONTENT)

    assert pull(store, digest) == CONTENT
    await assert_clean(store)


async def test_what_was_marked_without_saying_whom_it_hurts_is_found_at_the_next_start(tmp_path):
    async with open_store(tmp_path) as store:
        await prepare(store)
        digest = await push(store, CONTENT)
        place = Place(*place_of_chunk_in(store, digest))
        flip(tmp_path, *place)
        await store._writer.write(lambda t: mark_chunk(t, place, 1, "killed after this"))
    async with open_store(tmp_path) as store:
        await until(lambda: hurt(store) == {str(digest)})


def place_of_chunk_in(store, digest) -> tuple[int, int]:
    return store.read(lambda view: place_of_chunk(view, digest))


async def test_a_disk_that_comes_back_needs_nobody(tmp_path, monkeypatch):
    monkeypatch.setattr("cas.maintenance.upkeep.LOOK_SECONDS", 0.05)
    async with open_store(tmp_path) as store:
        await prepare(store)
        digest = await push(store, CONTENT)
        path = layout.pack_path(tmp_path, place_of(store, digest)[0])
        path.rename(tmp_path / "away")
        await scrub(store)
        assert hurt(store) == {str(digest)}
        (tmp_path / "away").rename(path)

        await until(lambda: not hurt(store))

        assert marked(store) == {}
        assert pull(store, digest) == CONTENT


async def test_bytes_appended_meanwhile_are_in_no_pack_that_is_replaced(store, tmp_path):
    """The active pack is sealed first: what is appended goes elsewhere."""
    digest = await push(store, CONTENT)
    pack, _ = place_of(store, digest)
    lose(tmp_path, pack, "flipped")
    await scrub(store)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(push, store, CONTENT)
        for number in range(5):
            nursery.start_soon(push, store, noise(150 * KIB, number))

    assert pull(store, digest) == CONTENT
    for number in range(5):
        content = noise(150 * KIB, number)
        assert pull(store, Digest.of(content)) == content
    await assert_clean(store)


async def test_collection_of_a_damaged_pack_keeps_what_lives_and_mending_follows(tmp_path):
    async with open_store(tmp_path, AT_ONCE) as store:
        await prepare(store)
        digest = await push(store, CONTENT)
        await push_idle(store, noise(400 * KIB, "garbage"))
        lose(tmp_path, place_of(store, digest)[0], "flipped")
        await scrub(store)

        assert (await collect(store)).packs == 1
        assert (await scrub(store)).standing == 1
        await push(store, CONTENT)

        assert pull(store, digest) == CONTENT
        await assert_clean(store)
