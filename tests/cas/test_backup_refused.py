"""What a backup refuses, and keeps as it is."""

import fcntl
import json
import shutil
import stat

import pytest

from cas.backup import folder as backup_folder
from cas.backup.back_up import back_up
from cas.backup.folder import BackupRefused, open_for_backup
from tests.cas.backups import (
    KIB,
    Site,
    assert_whole,
    back,
    restored,
)
from tests.cas.pushing import noise


@pytest.fixture
async def full(site):
    """A store with some of everything."""
    await site.fill()
    return site


async def test_another_stores_backup_is_refused_and_kept(full, tmp_path):
    back(full)
    before = full.files()
    other = Site(tmp_path, "other")
    await other.push(b"mine")

    with pytest.raises(BackupRefused, match="is the backup of another store"):
        back(other)

    assert full.files() == before


async def test_a_folder_with_other_things_is_refused_and_kept(full):
    full.folder.mkdir(mode=0o755)
    (full.folder / "letter.txt").write_text("dear")

    with pytest.raises(BackupRefused, match="is not empty, and holds no backup"):
        back(full)

    assert full.files() == {"letter.txt": b"dear"}
    assert stat.S_IMODE(full.folder.stat().st_mode) == 0o755


@pytest.mark.parametrize("inner", ["", "backup", "packs/deep"])
async def test_a_folder_in_the_data_directory_is_refused(full, inner):
    before = sorted(full.data.rglob("*"))

    with pytest.raises(BackupRefused, match="lie in one another"):
        back_up(full.data, full.data / inner)

    assert sorted(full.data.rglob("*")) == before


async def test_a_folder_around_the_data_directory_is_refused(full):
    with pytest.raises(BackupRefused, match="lie in one another"):
        back_up(full.data, full.data.parent)


async def test_a_link_to_the_data_directory_is_seen_through(full, tmp_path):
    (tmp_path / "link").symlink_to(full.data)

    with pytest.raises(BackupRefused, match="lie in one another"):
        back_up(full.data, tmp_path / "link" / "backup")


async def test_where_no_store_is_none_is_made(site):
    with pytest.raises(BackupRefused, match="holds no store: name the data directory"):
        back(site)

    assert not site.data.exists()
    assert not site.folder.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"orlop_backup": 2}', "its version is 2, and this program knows versions up to 1"),
        (b'{"orlop_backup": "x"}', "cannot be read"),
        (b"[]", "cannot be read"),
        (b"\xff", "cannot be read"),
    ],
)
async def test_another_version_is_refused_by_both_and_kept(full, content, words):
    back(full)
    (full.folder / "backup.json").write_bytes(content)
    before = full.files()

    with pytest.raises(BackupRefused, match=words):
        back(full)
    with pytest.raises(BackupRefused, match=words):
        await restored(full.folder, full.new_place())

    assert full.files() == before


async def test_only_one_uses_a_folder_at_a_time(full):
    back(full)
    with open_for_backup(full.folder):
        with pytest.raises(BackupRefused, match="another backup or restore uses"):
            back(full)
        with pytest.raises(BackupRefused, match="another backup or restore uses"):
            await restored(full.folder, full.new_place())


async def test_no_symbolic_link_leads_a_backup_elsewhere(full, tmp_path):
    back(full)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"mine")
    await full.push(noise(200 * KIB, "new"))
    for name in ("index.new", "backup.json.new"):
        (full.folder / name).symlink_to(elsewhere)
    back(full)
    await full.push(noise(200 * KIB, "newer"))
    for path in (full.folder / "packs").iterdir():
        path.unlink()
        path.symlink_to(elsewhere)
    with pytest.raises(OSError, match="symbolic"):
        back(full)
    shutil.rmtree(full.folder / "packs")
    (full.folder / "packs").symlink_to(tmp_path)
    with pytest.raises(BackupRefused, match="is no folder of its own"):
        back(full)

    assert elsewhere.read_bytes() == b"mine"


async def test_a_store_that_grew_apart_from_the_one_backed_up_is_refused_and_the_backup_kept(
    site, tmp_path
):
    await site.push(noise(100 * KIB, "a"))
    twin = Site(tmp_path, "twin")
    shutil.copytree(site.data, twin.data)
    await site.push(noise(90 * KIB, "ours"))
    await twin.push(noise(80 * KIB, "theirs"))
    back(site)

    with pytest.raises(BackupRefused, match="two that grew from one"):
        back(twin)

    await assert_whole(site)


async def test_a_restored_store_may_go_on_in_the_same_folder(site, tmp_path):
    await site.push(noise(100 * KIB, "a"))
    back(site)
    twin = Site(tmp_path, "twin")
    await restored(site.folder, twin.data)
    await site.push(noise(90 * KIB, "ours"))
    await twin.push(noise(80 * KIB, "theirs"))

    for each in (site, twin, site):
        back(each)
        await assert_whole(each)


async def test_the_state_says_whose_backup_it_is(full):
    back(full)

    state = json.loads((full.folder / "backup.json").read_bytes())
    assert set(state) == {"orlop_backup", "store", "indexes", "incomplete"}
    assert state["orlop_backup"] == backup_folder.VERSION
    assert len(state["indexes"]) == 1
    with (full.folder / "lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
