"""Every state that a crash may leave, built by hand between two openings of a store."""

import os
from contextlib import asynccontextmanager

import pytest

from cas import appender, layout, placing
from cas.digest import Digest
from cas.errors import Damaged, UploadUnknown
from cas.local import open_store
from index.environment import open_environment
from index.errors import DirectoryHeld
from index.records import PackState
from tests.anomaly import counted
from tests.cas.pushing import (
    IMAGE,
    OWNER,
    changes_for,
    drift,
    files,
    fill,
    noise,
    prepare,
    pull,
    push,
)

CONTENT = noise(300_000)
DIGEST = Digest.of(CONTENT)


@asynccontextmanager
async def fresh_store(root):
    async with open_store(root) as store:
        await prepare(store)
        yield store


def active_size(root):
    return sum(path.stat().st_size for path in (root / layout.PACKS).iterdir())


def active_path(root):
    """The active pack's file."""
    with open_environment(root / layout.INDEX) as environment:
        ((pack, _),) = environment.read(
            lambda view: [row for row in view.iter_packs() if row[1].state is PackState.ACTIVE]
        )
    return layout.pack_path(root, pack)


async def staged(root, content: bytes = CONTENT) -> str:
    """A store with an upload under way; its session id."""
    async with fresh_store(root) as store:
        return (await fill(store, content)).id


async def assert_resumes(root, session: str, content: bytes = CONTENT) -> None:
    """The upload has all its bytes, takes more, and can be committed."""
    async with open_store(root) as store:
        assert await drift(store) == []
        upload, _ = await store.stage(OWNER, session=session)
        assert upload.size == len(content)
        await upload.append(upload.size, b"more")
        digest = Digest.of(content + b"more")
        await store.commit(changes_for(upload, digest))
        assert pull(store, digest) == content + b"more"
        assert await drift(store) == []
    assert files(root / layout.UPLOADS) == []


async def test_an_upload_that_was_not_being_committed_goes_on(tmp_path):
    await assert_resumes(tmp_path, await staged(tmp_path))


async def test_a_sealed_upload_goes_on(tmp_path):
    session = await staged(tmp_path)
    layout.upload_path(tmp_path, session).chmod(0o400)

    await assert_resumes(tmp_path, session)


async def test_an_upload_with_a_second_name_that_no_pack_row_knows_goes_on(tmp_path):
    session = await staged(tmp_path)
    path = layout.upload_path(tmp_path, session)
    path.chmod(0o400)
    layout.pack_path(tmp_path, layout.session_pack(session)).hardlink_to(path)

    await assert_resumes(tmp_path, session)


async def test_an_upload_that_was_committed_but_not_unlinked_is_dropped(tmp_path, monkeypatch):
    monkeypatch.setattr(placing, "ADOPT_BYTES", 100_000)
    async with fresh_store(tmp_path) as store:
        upload = await fill(store, CONTENT)
        await store.commit(changes_for(upload, DIGEST))
    pack = layout.pack_path(tmp_path, layout.session_pack(upload.id))
    layout.upload_path(tmp_path, upload.id).hardlink_to(pack)

    async with open_store(tmp_path) as store:
        assert pull(store, DIGEST) == CONTENT
        assert await drift(store) == []
        with pytest.raises(UploadUnknown):
            await store.stage(OWNER, session=upload.id)
    assert files(tmp_path / layout.UPLOADS) == []


async def test_what_was_appended_but_not_indexed_is_cut_off(tmp_path):
    async with fresh_store(tmp_path) as store:
        await push(store, CONTENT)
    path = active_path(tmp_path)
    with path.open("ab") as file:
        file.write(noise(1000, "torn"))

    async with open_store(tmp_path) as store:
        assert path.stat().st_size == len(CONTENT)
        digest = await push(store, noise(100_000, "next"))
        assert pull(store, DIGEST) == CONTENT
        assert pull(store, digest) == noise(100_000, "next")


async def test_indexed_bytes_that_are_lost_are_damage_and_never_zeros(tmp_path):
    async with fresh_store(tmp_path) as store:
        await push(store, CONTENT)
        good = await push(store, b"inline")
    path = active_path(tmp_path)
    os.truncate(path, 100_000)

    async with open_store(tmp_path) as store:
        other = await push(store, noise(100_000, "next"))
        with pytest.raises(Damaged):
            pull(store, DIGEST)
        assert pull(store, good) == b"inline"
        assert pull(store, other) == noise(100_000, "next")
        short, lost = await drift(store)
        assert short == f"pack {path.name}: 300000 bytes, but its file has 100000"
        assert f"{DIGEST}: 200000 bytes are lost" in lost


