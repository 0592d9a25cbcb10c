"""The store as a whole: what a push costs, and how a store ends."""

from dataclasses import replace

import pytest
import trio

from cas import layout, local, placing
from cas.digest import Digest, new_hash
from cas.errors import StorageFull, UploadUnknown
from cas.local import StoreSettings, open_store
from cas.uploads import chunking, staging
from index.changes import Link
from tests.anomaly import counted
from tests.cas.pushing import (
    GZIP,
    IMAGE,
    OWNER,
    changes_for,
    files,
    fill,
    has,
    noise,
    prepare,
    pull,
    push,
)

MEBI = 1 << 20
INLINE = noise(1000, "inline")
SMALL = noise(200_000, "small")
LARGE = noise(MEBI, "large")
SYNCS = ("fdatasync", "fsync")


@pytest.fixture
def small(monkeypatch):
    """Adopt from 1 MiB on."""
    monkeypatch.setattr(placing, "ADOPT_BYTES", MEBI)


def commits(store) -> int:
    return store._writer.commits


@pytest.mark.parametrize(
    ("content", "fdatasyncs", "fsyncs"),
    [
        pytest.param(INLINE, 0, 0, id="inline"),
        pytest.param(SMALL, 2, 0, id="appended: the upload, the active pack"),
        pytest.param(LARGE, 1, 2, id="adopted: the upload, both folders"),
    ],
)
async def test_a_push_syncs_its_bytes_once_and_commits_once(
    store, small, content, fdatasyncs, fsyncs
):
    before = commits(store)

    with counted(*SYNCS) as counts:
        await push(store, content)

    assert counts == {"fdatasync": fdatasyncs, "fsync": fsyncs}
    assert commits(store) - before == 1


async def test_beginning_and_appending_write_no_index_row_and_sync_nothing(store):
    before = commits(store)

    with counted(*SYNCS) as counts:
        await fill(store, SMALL)

    assert counts == {"fdatasync": 0, "fsync": 0}
    assert commits(store) == before


async def test_a_gzip_blob_of_128_chunks_is_one_commit(store, small, monkeypatch):
    monkeypatch.setattr(chunking, "OPAQUE_CHUNK", 16 << 10)  # 128 of 4 MiB are 512 MiB
    content = GZIP + noise(128 * (16 << 10) - len(GZIP))
    before = commits(store)

    digest = await push(store, content)

    assert store.read(lambda view: view.entries("chunk")) == 128
    assert commits(store) - before == 1
    assert pull(store, digest) == content


@pytest.mark.slow
async def test_a_gzip_blob_of_512_mebibytes_is_one_commit(store):
    block = noise(4 * MEBI - 8)
    blocks = (GZIP + number.to_bytes(4) + block for number in range(128))
    upload, _ = await store.stage(OWNER)
    hasher = new_hash("sha256")
    for each in blocks:
        hasher.update(each)
        await upload.append(upload.size, each)
    digest = Digest.from_raw("sha256", hasher.digest())
    before = commits(store)

    await store.commit(changes_for(upload, digest))

    assert commits(store) - before == 1
    assert has(store, digest)


async def test_n_rows_take_no_more_commits_than_the_design_allows(store, small, monkeypatch):
    monkeypatch.setattr("index.placement.ROWS", 64)
    before = commits(store)

    await push(store, noise(6 * MEBI))

    rows = 2 * store.read(lambda view: view.entries("chunk"))
    # A slice leaves the room of one chunk unused: 64 rows hold at least 60.
    assert commits(store) - before <= -(-rows // 60) + 1


async def test_reads_commit_nothing(store):
    digest = await push(store, SMALL)
    before = commits(store)

    with counted(*SYNCS) as counts:
        pull(store, digest)
        await store.extend(IMAGE, digest)

    assert commits(store) == before
    assert counts == {"fdatasync": 0, "fsync": 0}


async def test_a_lease_is_renewed_once_it_has_half_an_hour_left(store):
    digest = await push(store, INLINE)
    now = store.now()
    before = commits(store)

    store.now = lambda: now + 1795
    await store.extend(IMAGE, digest)
    assert commits(store) == before
    store.now = lambda: now + 1805
    await store.extend(IMAGE, digest)
    await store.extend(IMAGE, digest)

    assert commits(store) == before + 1
    link = store.read(lambda view: view.link(view.image(IMAGE).id, digest.key))
    assert link.lease == int(now + 1805) + 3600


async def test_without_leases_nothing_is_renewed(tmp_path):
    async with open_store(tmp_path, StoreSettings(lease_seconds=0)) as store:
        await prepare(store)
        digest = await push(store, INLINE)
        before = commits(store)

        await store.extend(IMAGE, digest)

        assert commits(store) == before


async def test_on_a_full_disk_uploads_stop_and_reads_and_deletes_go_on(tmp_path):
    async with open_store(tmp_path) as store:
        await prepare(store)
        digest = await push(store, SMALL)

    settings = replace(StoreSettings(), min_free_bytes=1 << 62)
    async with open_store(tmp_path, settings) as store:
        with pytest.raises(StorageFull):
            await store.stage(OWNER)
        assert pull(store, digest) == SMALL
        await store.commit([Link(IMAGE, digest.key, 60)])


async def test_an_error_of_the_block_is_not_a_failure_of_the_store(tmp_path):
    with pytest.RaisesGroup(LookupError, flatten_subgroups=True):
        async with open_store(tmp_path):
            raise LookupError


async def test_housekeeping_expires_abandoned_uploads(tmp_path):
    settings = StoreSettings(upload_expiry_seconds=-10, housekeeping_seconds=0.01)
    async with open_store(tmp_path, settings) as store:
        upload, _ = await store.stage(OWNER)

        with pytest.raises(UploadUnknown):
            await store.wait_grown(upload, 0)

    assert files(tmp_path / layout.UPLOADS) == []


async def test_followers_of_what_expires_are_told_and_keep_what_they_hold_open(tmp_path):
    settings = StoreSettings(upload_expiry_seconds=-10, housekeeping_seconds=0.01)
    async with open_store(tmp_path, settings) as store:
        upload, _ = await store.stage(OWNER, key="key")
        staging.append(upload.path, 0, b"abc")

        with upload.open() as growing:
            with pytest.raises(UploadUnknown):
                await growing.wait(3)
            assert growing.read(0, 3) == b"abc"


async def test_housekeeping_ends_what_nobody_went_on_with(tmp_path, monkeypatch):
    monkeypatch.setattr(local, "ORPHAN", -1)
    async with open_store(tmp_path, StoreSettings(housekeeping_seconds=0.01)) as store:
        kept, _ = await store.stage(OWNER, key="kept")
        left, _ = await store.stage(OWNER, key="left")
        await left.leave()

        with trio.fail_after(5):
            while files(tmp_path / layout.UPLOADS) != [kept.id]:
                await trio.lowlevel.checkpoint()
