"""Restores: all of a backup, checked, or nothing at all."""

import errno
import os
import shutil
import stat
import threading
from pathlib import Path

import pytest

from cas import layout, recovery
from cas.backup.back_up import back_up
from cas.backup.folder import BackupRefused
from cas.backup.restore import BackupDamaged, restore
from cas.digest import Digest
from cas.errors import Damaged
from cas.local import open_store
from index import keys
from index.environment import open_environment
from index.errors import DirectoryHeld, IndexFault
from index.lock import hold_directory
from index.records import PackState
from tests.anomaly import FailAt, counted
from tests.cas.backups import KIB, Site, assert_serves, damage, killing_at, opened, restored
from tests.cas.pushing import IMAGE, noise

CALLS = ("open", "copy_file_range", "pwrite", "pwritev", "fsync", "ftruncate", "rename", "mkdir")


@pytest.fixture
async def full(site):
    """A backup of some of everything."""
    await site.fill()
    back_up(site.data, site.folder)
    return site


@pytest.fixture
def place(tmp_path):
    return tmp_path / "deep" / "place"


def largest(folder: Path) -> Path:
    return max((folder / "packs").iterdir(), key=lambda path: (path.stat().st_size, path.name))


def names_in(place: Path) -> set[str]:
    return {path.name for path in place.iterdir()} if place.exists() else set()


async def assert_nothing(site: Site, place: Path) -> None:
    """Nothing is left that a server would start on, or that another restore would mind."""
    assert names_in(place) <= {"lock"}
    await restored(site.folder, place)
    await assert_serves(place, site.kept)
    shutil.rmtree(place)


# --- what is made --------------------------------------------------------------------------------


async def test_a_restored_directory_is_private_and_has_what_a_server_makes(full, place):
    report = await restored(full.folder, place)

    assert (report.damaged, report.drift) == ((), ())
    assert {path.name for path in place.iterdir()} == {"index", "lock", "packs", "uploads"}
    for path in (place, *place.rglob("*")):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == 0o700 if path.is_dir() else mode in {0o600, 0o400}
    await assert_serves(place, full.kept)


@pytest.mark.parametrize("makes", [lambda path: None, lambda path: (path / "lost+found").mkdir()])
async def test_an_empty_directory_will_do(full, place, makes):
    place.mkdir(parents=True)
    makes(place)

    await restored(full.folder, place)

    await assert_serves(place, full.kept)


async def test_no_pack_of_the_backup_grows_again(full, place):
    await restored(full.folder, place)
    before = {path.name: path.stat().st_size for path in (full.folder / "packs").iterdir()}

    await assert_serves(place, full.kept)  # pushes more

    for name, size in before.items():
        assert (place / "packs" / name).stat().st_size == size
    with open_environment(place / layout.INDEX) as environment:
        rows = environment.read(lambda view: dict(view.iter_packs()))
        following = environment.read(lambda view: keys.number(view.get("meta", keys.META_NEXT)))
    active = {pack for pack, row in rows.items() if row.state is PackState.ACTIVE}
    assert not active & {int(name, 16) for name in before}
    with open_environment(full.data / layout.INDEX) as environment:
        meta = environment.read(lambda view: dict(view.scan("meta")))
    assert following != keys.number(meta[keys.META_NEXT])


async def test_between_file_systems_the_bytes_go_through_us(full, place, monkeypatch):
    def refuse(*args):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "copy_file_range", refuse)
    await restored(full.folder, place)
    monkeypatch.undo()

    await assert_serves(place, full.kept)


