"""A backup is whole at every moment, whatever ends it and whoever works beside it."""

import errno
import json
import shutil
import sys
from pathlib import Path

import pytest
import trio
import trio.testing

from cas import layout
from cas.backup.back_up import back_up
from cas.backup.folder import BackupRefused
from cas.digest import Digest
from cas.errors import StoreFailed
from cas.keeping import taking_packs
from cas.local import open_store
from cas.placing import Placer, _Build
from index.environment import open_copy
from index.errors import IndexFailed
from index.records import WorkKind
from tests.anomaly import FailAt
from tests.cas.backups import (
    KIB,
    KILLABLE,
    Site,
    assert_serves,
    assert_whole,
    back,
    collect,
    damage,
    killed_at,
    pack_of,
    restored,
)
from tests.cas.pushing import changes_for, fill, noise, prepare, push

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def full(site):
    """A store with some of everything."""
    await site.fill()
    return site


# --- whole at every moment ---------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
async def test_after_a_failure_anywhere_the_folder_holds_a_whole_backup(full, code):
    back(full)
    kept = dict(full.kept)
    await full.push(noise(200 * KIB, "new"), noise(600 * KIB, "more"))
    await collect(full.data, gone := Digest.of(noise(100 * KIB, "a")))
    del full.kept[gone]
    both = {digest: content for digest, content in kept.items() if digest != gone}
    pristine = full.tmp_path / "pristine"
    shutil.copytree(full.folder, pristine)

    fault = FailAt(code, KILLABLE)
    failed = 0
    while not fault.is_beyond:
        shutil.rmtree(full.folder)
        shutil.copytree(pristine, full.folder)
        fault.go_on()
        with fault.armed():
            try:
                back(full)
            except (BackupRefused, OSError, IndexFailed) as error:
                failed += 1
                if isinstance(error, BackupRefused):
                    assert code == errno.ENOSPC
                    assert "is full" in str(error)
        await assert_whole(full, both)
        back(full)
        await assert_whole(full)
    assert failed > 10


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_after_kill_9_anywhere_the_folder_holds_a_whole_backup(full):
    back(full)
    kept = dict(full.kept)
    await full.push(noise(200 * KIB, "new"), noise(600 * KIB, "more"))
    number = 0
    resumed = []
    while killed_at(full, number := number + 1):
        place = full.new_place()
        await restored(full.folder, place)
        await assert_serves(place, kept)
        shutil.rmtree(place)
        if number % 5 == 0:
            shutil.copytree(full.folder, again := full.tmp_path / f"again-{number}")
            resumed.append(back_up(full.data, again).bytes_copied)
            shutil.rmtree(again)
    await assert_whole(full)

    assert number > 15
    assert resumed == sorted(resumed, reverse=True)  # what was copied before a kill is kept
    assert (resumed[0], resumed[-1]) == (800 * KIB, 0)


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_the_first_backup_can_be_killed_too_and_there_is_nothing_to_restore_before(full):
    refused = number = 0
    while killed_at(full, number := number + 1):
        try:
            await restored(full.folder, place := full.new_place())
        except BackupRefused:
            refused += 1
            assert not place.exists()
        else:
            await assert_serves(place, full.kept)
    assert refused > 10
    await assert_whole(full)


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_no_kill_makes_it_forget_what_was_damaged(site):
    for seed in ("old", "new"):
        digests = await site.push(noise(450 * KIB, seed))
        damage(site.data / layout.PACKS / pack_of(site, digests[0]), 1000)
        if seed == "old":
            back(site)

    number = 0
    while killed_at(site, number := number + 1):
        again = site.tmp_path / "again"
        shutil.copytree(site.folder, again)
        assert len(back_up(site.data, again).damaged) == 2
        shutil.rmtree(again)
    assert number > 15


# --- beside others -----------------------------------------------------------------------------


async def test_no_pack_is_taken_away_meanwhile(full):
    seen = set()

    def look(stage, done, total) -> None:
        with taking_packs(full.data) as is_taken:
            seen.add((stage, is_taken))

    back(full, tell=look)

    assert seen == {("index", False), ("packs", False)}
    with taking_packs(full.data) as is_taken:
        assert is_taken


async def test_progress_goes_from_nothing_to_all(full):
    told = []
    report = back(full, tell=lambda *each: told.append(each))

    assert told[0] == ("index", 0, 0)
    assert told[1] == ("packs", 0, report.bytes_copied)
    assert told[-1] == ("packs", report.bytes_copied, report.bytes_copied)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


async def test_a_build_under_way_is_undone_by_the_restore(full, monkeypatch):
    original = _Build.following
    calls = []

    def failing(self, transaction):
        calls.append(self)
        if len(calls) == 1:
            raise IndexFailed("broken")
        return original(self, transaction)

    monkeypatch.setattr(_Build, "following", failing)
    with pytest.raises(StoreFailed):
        async with open_store(full.data) as store:
            await push(store, noise(600 * KIB, "half"))
    monkeypatch.undo()

    back(full)

    with open_copy(full.folder / "index") as copy:
        (work,) = copy.read(lambda view: [row for _, row in view.iter_work()])
    assert work.kind is WorkKind.BUILD
    assert not (full.folder / "packs" / f"{work.pack:016x}").exists()
    await assert_whole(full)


@pytest.mark.slow
async def test_a_blob_that_is_indexed_after_its_pack_was_sealed_is_not_overlooked(
    site, monkeypatch
):
    late = noise(90 * KIB, "late")
    may_commit = trio.Event()
    original = Placer._write

    async def wait_if_late(self, build):
        if build.path == path:
            await may_commit.wait()
        return await original(self, build)

    monkeypatch.setattr(Placer, "_write", wait_if_late)
    async with open_store(site.data) as store, trio.open_nursery() as nursery:
        await prepare(store)
        upload = await fill(store, late)
        path = layout.upload_path(site.data, upload.id)
        nursery.start_soon(store.commit, changes_for(upload, Digest.of(late)))
        await trio.testing.wait_all_tasks_blocked(0.2)
        for seed in range(3):
            await push(store, noise(150 * KIB, seed))
        before = await back_up_elsewhere(site)
        may_commit.set()
        await trio.testing.wait_all_tasks_blocked(0.2)
        after = await back_up_elsewhere(site)

    site.kept[Digest.of(late)] = late
    assert (before["packs"], after["packs"]) == (2, 2)
    assert after["bytes_copied"] == len(late)
    await assert_whole(site)


async def back_up_elsewhere(site: Site) -> dict:
    """Back up in another process: LMDB opens an index once in each."""
    command = ("-m", "frontend.main", "backup", site.folder, "--data", site.data, "--json")
    ended = await trio.run_process([sys.executable, *command], capture_stdout=True, cwd=ROOT)
    return json.loads(ended.stdout)
