"""Dead pages of adopted files: freed at the commit, or when the last follower has gone."""

import pytest
import trio

from cas import layout, placing, punching
from cas.digest import Digest
from cas.local import StoreSettings, open_store
from tests.cas.pushing import OWNER, changes_for, drift, more, noise, prepare, pull, push

KNOWN = noise(250_000, "known")
CONTENT = KNOWN + noise(1_000_000, "new")
DIGEST = Digest.of(CONTENT)


@pytest.fixture
async def store(tmp_path, monkeypatch):
    monkeypatch.setattr(placing, "ADOPT_BYTES", 400_000)
    async with open_store(tmp_path) as opened:
        await prepare(opened)
        await push(opened, KNOWN)
        yield opened


async def adopted(store, *, is_followed: bool):
    """(follower, file) of a blob whose first part is known; it was committed under the follower."""
    upload, _ = await store.stage(OWNER, key="key")
    await more(upload, CONTENT)
    growing = upload.open() if is_followed else None
    await store.commit(changes_for(upload, DIGEST))
    return growing, layout.pack_path(store.packs.root, layout.session_pack(upload.id))


def blocks(path) -> int:
    return path.stat().st_blocks * 512


async def test_without_followers_the_dead_pages_go_at_once(store):
    _, path = await adopted(store, is_followed=False)

    assert blocks(path) < len(CONTENT) - 150_000
    assert store._placer.punching.punch_owed() == 0


async def test_under_a_follower_they_stay_until_it_has_gone(store):
    growing, path = await adopted(store, is_followed=True)
    punch = store._placer.punching.punch_owed

    assert punch() == 1
    assert blocks(path) >= len(CONTENT)
    assert growing.read(0, len(CONTENT)) == CONTENT
    growing.close()
    assert punch() == 0
    assert blocks(path) < len(CONTENT) - 150_000
    assert pull(store, DIGEST) == CONTENT
    assert await drift(store) == []


async def test_what_died_since_the_commit_is_left_to_a_rewrite(store):
    growing, path = await adopted(store, is_followed=True)
    growing.close()
    gaps = dict(store._placer.punching._owed)
    with store.read(lambda view: view.open(DIGEST)) as blob:
        # Its rows may go at any moment now; whoever holds it open reads on.
        store._placer.punching.punch_owed()
        assert blob.read(0, blob.size) == CONTENT
    assert all(offset + length <= len(KNOWN) for runs in gaps.values() for offset, length in runs)
    assert path.stat().st_size == len(CONTENT)


async def test_a_file_that_went_meanwhile_is_owed_no_more(store):
    growing, path = await adopted(store, is_followed=True)
    growing.close()
    path.unlink()

    assert store._placer.punching.punch_owed() == 0


def test_only_so_many_files_and_gaps_are_remembered(tmp_path, monkeypatch):
    monkeypatch.setattr(punching, "MAX_OWED", 2)
    monkeypatch.setattr(punching, "MAX_GAPS", 3)
    monkeypatch.setattr(punching.packs, "punch", lambda *_: False)
    owed = punching.Punching(tmp_path)
    page = 4096

    owed.punch(9, [(number * 2 * page, page) for number in range(9)], 20 * page)
    for pack in (1, 2, 3):
        owed.punch(pack, [(0, page)], 2 * page)

    assert list(owed._owed) == [2, 3]


async def test_housekeeping_frees_what_is_owed(tmp_path, monkeypatch):
    freed = trio.Event()

    def punch_owed(_) -> None:
        trio.from_thread.run_sync(freed.set)

    monkeypatch.setattr(punching.Punching, "punch_owed", punch_owed)
    async with open_store(tmp_path, StoreSettings(housekeeping_seconds=0.01)):
        with trio.fail_after(5):
            await freed.wait()
