"""What a push leaves when it is cancelled, or a system call of it fails, anywhere."""

import errno
from pathlib import Path

import pytest
import trio

from cas import layout, placing
from cas.digest import Digest
from cas.errors import CasError, StorageFull, StoreFailed, UploadSealed, UploadUnknown
from cas.local import StoreSettings, open_store
from cas.placing import Placer
from index import placement
from index.changes import PutObject
from index.errors import IndexFailed, IndexFault, NoSpace
from index.writer import Writer
from tests.anomaly import FailAt, cancelled_everywhere, failing_everywhere, replaced
from tests.cas.pushing import (
    IMAGE,
    OWNER,
    changes_for,
    drift,
    files,
    fill,
    has,
    is_linked,
    noise,
    prepare,
    pull,
    push,
)

MEBI = 1 << 20
INLINE = noise(1000, "inline")
SMALL = noise(200_000, "small")
LARGE = noise(MEBI, "large")


@pytest.fixture
def small(monkeypatch):
    """Adopt from 1 MiB on."""
    monkeypatch.setattr(placing, "ADOPT_BYTES", MEBI)


# --- cancelled anywhere ---


@pytest.mark.parametrize("content", [INLINE, SMALL, LARGE], ids=["inline", "appended", "adopted"])
async def test_a_push_cancelled_anywhere_publishes_nothing_or_everything(store, small, content):
    sessions = []
    number = 0

    async def op():
        nonlocal number
        number += 1
        changed = number.to_bytes(4) + content
        upload = await fill(store, changed, step=300_000)
        sessions.append((upload.id, changed))
        await store.commit(changes_for(upload, Digest.of(changed)))

    async for outcome in cancelled_everywhere(op):
        if len(sessions) < outcome.number:
            sessions.append(("", b""))  # cancelled before its upload was whole
            continue
        session, changed = sessions[-1]
        digest = Digest.of(changed)
        assert has(store, digest) is is_linked(store, IMAGE, digest)
        assert has(store, digest) or outcome.is_cancelled
        if not has(store, digest):
            upload, _ = await store.stage(OWNER, session=session)
            await store.commit(changes_for(upload, digest))
        assert pull(store, digest) == changed
        assert await drift(store) == []
        with pytest.raises(UploadUnknown):
            await store.stage(OWNER, session=session)


async def test_an_append_cancelled_anywhere_can_be_continued(store):
    async def op():
        upload, _ = await store.stage(OWNER)
        uploads.append(upload)
        await upload.append(0, SMALL[:100_000])
        await upload.append(100_000, SMALL[100_000:])

    uploads = []
    async for _ in cancelled_everywhere(op):
        if not uploads:
            continue
        again, _ = await store.stage(OWNER, session=uploads.pop().id)
        assert again.size in {0, 100_000, 200_000}
        await again.append(again.size, SMALL[again.size :])
        await store.commit(changes_for(again, Digest.of(SMALL)))
        assert pull(store, Digest.of(SMALL)) == SMALL


@pytest.mark.parametrize("content", [INLINE, SMALL, LARGE], ids=["inline", "appended", "adopted"])
async def test_a_store_that_is_cancelled_finishes_the_commit_it_began(tmp_path, small, content):
    digest = Digest.of(content)
    with trio.CancelScope() as server:
        async with open_store(tmp_path) as store:
            await prepare(store)
            upload = await fill(store, content)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(store.commit, changes_for(upload, digest))
                await trio.lowlevel.checkpoint()  # the commit begins, and is shielded
                await trio.lowlevel.checkpoint()
                server.cancel()

    async with open_store(tmp_path) as store:
        assert await drift(store) == []
        if not has(store, digest):  # cancelled before it began
            upload, _ = await store.stage(OWNER, session=upload.id)
            await store.commit(changes_for(upload, digest))
        assert pull(store, digest) == content


# --- failing anywhere ---

CODES = [pytest.param(errno.EIO, id="EIO"), pytest.param(errno.ENOSPC, id="ENOSPC")]


