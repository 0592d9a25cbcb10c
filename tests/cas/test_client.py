import os
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from cas import layout
from cas.digest import Digest
from cas.errors import (
    DaemonAway,
    OffsetMismatch,
    StorageFull,
    StoreFailed,
    UploadOrphaned,
    UploadUnknown,
)
from cas.local import StoreSettings
from cas.uploads import staging
from cas.verbs import Adopt
from index.changes import Link
from index.errors import IndexFailed
from tests.cas.pushing import (
    IMAGE,
    OWNER,
    check,
    fill,
    has,
    noise,
    prepare,
    pull,
    push,
)
from tests.cas.scripting import connected

CONTENT = noise(200_000)  # what `root` has
DIGEST = Digest.of(CONTENT)
SMALL = b"small"


# --- reads ---


async def test_reads_need_no_daemon(root):
    async with connected(root) as store:
        assert pull(store, DIGEST) == CONTENT
        assert (await store.stats()).objects == 1
        assert store.failure is None


@pytest.mark.parametrize("folder", [".", "index"])
async def test_where_there_is_no_index_nothing_is_made(tmp_path, folder):
    (tmp_path / folder).mkdir(exist_ok=True)

    with pytest.raises(IndexFailed, match="there is no index"):
        async with connected(tmp_path):
            pass

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_a_worker_can_write_neither_packs_nor_index(daemons, root):
    async with daemons.connected(root) as store:
        await push(store, noise(300_000, "more"))
        with store.read(lambda view: view.open(DIGEST)) as blob:
            blob.read(0, blob.size)
            writable, readable = opened_below(root)

    assert writable == {"index/lock.mdb", "packs.fence"}  # tables of readers
    assert "index/data.mdb" in readable
    assert any(name.startswith("packs/") for name in readable)


def opened_below(root: Path) -> tuple[set[str], set[str]]:
    """Files that this process holds open below `root`: for writing, and for reading only."""
    found: tuple[set[str], set[str]] = set(), set()
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names, which may go meanwhile
        with suppress(OSError, ValueError):
            name = Path(f"/proc/self/fd/{number}").readlink().relative_to(root)
            flags = Path(f"/proc/self/fdinfo/{number}").read_text().split("flags:")[1].split()[0]
            found[int(flags, 8) & os.O_ACCMODE == os.O_RDONLY].add(str(name))
    return found


async def test_an_index_that_fails_ends_the_worker(root):
    async def work():
        async with connected(root) as store:
            with suppress(StoreFailed):
                store.read(fail)
            await trio.sleep_forever()

    with pytest.raises(StoreFailed, match="broken"):
        await work()


def fail(view):
    raise IndexFailed("broken")


# --- the daemon is away ---


async def test_all_that_needs_the_daemon_says_that_it_is_away(root):
    async with connected(root) as store:
        for attempt in (
            lambda: store.stage(OWNER),
            lambda: store.stage(OWNER, key="key"),
            lambda: store.commit([Link(IMAGE, DIGEST.key, 60)]),
            lambda: store.extend(IMAGE, DIGEST),
            lambda: check(store),
        ):
            with pytest.raises(DaemonAway):
                await attempt()


async def test_an_upload_survives_its_daemon(daemons, root):
    daemons.ask("serve", root)
    async with connected(root) as store:
        upload = await fill(store, CONTENT[:100_000])
        daemons.ask("stop", root)

        with pytest.raises(DaemonAway):
            await upload.append(100_000, CONTENT[100_000:150_000])
        assert upload.size == 150_000
        with pytest.raises(DaemonAway):
            await store.wait_grown(upload, 150_000)
        with pytest.raises(DaemonAway):
            await upload.cancel()

        daemons.ask("serve", root)
        assert await upload.append(150_000, CONTENT[150_000:] + b"!") == 200_001
        again, _ = await store.stage(OWNER, session=upload.id)
        assert again.size == 200_001
        await store.commit([Adopt(upload.id, Digest.of(CONTENT + b"!"), OWNER)])
        assert pull(store, Digest.of(CONTENT + b"!")) == CONTENT + b"!"
        daemons.ask("stop", root)


async def test_the_first_call_after_a_restart_just_works(daemons, root):
    async with daemons.connected(root) as store:
        await push(store, b"before")
        daemons.ask("stop", root)
        daemons.ask("serve", root)

        digest = await push(store, b"after")

        assert pull(store, digest) == b"after"


# --- uploads ---


async def test_below_the_watermark_a_worker_appends_nothing(daemons, root):
    async with daemons.connected(root, StoreSettings(min_free_bytes=1 << 62)) as store:
        upload, _ = await store.stage(OWNER)  # the daemon has another watermark in this test
        with pytest.raises(StorageFull):
            await upload.append(0, SMALL)

        assert staging.size_of(layout.upload_path(root, upload.id)) == 0


async def test_after_an_error_the_size_is_what_the_file_has(daemons, root):
    async with daemons.connected(root) as store:
        upload = await fill(store, SMALL)
        other, _ = await store.stage(OWNER, session=upload.id)
        await other.append(5, b"more")

        with pytest.raises(OffsetMismatch):
            await upload.append(5, b"mine")

        assert upload.size == 9


async def test_the_upload_of_another_store_is_unknown(daemons, root):
    async with daemons.connected(root) as store:
        with pytest.raises(UploadUnknown):
            await store.wait_grown(Foreign(), 0)


class Foreign:
    id = "0" * 64


async def test_the_data_directory_may_have_a_path_that_fits_no_socket_address(daemons, tmp_path):
    root = tmp_path / ("a" * 120)

    async with daemons.connected(root) as store:
        await prepare(store)
        digest = await push(store, SMALL)
        assert has(store, digest)


async def test_after_a_restart_a_key_goes_on_with_the_next_append(daemons, root):
    async with daemons.connected(root) as store:
        mine, _ = await store.stage(OWNER, key="upstream/nginx")
        await mine.append(0, SMALL)
        daemons.ask("stop", root)
        daemons.ask("serve", root)

        with pytest.raises(UploadOrphaned):
            await store.wait_grown(mine, 5)
        assert await mine.append(5, SMALL) == 10

        again, is_owner = await store.stage(OWNER, key="upstream/nginx")
        assert (again.id, again.size, is_owner) == (mine.id, 10, False)
        assert await store.wait_grown(mine, 5) == 10


async def test_the_end_of_a_worker_passes_its_keys_on(daemons, root):
    async with daemons.connected(root) as store:
        mine, _ = await store.stage(OWNER, key="upstream/nginx")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(told_that_it_ended, store, mine)
            await trio.testing.wait_all_tasks_blocked()
            store._calls._hide()  # as the kernel does when the process dies

        assert (await store.stage(OWNER, key="upstream/nginx"))[1]


async def told_that_it_ended(store, upload):
    with trio.fail_after(5), pytest.raises(UploadOrphaned):
        await store.wait_grown(upload, 0)
