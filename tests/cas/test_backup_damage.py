"""Marked chunks, backups and restores: the folder has what was sound, the index tells what is."""

from typing import NamedTuple

import pytest

from cas import layout
from cas.digest import Digest
from cas.errors import Damaged
from cas.local import open_store
from index import keys
from index.damage import is_hurt, iter_bad
from index.environment import open_environment
from tests.cas.backups import KIB, back, damage, pack_of, restored
from tests.cas.damaging import assert_clean, marked, place_of, scrub, spoil_inline
from tests.cas.pushing import drift, noise, pull, push

FIRST, SECOND = noise(150 * KIB, "first"), noise(140 * KIB, "second")


class Chunk(NamedTuple):
    offset: int
    length: int


@pytest.fixture
async def hurt(site):
    """A site with two blobs; the pack of the first is damaged and marked."""
    await site.push(FIRST, SECOND, tag="both")
    await lose(site)
    return site


async def lose(site) -> None:
    digest = Digest.of(FIRST)
    async with open_store(site.data) as store:
        pack, offset = place_of(store, digest, 70 * KIB)
    damage(layout.pack_path(site.data, pack), offset)
    async with open_store(site.data) as store:
        assert (await scrub(store)).found == 1


async def mend(site) -> None:
    async with open_store(site.data) as store:
        await push(store, FIRST)
        await assert_clean(store)


def marks_of(site) -> list[Chunk]:
    """What is marked in the store."""
    with open_environment(site.data / layout.INDEX) as environment:
        return environment.read(
            lambda view: [Chunk(place.offset, row.length) for place, row in iter_bad(view)]
        )


def says_hurt(store, content: bytes) -> bool:
    digest = Digest.of(content)
    return store.read(lambda view: is_hurt(view, view.object(digest.key)))


async def test_the_next_backup_after_a_mending_brings_the_mended_bytes(hurt):
    name = pack_of(hurt, Digest.of(FIRST))
    assert len(back(hurt).damaged) == 1
    (chunk,) = marks_of(hurt)
    copy = (hurt.folder / "packs" / name).read_bytes()
    assert not any(copy[chunk.offset : chunk.offset + chunk.length])  # a hole: nothing wrong

    await mend(hurt)
    report = back(hurt)

    assert (report.damaged, report.bytes_copied) == ((), chunk.length)
    place = hurt.new_place()
    await restored(hurt.folder, place)
    async with open_store(place) as store:
        assert (pull(store, Digest.of(FIRST)), pull(store, Digest.of(SECOND))) == (FIRST, SECOND)
        await assert_clean(store)


async def test_what_was_damaged_after_its_backup_is_whole_in_the_restore(site):
    await site.push(FIRST, SECOND, tag="both")
    back(site)
    await lose(site)
    assert back(site).damaged == ()  # it is not read again: the folder has it

    place = site.new_place()
    await restored(site.folder, place)

    async with open_store(place) as store:
        assert marked(store) == {}
        assert not says_hurt(store, FIRST)
        assert pull(store, Digest.of(FIRST)) == FIRST
        report = await scrub(store)
        assert (report.standing, report.found, report.is_resumed) == (0, 0, False)
        assert report.chunks == store.read(lambda view: view.entries("chunk"))  # shared again
        assert await drift(store) == []


async def test_what_the_backup_lacks_is_marked_in_the_restore_and_a_push_mends_it(hurt):
    back(hurt)
    await mend(hurt)  # the backup knows nothing of it

    place = hurt.new_place()
    await restored(hurt.folder, place, allow_damage=True)

    async with open_store(place) as store:
        assert len(marked(store)) == 1
        assert says_hurt(store, FIRST)
        with pytest.raises(Damaged):
            pull(store, Digest.of(FIRST))
        assert pull(store, Digest.of(SECOND)) == SECOND
        await push(store, FIRST)
        assert pull(store, Digest.of(FIRST)) == FIRST
        await assert_clean(store)


async def test_what_the_folder_lost_is_marked_in_the_restore(site):
    await site.push(FIRST, SECOND, b"inline", tag="all")
    back(site)
    damage(site.folder / "packs" / pack_of(site, Digest.of(FIRST)), 0)

    place = site.new_place()
    await restored(site.folder, place, allow_damage=True)

    async with open_store(place) as store:
        report = await scrub(store)
        assert (report.standing, report.found) == (1, 0)  # nothing that was not known
        assert says_hurt(store, FIRST)
        await push(store, FIRST)
        await assert_clean(store)


@pytest.mark.parametrize("is_marked", [True, False])
async def test_objects_in_the_index_are_looked_at_by_a_restore(site, is_marked):
    await site.push(b"inline", FIRST, tag="all")
    digest = Digest.of(b"inline")
    async with open_store(site.data) as store:
        spoil_inline(store._environment, digest)
        if is_marked:
            assert (await scrub(store)).found == 1
    back(site)

    place = site.new_place()
    await restored(site.folder, place, allow_damage=True)

    async with open_store(place) as store:
        assert says_hurt(store, b"inline")
        await push(store, b"inline")
        assert pull(store, digest) == b"inline"
        await assert_clean(store)


async def test_a_restored_store_keeps_its_history_and_begins_its_scrub_anew(hurt):
    back(hurt)
    with open_environment(hurt.data / layout.INDEX) as environment:
        cursor = keys.place(1 << 60, 0)
        environment.write(lambda t: t.put("meta", keys.META_SCRUB, b"\1" + cursor))
        runs = environment.read(lambda view: list(view.scan("run")))
    assert runs
    back(hurt)

    place = hurt.new_place()
    await restored(hurt.folder, place, allow_damage=True)

    with open_environment(place / layout.INDEX) as environment:
        assert environment.read(lambda view: list(view.scan("run"))) == runs
        assert environment.read(lambda view: view.get("meta", keys.META_SCRUB)) is None
