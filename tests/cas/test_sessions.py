import errno
import fcntl
import os
import time

import pytest
import trio

from cas import layout
from cas.digest import Digest
from cas.errors import Busy, Damaged, StorageFull, UploadSealed, UploadUnknown
from cas.uploads import sessions, staging
from cas.uploads.sessions import Sessions
from tests.anomaly import cancelled_everywhere, replaced
from tests.cas.pushing import OWNER, files, noise
from tests.cas.staging_area import SECRET, begin, seal_and_finish


async def test_an_upload_is_hashed_to_its_end(idle):
    content = noise(300_000)
    async with Sessions.open(idle.root, SECRET, 0) as found:
        session = await begin(found, content)

        assert await seal_and_finish(found, session) == Digest.of(content)
        assert session.ingest.chunks.size == len(content)


async def test_an_append_waits_while_too_much_is_not_hashed(idle, monkeypatch):
    monkeypatch.setattr(sessions, "LAG", 1000)
    session = await begin(idle, bytes(1000))
    sizes = []

    async def append():
        sizes.append(await session.append(1000, b"more"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(append)
        while session.size == 1000:
            await session.wait_told()
        await trio.testing.wait_all_tasks_blocked()
        assert sizes == []
        assert idle._writers.borrowed_tokens == 0  # it is written; no thread waits

        async with trio.open_nursery() as hashing:
            hashing.start_soon(idle.hash_turns)
            while not sizes:
                await session.wait_changed()
                await trio.testing.wait_all_tasks_blocked()
            hashing.cancel_scope.cancel()

    assert sizes == [1004]


async def test_sessions_take_turns_at_being_hashed(idle, monkeypatch):
    monkeypatch.setattr(sessions, "TURN", 1000)
    monkeypatch.setattr(sessions, "BATCH", 1000)
    order = []
    original = Sessions._take_turn

    async def noted(self, session, desk):
        await original(self, session, desk)
        order.append((session.id, session.ingest.hashed))
        if all(each.unhashed < 1000 for each in both):
            hashing.cancel_scope.cancel()

    monkeypatch.setattr(Sessions, "_take_turn", noted)
    both = [await begin(idle, bytes(3000)) for _ in range(2)]

    async with trio.open_nursery() as hashing:
        hashing.start_soon(idle.hash_turns)

    first, second = (each.id for each in both)
    assert order == [(s, size) for size in (1000, 2000, 3000) for s in (first, second)]


async def test_after_a_restart_an_upload_is_hashed_from_its_first_byte(idle):
    content = noise(300_000)
    async with Sessions.open(idle.root, SECRET, 0) as found:
        name = (await begin(found, content[:200_000])).id

    async with Sessions.open(idle.root, SECRET, 0) as found:
        session = found.find(OWNER, name)
        assert session.size == 200_000
        await session.append(200_000, content[200_000:])

        assert await seal_and_finish(found, session) == Digest.of(content)


async def test_an_unsealed_upload_goes_on_and_is_hashed_anew(idle):
    async with Sessions.open(idle.root, SECRET, 0) as found:
        session = await begin(found, b"abc")
        await seal_and_finish(found, session)

        found.unseal(session)
        await session.append(3, b"def")

        assert await seal_and_finish(found, session) == Digest.of(b"abcdef")


async def test_what_is_appended_until_the_seal_is_hashed_too(idle):
    async with Sessions.open(idle.root, SECRET, 0) as found:
        session = await begin(found, b"abc")
        with session.path.open("ab", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # an append under way
            async with trio.open_nursery() as nursery:
                nursery.start_soon(found.seal, session)
                while not session.is_sealed:
                    await trio.lowlevel.checkpoint()
                found._queue_turn(session)
                await session.wait_changed()
                file.write(b"def")
                fcntl.flock(file, fcntl.LOCK_UN)
        await found.finish(session)

        assert session.size == 6
        assert session.ingest.digest() == Digest.of(b"abcdef")


async def test_a_sealed_upload_is_neither_sealed_again_nor_cancelled(idle):
    session = await begin(idle, b"abc")
    await idle.seal(session)

    with pytest.raises(UploadSealed):
        await idle.seal(session)
    with pytest.raises(UploadSealed):
        await session.cancel()
    with pytest.raises(UploadSealed):
        await session.append(3, b"x")


async def test_a_seal_that_failed_leaves_the_session_as_it_was(idle):
    session = await begin(idle, b"abc")

    def wrap(name, call):
        def fail(*args):
            raise OSError(errno.EIO, "broken")

        return fail

    with replaced(("fchmod",), wrap), pytest.raises(OSError, match="broken"):
        await idle.seal(session)

    assert await session.append(3, b"def") == 6


async def test_a_file_that_cannot_be_read_is_told_and_read_again(idle):
    def wrap(name, call):
        def fail(*args):
            raise OSError(errno.EIO, "broken")

        return fail

    async with Sessions.open(idle.root, SECRET, 0) as found:
        session = await begin(found, b"abc")
        await found.seal(session)
        with replaced(("preadv",), wrap), pytest.raises(Damaged):
            await found.finish(session)
        found.unseal(session)

        assert await seal_and_finish(found, session) == Digest.of(b"abc")


async def test_a_damaged_upload_can_be_cancelled(idle):
    session = await begin(idle, b"abc")
    session.fault = Damaged("upload", "unreadable")

    await session.cancel()

    assert files(idle.root / layout.UPLOADS) == []


async def test_the_size_is_what_the_file_has_after_a_full_disk(idle):
    calls = []

    def wrap(name, call):
        def write(descriptor, data, offset):
            calls.append(offset)
            if len(calls) > 1:
                raise OSError(errno.ENOSPC, "full")
            return call(descriptor, [data[0][:2]], offset)

        return write

    session = await begin(idle)
    with replaced(("pwritev",), wrap), pytest.raises(StorageFull):
        await session.append(0, b"abcdef")

    assert session.size == 2
    assert await session.append(2, b"cdef") == 6


async def test_below_the_watermark_no_upload_begins_and_none_goes_on(idle):
    session = await begin(idle, b"abc")
    full = Sessions(idle.root, SECRET, 1 << 62)

    with pytest.raises(StorageFull):
        await full.stage(OWNER, None, None)
    with pytest.raises(StorageFull):
        await full.find(OWNER, session.id).append(3, b"x")


async def test_abandoned_uploads_expire_and_their_followers_are_told(idle):
    old, new = await begin(idle, b"old"), await begin(idle, b"new")
    long_ago = time.time() - 1000
    os.utime(old.path, (long_ago, long_ago))

    assert await idle.expire(500) == 1

    assert files(idle.root / layout.UPLOADS) == [new.id]
    with pytest.raises(UploadUnknown):
        await old.wait_changed()
    with pytest.raises(UploadUnknown):
        idle.find(OWNER, old.id)


async def test_uploads_that_nobody_resumed_since_a_restart_expire_as_well(idle):
    name = (await begin(idle, b"old")).id
    os.utime(layout.upload_path(idle.root, name), (1000, 1000))

    assert await Sessions(idle.root, SECRET, 0).expire(500) == 1
    assert files(idle.root / layout.UPLOADS) == []


async def test_an_upload_that_is_being_committed_does_not_expire(idle):
    session = await begin(idle, b"abc")
    await idle.seal(session)
    os.utime(session.path, (1000, 1000))

    assert await idle.expire(500) == 0
    assert session.path.exists()


async def test_a_key_passes_on_when_its_upload_expires(idle):
    session, _ = await idle.stage(OWNER, None, "key")
    os.utime(session.path, (1000, 1000))

    await idle.expire(500)

    assert (await idle.stage(OWNER, None, "key"))[1]


async def test_an_append_cancelled_anywhere_writes_all_or_nothing(idle):
    async for outcome in cancelled_everywhere(lambda: append_to(idle, b"hello")):
        uploads = {staging.size_of(path) for path in (idle.root / layout.UPLOADS).iterdir()}
        assert uploads <= {0, 5}
        assert not outcome.is_success or 5 in uploads


async def append_to(found: Sessions, content: bytes) -> None:
    session = await begin(found)
    try:
        await session.append(0, content)
    finally:
        assert session.size == staging.size_of(session.path)


async def test_a_session_at_rest_is_a_file_only_and_goes_on_from_there(tmp_path, autojump_clock):
    content = noise(300_000)
    (tmp_path / layout.UPLOADS).mkdir()
    found = Sessions(tmp_path, SECRET, 0)
    session, _ = await found.stage(OWNER, None, None)
    staging.append(session.path, 0, content)  # no thread: the clock would jump over it
    busy, _ = await found.stage(OWNER, None, "a key that others follow")
    await trio.sleep(101)
    fresh, _ = await found.stage(OWNER, None, None)

    assert found.rest(100) == 1
    assert found._open.keys() == {busy.id, fresh.id}
    again, _ = await found.stage(OWNER, session.id, None)
    assert again is not session
    assert again.size == len(content)


async def test_running_out_of_descriptors_is_told_once_and_then_tried_again(idle):
    content = noise(300_000)
    session = await begin(idle, content)
    session.fault = Busy("the table of open files")

    with pytest.raises(Busy):
        await session.append(len(content), b"more")

    assert await session.append(len(content), b"more") == len(content) + 4