async def test_a_backup_that_was_copied_elsewhere_can_be_restored_from_there(full, place, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(full.folder, copy)
    (copy / "lock").unlink()

    await restored(copy, place)

    await assert_serves(place, full.kept)


async def test_a_backup_is_only_read(full, place):
    before = full.files()
    with counted("unlink", "rename") as counts:
        await restored(full.folder, place)

    assert full.files() == before
    assert counts["unlink"] <= 2  # of the new directory


# --- damage --------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [0, 70_000])
async def test_a_flipped_bit_in_a_pack_is_named_and_nothing_restored(full, place, offset):
    path = largest(full.folder)
    damage(path, offset)

    with pytest.raises(BackupDamaged, match=rf"pack {path.name}, bytes .*{IMAGE}:first") as caught:
        await restored(full.folder, place)

    assert len(caught.value.damaged) == 1
    damage(path, offset)
    await assert_nothing(full, place)


async def test_what_is_sound_of_a_damaged_backup_is_restored_on_demand(full, place):
    damage(largest(full.folder), 0)

    report = await restored(full.folder, place, allow_damage=True)

    (damaged,) = report.damaged
    assert damaged.images == (f"{IMAGE}:first",)
    gone = Digest.of(noise(500 * KIB, "b"))
    kept = {digest: content for digest, content in full.kept.items() if digest != gone}
    await assert_serves(place, kept)
    async with opened(place) as store:
        blob = store.read(lambda view: view.open(gone))
        with blob, pytest.raises(Damaged):
            blob.read(0, blob.size)


@pytest.mark.parametrize("loss", ["removed", "cut", "a link"])
async def test_packs_that_are_missing_are_named_before_any_is_copied(full, place, loss):
    path = largest(full.folder)
    content = path.read_bytes()
    path.unlink()
    if loss == "cut":
        path.write_bytes(content[:1000])
    if loss == "a link":
        path.symlink_to(full.data / layout.PACKS / path.name)
    start = 1000 if loss == "cut" else 0

    with counted("copy_file_range") as counts, pytest.raises(BackupDamaged) as caught:
        await restored(full.folder, place)

    assert [each.what for each in caught.value.damaged] == [
        f"pack {path.name}, bytes {start} to {len(content)}"
    ]
    assert counts["copy_file_range"] == 0
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    await assert_nothing(full, place)


async def test_a_missing_pack_does_not_keep_the_rest_from_being_restored(full, place):
    largest(full.folder).unlink()

    report = await restored(full.folder, place, allow_damage=True)

    assert [each.images for each in report.damaged] == [(f"{IMAGE}:first",)]
    gone = Digest.of(noise(500 * KIB, "b"))
    kept = {digest: content for digest, content in full.kept.items() if digest != gone}
    await assert_serves(place, kept)


async def test_an_index_that_is_not_what_was_written_is_refused(full, place):
    index = full.folder / "index"
    damage(index, index.stat().st_size - 100)

    with pytest.raises(BackupRefused, match="the index is not what was written"):
        await restored(full.folder, place)

    damage(index, index.stat().st_size - 100)
    await assert_nothing(full, place)


async def test_inline_bytes_are_checked_against_their_digest(full, place):
    digest = Digest.of(b"inline")
    with open_environment(full.data / layout.INDEX) as environment, environment.begin() as raw:
        transaction = environment.transaction(raw)
        transaction.put("inline", keys.u64(transaction.object(digest.key).id), b"enline")
    back_up(full.data, full.folder)

    with pytest.raises(BackupDamaged, match=f"{digest}, in the index: needed by {IMAGE}:first"):
        await restored(full.folder, place)


async def test_what_fsck_finds_is_refused(full, place):
    with open_environment(full.data / layout.INDEX) as environment, environment.begin() as raw:
        transaction = environment.transaction(raw)
        transaction.delete("usage", next(iter(transaction.scan("usage")))[0])
    back_up(full.data, full.folder)

    with pytest.raises(BackupDamaged, match="usage"):
        await restored(full.folder, place)
    assert not place.exists()

    assert (await restored(full.folder, place, allow_damage=True)).drift


# --- all or nothing ------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
async def test_a_failure_anywhere_leaves_nothing(full, place, code):
    fault = FailAt(code, CALLS)
    failed = 0
    while not fault.is_beyond:
        fault.go_on()
        place.mkdir(parents=True)
        with fault.armed():
            try:
                await restored(full.folder, place)
            except (BackupRefused, BackupDamaged, IndexFault, OSError):
                failed += 1
        await assert_all_or_nothing(full, place)
    assert failed > 20


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_kill_9_anywhere_leaves_nothing_that_a_server_starts_on(full, place):
    number = 0
    while killed_at(full, place, number := number + 1):
        await assert_all_or_nothing(full, place)
    assert number > 20
    await assert_serves(place, full.kept)


async def assert_all_or_nothing(site: Site, place: Path) -> None:
    """All is there, or no server starts and another restore may be run; then all is removed."""
    if layout.INDEX not in names_in(place):
        if names_in(place) - {"lock"}:
            with pytest.raises(Damaged, match="run `orlop restore` again"):
                async with open_store(place):
                    pass
        await restored(site.folder, place)
    await assert_serves(place, site.kept)
    shutil.rmtree(place)


def killed_at(site: Site, place: Path, number: int) -> bool:
    """Restore in a process that kills itself at its `number`th system call; whether it did."""
    child = os.fork()
    if child == 0:
        with killing_at(number, CALLS):
            # In a thread: this one is within the trio of the test.
            thread = threading.Thread(target=restore, args=(site.folder, place))
            thread.start()
            thread.join()
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


async def test_an_interruption_leaves_nothing(full, place, monkeypatch):
    async def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(recovery, "recover", interrupted)
    with pytest.raises(KeyboardInterrupt):
        await restored(full.folder, place)
    monkeypatch.undo()

    await assert_nothing(full, place)


# --- what is refused -----------------------------------------------------------------------------


async def test_a_directory_with_anything_in_it_is_refused_and_kept(full, place):
    place.mkdir(parents=True)
    (place / "letter.txt").write_text("dear")

    with pytest.raises(BackupRefused, match="is not empty: restore to a directory that is new"):
        await restored(full.folder, place)

    assert [path.name for path in place.iterdir()] == ["letter.txt"]


async def test_a_store_is_never_restored_over(full):
    before = {path: path.stat().st_mtime_ns for path in full.data.rglob("*")}
    (full.data / layout.RESTORING).mkdir()  # whatever it means: an index is there

    with pytest.raises(BackupRefused, match="is not empty"):
        await restored(full.folder, full.data)

    (full.data / layout.RESTORING).rmdir()
    assert {path: path.stat().st_mtime_ns for path in full.data.rglob("*")} == before


async def test_a_directory_that_another_restore_holds_is_refused(full, place):
    place.mkdir(parents=True)
    (place / layout.RESTORING).mkdir()
    with hold_directory(place), pytest.raises(DirectoryHeld):
        await restored(full.folder, place)

    assert (place / layout.RESTORING).exists()


@pytest.mark.parametrize("thing", ["absent", "empty", "a file"])
async def test_what_is_no_backup_is_refused(tmp_path, place, thing):
    folder = tmp_path / "folder"
    if thing == "empty":
        folder.mkdir()
    if thing == "a file":
        folder.touch()

    with pytest.raises(BackupRefused, match=r"holds no backup|is no folder"):
        await restored(folder, place)

    assert not place.exists()