class Attempts:
    """Pushes into a directory of its own each time, and notes what was acknowledged."""

    def __init__(self, root: Path, contents: list[bytes]) -> None:
        self.root = root
        self.contents = contents
        self.directory = root
        self.acknowledged: list[bytes] = []
        self.sizes: dict[str, int] = {}

    async def __call__(self) -> None:
        self.directory = self.root / f"{len(list(self.root.iterdir()))}"
        self.acknowledged = []
        self.sizes = {}
        async with open_store(self.directory) as store:
            await prepare(store)
            for content in self.contents:
                upload, _ = await store.stage(OWNER)
                for start in range(0, len(content), 300_000):
                    size = await upload.append(start, content[start : start + 300_000])
                    self.sizes[upload.id] = size
                try:
                    await store.commit(changes_for(upload, Digest.of(content)))
                except StoreFailed:
                    del self.sizes[upload.id]  # bytes whose sync failed may be given up
                    raise
                del self.sizes[upload.id]
                self.acknowledged.append(content)

    async def assert_all_is_there(self) -> None:
        async with open_store(self.directory) as store:
            assert await drift(store) == []
            for content in self.acknowledged:
                assert pull(store, Digest.of(content)) == content
            for session, size in self.sizes.items():
                upload, _ = await store.stage(OWNER, session=session)
                assert upload.size >= size
            await prepare(store)  # the first time may have failed before it
            for content in self.contents:  # and all can be pushed now
                assert pull(store, await push(store, content)) == content
            assert await drift(store) == []


@pytest.mark.slow
@pytest.mark.parametrize("code", CODES)
async def test_whatever_call_fails_nothing_acknowledged_is_lost(tmp_path, small, code):
    attempts = Attempts(tmp_path, [LARGE, INLINE, SMALL, SMALL + LARGE[:300_000], LARGE[5:]])
    failed = set()

    async for outcome in failing_everywhere(attempts, code):
        failed.add(outcome.where)
        if outcome.error is not None:
            assert outcome.where
            error = leaf(outcome.error)
            assert isinstance(error, CasError | IndexFault | OSError), error
        await attempts.assert_all_is_there()

    assert failed >= {"open", "pwritev", "preadv", "fchmod", "fdatasync", "fsync", "link"}
    assert failed >= {"unlink", "copy_file_range"}


def leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


@pytest.mark.slow
@pytest.mark.parametrize("code", CODES)
async def test_every_error_of_a_served_store_is_one_of_ours(tmp_path, small, code):
    async def op():
        directory = tmp_path / f"{len(files(tmp_path))}"
        async with open_store(directory) as store:
            await prepare(store)
            with fault.armed():
                digest = await push(store, LARGE)
                await push(store, SMALL)
                pull(store, digest)

    fault = FailAt(code)
    while not fault.is_beyond:
        fault.go_on()
        try:
            await op()
        except Exception as error:  # noqa: BLE001 - which one it is matters
            assert isinstance(leaf(error), CasError | IndexFault), fault.where
    assert fault.number > 20


@pytest.mark.parametrize(
    ("content", "call"),
    [(SMALL, "fdatasync"), (LARGE, "fdatasync"), (LARGE, "fsync")],
    ids=["appended", "adopted", "its folder"],
)
@pytest.mark.parametrize("code", CODES)
async def test_after_a_failed_sync_the_store_ends_and_never_syncs_again(
    tmp_path, small, content, call, code
):
    digest = Digest.of(content)
    told = []

    async def run():
        async with open_store(tmp_path) as store:
            await prepare(store)
            upload = await fill(store, content)
            with replaced((call,), failing(code, calls)):
                try:
                    await store.commit(changes_for(upload, digest))
                except StoreFailed as error:
                    told.append(error)
                try:
                    await store.commit([PutObject(Digest.of(b"x").key, b"x")])
                except StoreFailed as error:
                    told.append(error)
                assert store.failure is not None
                await trio.sleep_forever()

    calls: list[str] = []
    with pytest.raises(StoreFailed):
        await run()

    assert len(told) == 2
    assert calls == [call]
    async with open_store(tmp_path) as store:
        assert not has(store, digest)
        assert await drift(store) == []
        assert pull(store, await push(store, content)) == content


def failing(code: int, calls: list[str]):
    def wrap(name, call):
        def fail(*args):
            calls.append(name)
            raise OSError(code, "broken")

        return fail

    return wrap


async def test_bytes_whose_sync_failed_are_not_taken_up_again(tmp_path):
    """The kernel reports a lost page once: a second sync of the same file would say all is well."""
    sessions = []

    async def run():
        async with open_store(tmp_path) as store:
            await prepare(store)
            upload = await fill(store, SMALL)
            sessions.append(upload.id)
            with replaced(("fdatasync",), failing(errno.EIO, [])):
                await store.commit(changes_for(upload, Digest.of(SMALL)))

    with pytest.raises(StoreFailed):
        await run()

    async with open_store(tmp_path) as store:
        with pytest.raises(UploadUnknown):
            await store.stage(OWNER, session=sessions[0])