async def test_a_lost_active_pack_does_not_keep_the_rest_from_being_served(tmp_path):
    async with fresh_store(tmp_path) as store:
        await push(store, CONTENT)
    path = active_path(tmp_path)
    path.unlink()

    async with open_store(tmp_path) as store:
        with pytest.raises(Damaged):
            pull(store, DIGEST)
        other = await push(store, noise(100_000, "next"))
        assert pull(store, other) == noise(100_000, "next")
        missing, lost = await drift(store)
        assert missing == f"pack {path.name}: its file is missing"
        assert f"it hurts {IMAGE}@{DIGEST}" in lost


async def test_a_lost_index_beside_packs_is_no_new_store(tmp_path):
    async with fresh_store(tmp_path) as store:
        await push(store, CONTENT)
    for path in (tmp_path / layout.INDEX).iterdir():
        path.unlink()

    with pytest.raises(Damaged, match=r"is empty, but .*packs is not: put it back first"):
        async with open_store(tmp_path):
            pass

    assert active_size(tmp_path) == len(CONTENT)


async def test_a_first_start_that_ended_before_the_first_pack_was_made_is_repeated(tmp_path):
    async with fresh_store(tmp_path):
        pass
    active_path(tmp_path).unlink()

    async with open_store(tmp_path) as store:
        assert pull(store, await push(store, CONTENT)) == CONTENT
        assert await drift(store) == []


async def test_the_next_pack_that_was_made_but_not_indexed_is_removed(tmp_path):
    async with fresh_store(tmp_path) as store:
        following = store.read(lambda view: view.get("meta", b"pack:next"))
    leftover = layout.pack_path(tmp_path, int.from_bytes(following))
    appender.create_pack(tmp_path, int.from_bytes(following))

    async with open_store(tmp_path) as store:
        assert not leftover.exists()
        assert await drift(store) == []


async def test_packs_that_followed_one_another_are_all_there_after_a_restart(tmp_path, monkeypatch):
    monkeypatch.setattr(appender, "SEAL_SIZE", 100_000)
    contents = [noise(90_000, seed) for seed in range(7)]
    async with fresh_store(tmp_path) as store:
        digests = [await push(store, content) for content in contents[:4]]

    async with open_store(tmp_path) as store:
        digests += [await push(store, content) for content in contents[4:]]
        assert [pull(store, digest) for digest in digests] == contents
        assert await drift(store) == []
        states = store.read(lambda view: [row.state for _, row in view.iter_packs()])
    assert states.count(PackState.ACTIVE) == 1
    assert len(states) >= 3


async def test_what_is_none_of_ours_is_left_alone(tmp_path):
    async with fresh_store(tmp_path):
        pass
    (tmp_path / layout.UPLOADS / "lost+found").mkdir()
    stray = tmp_path / layout.UPLOADS / "notes.txt"
    stray.touch(mode=0o400)

    async with open_store(tmp_path):
        assert stray.exists()


async def test_names_are_durable_before_anything_is_served(tmp_path):
    with counted("fsync") as counts:
        async with open_store(tmp_path):
            # the root with its folders, the new index, index/, the first pack, uploads/, packs/,
            # and the root once more
            assert counts["fsync"] == 7


async def test_the_name_of_a_new_data_directory_is_durable_too(tmp_path):
    with counted("fsync") as counts:
        async with open_store(tmp_path / "srv" / "orlop"):
            assert counts["fsync"] == 7 + 2  # tmp_path has a new name, and so has srv/


async def test_a_directory_has_one_server_and_a_second_is_told_who(tmp_path):
    async with open_store(tmp_path):
        with pytest.raises(DirectoryHeld, match=f"process {os.getpid()} "):
            async with open_store(tmp_path):
                pass


async def test_a_restart_changes_nothing(tmp_path):
    async with fresh_store(tmp_path) as store:
        await push(store, CONTENT)
    before = {path: path.stat().st_ino for path in sorted(tmp_path.rglob("*"))}

    async with open_store(tmp_path) as store:
        commits = store._writer.commits
        assert pull(store, DIGEST) == CONTENT

    assert {path: path.stat().st_ino for path in sorted(tmp_path.rglob("*"))} == before
    assert commits == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="to become nobody, one must be root")
async def test_who_is_not_root_recovers_a_sealed_upload(tmp_path):
    session = await staged(tmp_path)
    layout.upload_path(tmp_path, session).chmod(0o400)
    for path in (tmp_path, *tmp_path.rglob("*")):
        os.chown(path, 65534, 65534)
    folder = os.open(tmp_path, os.O_PATH)

    os.seteuid(65534)
    try:
        # Its parents are closed to nobody, but not this way in.
        await assert_resumes(tmp_path.__class__(f"/proc/self/fd/{folder}"), session)
    finally:
        os.seteuid(0)
        os.close(folder)
