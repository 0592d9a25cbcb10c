"""Backups: what is in them, what each copies, and what they say of damage."""

import os
import re
import stat

import pytest

from cas import layout
from cas.digest import Digest
from index import keys
from index.environment import open_environment
from tests.anomaly import counted
from tests.cas.backups import (
    KIB,
    assert_serves,
    assert_whole,
    back,
    collect,
    damage,
    pack_of,
    restored,
)
from tests.cas.pushing import IMAGE, noise


@pytest.fixture
async def full(site):
    """A store with some of everything."""
    await site.fill()
    return site


# --- what is in it -----------------------------------------------------------------------------


async def test_a_backup_has_everything_and_a_restore_serves_it(full):
    report = back(full)

    assert report.damaged == ()
    assert report.bytes_copied == sum(len(c) for c in full.kept.values() if len(c) > 64 * KIB)
    await assert_whole(full)


async def test_its_files_are_the_owners_only_and_uploads_are_not_among_them(full):
    (full.data / layout.UPLOADS / "staged").write_bytes(b"x")
    back(full)

    names = {"backup.json", "index", "lock", *(f"packs/{path.name}" for path in full.packs())}
    assert set(full.files()) == names
    for path in (full.folder, *full.folder.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


async def test_a_store_with_nothing_in_it_can_be_backed_up(site):
    await site.push()
    back(site)

    await assert_whole(site)


async def test_holes_stay_holes(site):
    await site.push(noise(500 * KIB, "b"))
    # A second adopted file with a known middle, which is punched out.
    await site.push(noise(800 * KIB, "x") + noise(500 * KIB, "b") + noise(1400 * KIB, "y"))
    back(site)

    blocks = sum(path.stat().st_blocks for path in site.packs())
    found = sum(path.stat().st_blocks for path in (site.folder / "packs").iterdir())
    assert found <= blocks + 8
    assert blocks * 512 < sum(path.stat().st_size for path in site.packs())
    await assert_whole(site)


# --- incremental -------------------------------------------------------------------------------


async def test_a_second_backup_copies_what_is_new_only(full):
    first = back(full)
    nothing = back(full)
    await full.push(noise(90 * KIB, "new"))
    second = back(full)

    assert (nothing.bytes_copied, nothing.bytes_kept) == (0, first.bytes_copied)
    assert (second.bytes_copied, second.bytes_kept) == (90 * KIB, first.bytes_copied)
    await assert_whole(full)


async def test_a_sealed_pack_that_it_has_is_not_read_again(full):
    back(full)

    with counted("pread") as counts:
        back(full)

    assert counts["pread"] == 0


async def test_with_verify_it_is_read_and_mended(full):
    back(full)
    packs = sorted((full.folder / "packs").iterdir())
    for path in packs:
        if path.stat().st_size:
            damage(path, 10)

    assert back(full).bytes_copied == 0
    assert back(full, verify=True).bytes_copied > 0
    assert back(full, verify=True).bytes_copied == 0
    await assert_whole(full)


@pytest.mark.parametrize("lost", ["removed", "cut"])
async def test_a_pack_that_was_lost_from_the_folder_is_copied_again(full, lost):
    back(full)
    path = max((full.folder / "packs").iterdir(), key=lambda path: path.stat().st_size)
    path.unlink() if lost == "removed" else os.truncate(path, 5)

    assert back(full).bytes_copied >= 300 * KIB
    await assert_whole(full)


async def test_an_index_that_was_damaged_in_the_folder_is_replaced_and_its_packs_looked_at(full):
    first = back(full)
    damage(full.folder / "index", 20_000)
    damage(max((full.folder / "packs").iterdir(), key=lambda path: path.stat().st_size), 9)

    report = back(full)

    assert 0 < report.bytes_copied < first.bytes_copied
    await assert_whole(full)


async def test_packs_that_nothing_needs_any_more_are_removed(full):
    adopted = Digest.of(noise(500 * KIB, "c"))
    await full.push(noise(500 * KIB, "c"))
    before = back(full)
    await collect(full.data, adopted)
    del full.kept[adopted]

    report = back(full)

    assert (report.packs_removed, report.packs) == (1, before.packs - 1)
    assert len(full.packs()) == len(list((full.folder / "packs").iterdir()))
    await assert_whole(full)


async def test_pages_of_deleted_chunks_are_given_back(site):
    await site.push(noise(150 * KIB, 1), noise(140 * KIB, 2))
    back(site)
    gone = Digest.of(noise(150 * KIB, 1))
    await collect(site.data, gone)
    del site.kept[gone]

    before = sum(path.stat().st_blocks for path in (site.folder / "packs").iterdir())
    back(site)
    after = sum(path.stat().st_blocks for path in (site.folder / "packs").iterdir())

    assert (before - after) * 512 >= 140 * KIB
    await assert_whole(site)


async def test_a_pack_that_ends_in_deleted_bytes_is_whole(site):
    (_, gone) = await site.push(noise(100 * KIB, 1), noise(90 * KIB, 2))
    await collect(site.data, gone)
    del site.kept[gone]

    back(site)

    await assert_whole(site)
    with counted("pread") as counts:
        back(site)
    assert counts["pread"] == 0


# --- damage in the store -----------------------------------------------------------------------


async def test_a_damaged_chunk_is_named_with_the_images_it_hurts_and_the_rest_is_backed_up(full):
    digests = await full.push(noise(450 * KIB, "d"), tag="hurt")
    path = full.data / layout.PACKS / pack_of(full, digests[0])
    damage(path, 100_000)

    report = back(full)

    (damaged,) = report.damaged
    assert re.fullmatch(rf"pack {path.name}, bytes \d+ to \d+", damaged.what)
    assert damaged.images == (f"{IMAGE}:hurt",)
    assert back(full).damaged == report.damaged  # it is not forgotten
    del full.kept[digests[0]]

    place = full.new_place()
    assert (await restored(full.folder, place, allow_damage=True)).damaged == report.damaged
    await assert_serves(place, full.kept)

    damage(path, 100_000)  # the same bit once more: it is mended
    mended = back(full)
    assert (mended.damaged, 0 < mended.bytes_copied <= 256 * KIB) == ((), True)
    full.kept[digests[0]] = noise(450 * KIB, "d")
    await assert_whole(full)


async def test_a_lost_pack_is_one_damage(full):
    digests = await full.push(noise(450 * KIB, "d"))
    name = pack_of(full, digests[0])
    (full.data / layout.PACKS / name).unlink()

    (damaged,) = back(full).damaged

    assert damaged.what == f"pack {name}, bytes 0 to {450 * KIB}"
    assert damaged.images == (f"{IMAGE}@{digests[0]}",)


async def test_damaged_bytes_in_the_index_are_named(full):
    digest = Digest.of(b"inline")
    with open_environment(full.data / layout.INDEX) as environment, environment.begin() as raw:
        transaction = environment.transaction(raw)
        transaction.put("inline", keys.u64(transaction.object(digest.key).id), b"enline")

    (damaged,) = back(full).damaged

    assert damaged.what == f"{digest}, in the index"
    assert damaged.images == (f"{IMAGE}:first",)