async def test_an_adoption_that_cannot_be_undone_waits_for_recovery(tmp_path, small, monkeypatch):
    monkeypatch.setattr(placement, "ROWS", 24)
    original = Writer.write
    content = noise(2 * MEBI)
    written = []

    async def write(self, run):
        written.append(run)
        if len(written) > 3:
            raise NoSpace
        return await original(self, run)

    async with open_store(tmp_path) as store:
        await prepare(store)
        upload = await fill(store, content)
        monkeypatch.setattr(Writer, "write", write)
        with pytest.raises(StorageFull):
            await store.commit(changes_for(upload, Digest.of(content)))
        monkeypatch.setattr(Writer, "write", original)

        with pytest.raises(UploadSealed):
            await upload.append(upload.size, b"more")
        with pytest.raises(UploadSealed):
            await upload.cancel()
        assert await drift(store) == []

    async with open_store(tmp_path) as store:
        assert await drift(store) == []
        upload, _ = await store.stage(OWNER, session=upload.id)
        await store.commit(changes_for(upload, Digest.of(content)))
        assert pull(store, Digest.of(content)) == content


@pytest.mark.parametrize("is_used", [True, False])
async def test_an_index_that_fails_behind_an_answer_ends_the_store(tmp_path, is_used):
    """A tidy-up after a commit may be the first to find out, and nobody waits for it."""
    settings = StoreSettings(housekeeping_seconds=3600 if is_used else 0)

    async def run():
        async with open_store(tmp_path, settings) as store:
            await prepare(store)
            store._writer._failure = "broken"
            if is_used:
                with pytest.raises(StoreFailed):
                    await store.commit([])
            with trio.move_on_after(5):
                await trio.sleep_forever()

    with pytest.raises(StoreFailed, match="broken"):
        await run()


async def test_a_failed_store_ends_although_a_commit_has_yet_to_append(tmp_path, monkeypatch):
    original = Placer.place

    async def run():
        async with open_store(tmp_path) as store:
            await prepare(store)
            upload = await fill(store, SMALL)

            async def place(self, *args):
                store._failing.fail("broken elsewhere")
                await trio.testing.wait_all_tasks_blocked()  # the store is ending
                return await original(self, *args)

            monkeypatch.setattr(Placer, "place", place)
            await store.commit(changes_for(upload, Digest.of(SMALL)))

    with pytest.raises(StoreFailed, match="broken elsewhere"):
        await run()


@pytest.mark.parametrize("is_written", [True, False])
@pytest.mark.parametrize("content", [INLINE, SMALL, LARGE], ids=["inline", "appended", "adopted"])
async def test_a_commit_whose_outcome_nobody_knows_loses_nothing(
    tmp_path, small, monkeypatch, content, is_written
):
    digest = Digest.of(content)
    sessions = []
    original = Writer.write

    async def write(self, run):
        if is_written:
            await original(self, run)
        raise IndexFailed("the sync failed")

    async def run():
        async with open_store(tmp_path) as store:
            await prepare(store)
            upload = await fill(store, content)
            sessions.append(upload.id)
            with monkeypatch.context() as patch:
                patch.setattr(Writer, "write", write)
                await store.commit(changes_for(upload, digest))

    with pytest.raises(StoreFailed):
        await run()

    async with open_store(tmp_path) as store:
        assert await drift(store) == []
        assert has(store, digest) is is_written
        if not is_written:
            upload, _ = await store.stage(OWNER, session=sessions[0])
            await store.commit(changes_for(upload, digest))
        assert pull(store, digest) == content
        assert await drift(store) == []


async def test_a_tidy_up_that_fails_does_not_undo_a_commit(store, small, tmp_path):
    upload = await fill(store, LARGE)

    with replaced(("unlink",), failing(errno.EIO, [])):
        await store.commit(changes_for(upload, Digest.of(LARGE)))

    assert pull(store, Digest.of(LARGE)) == LARGE
    pack = layout.pack_path(tmp_path, layout.session_pack(upload.id))
    assert pack.stat().st_mode & 0o777 == 0o400
