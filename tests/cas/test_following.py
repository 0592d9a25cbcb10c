"""Followers of an upload in one process: what they share, when they are woken, what that costs."""

import os
import socket
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from cas import layout
from cas.errors import DaemonAway, UploadOrphaned, UploadUnknown
from cas.uploads import followed, following, staging
from cas.uploads.following import Following, Growth
from tests.cas.pages import drop
from tests.cas.pushing import files, noise

SESSION = "0" * 64
PIECE = 4096


class Site:
    """An upload's file, those who follow it, and a writer's side that counts what it is asked."""

    def __init__(self, root) -> None:
        self.id = SESSION
        self.path = layout.upload_path(root, SESSION)
        self.following = Following(root, self.wait)
        self.calls = 0
        self.fails: list[Exception] = []  # what the next calls raise
        self.is_committed = False
        self.fault: Exception | None = None
        self._changed = trio.Event()
        self.path.parent.mkdir()
        staging.create(self.path)

    def open(self):
        return self.following.open(self)

    def append(self, data: bytes) -> None:
        """No thread: the clock would jump over it."""
        staging.append(self.path, self.size, data)
        self.tell()

    def tell(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    async def wait(self, upload, offset: int, linger: float) -> Growth:
        """As the daemon does it."""
        assert upload is self
        self.calls += 1
        await trio.lowlevel.checkpoint()
        if self.fails:
            raise self.fails.pop(0)
        with trio.move_on_after(linger):
            while not (self.is_committed or self.fault):
                await self._changed.wait()
        while self.size <= offset and not (self.is_committed or self.fault):
            await self._changed.wait()
        if self.fault:
            raise self.fault
        return Growth(self.size, self.is_committed, self.is_committed)


@pytest.fixture
async def site(tmp_path, nursery):
    found = Site(tmp_path)
    nursery.start_soon(found.following.run)
    await trio.testing.wait_all_tasks_blocked()
    return found


@pytest.fixture
def hops(monkeypatch):
    """How often a thread was asked for."""
    counted = []
    run_sync = trio.to_thread.run_sync

    async def count(*args, **more):
        counted.append(args)
        return await run_sync(*args, **more)

    monkeypatch.setattr(trio.to_thread, "run_sync", count)
    return counted


@contextmanager
def open_files():
    """Every descriptor of this process that is opened in the block is closed in it."""
    own = Path("/proc/self/fd")
    before = len(files(own))
    yield lambda: len(files(own)) - before
    assert len(files(own)) == before


# --- cost ---


async def test_small_appends_wake_their_followers_together_and_ask_once_for_all(
    site, hops, autojump_clock
):
    wakes = [0] * 64
    content = noise(1000 * PIECE)

    async def follow(number: int) -> None:
        got = 0
        with site.open() as growing:
            while got < len(content):
                size = await growing.wait(got)
                assert growing.peek(got, size) == content[got:size]
                got = size
                wakes[number] += 1

    async with trio.open_nursery() as nursery:
        for number in range(64):
            nursery.start_soon(follow, number)
        for start in range(0, len(content), PIECE):  # a second of 4 MB/s
            await trio.sleep(0.001)
            site.append(content[start : start + PIECE])

    rounds = 1.0 / following.PAUSE + 2
    assert max(wakes) <= rounds
    assert site.calls <= rounds
    assert hops == []


async def test_who_has_not_caught_up_asks_nobody(site):
    site.append(noise(10 * PIECE))

    with site.open() as growing:
        for offset in range(10 * PIECE):
            await growing.wait(offset)

    assert site.calls == 0


async def test_who_waits_for_more_than_there_is_sleeps_until_it_is_there(site, autojump_clock):
    woken = []

    async def follow(offset: int) -> None:
        with site.open() as growing:
            woken.append((offset, await growing.wait(offset)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow, 0)
        nursery.start_soon(follow, 5 * PIECE)
        for _ in range(8):
            await trio.sleep(1)
            site.append(noise(PIECE))

    assert woken == [(0, PIECE), (5 * PIECE, 6 * PIECE)]


async def test_the_first_bytes_and_the_end_are_told_at_once(site, autojump_clock):
    told = []

    async def follow() -> None:
        with site.open() as growing:
            for offset in (0, PIECE, 2 * PIECE):
                await growing.wait(offset)
                told.append(round(trio.current_time() - begun, 3))

    begun = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow)
        await trio.sleep(1)
        site.append(noise(PIECE))
        await trio.sleep(0.001)
        site.append(noise(PIECE))
        await trio.sleep(following.PAUSE + 0.001)
        site.is_committed = True
        site.tell()

    assert told == [1, 1 + following.PAUSE, 1.022]


async def test_what_grew_between_a_look_and_a_call_is_not_missed(site, monkeypatch):
    got = []

    watch = site.following.watch

    def append_first(file) -> None:
        staging.append(site.path, 0, b"and nobody is told")
        watch(file)

    monkeypatch.setattr(site.following, "watch", append_first)

    with trio.fail_after(5), site.open() as growing:
        got.append(await growing.wait(0))

    assert got == [18]


async def test_who_waits_before_anybody_runs_is_told_too(tmp_path, nursery):
    site = Site(tmp_path)

    with trio.fail_after(5), site.open() as growing:

        @nursery.start_soon
        async def run():
            await trio.testing.wait_all_tasks_blocked()
            site.append(b"abc")
            await site.following.run()

        assert await growing.wait(0) == 3


async def test_all_followers_share_one_descriptor_and_give_it_back(site):
    with open_files() as opened:
        growing = [site.open() for _ in range(64)]
        assert opened() == 1
        for each in growing:
            each.close()
        assert opened() == 0


async def test_the_last_follower_that_leaves_takes_the_call_along(site):
    async with trio.open_nursery() as nursery:
        growing = site.open()
        nursery.start_soon(growing.wait, 0)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    growing.close()
    await trio.testing.wait_all_tasks_blocked()

    assert site.following._nursery.child_tasks == frozenset()


# --- errors ---


async def test_each_follower_is_told_of_the_end_by_an_error_of_its_own(site):
    told = []

    async def follow(growing) -> None:
        with growing, pytest.raises(UploadUnknown) as caught:
            await growing.wait(0)
        told.append(caught.value)

    async with trio.open_nursery() as nursery:
        kept = site.open()
        for _ in range(3):
            nursery.start_soon(follow, site.open())
        await trio.testing.wait_all_tasks_blocked()
        site.fault = UploadUnknown(SESSION)
        site.tell()
    await follow(kept)

    assert len({id(error) for error in told}) == 4
    assert {error.id for error in told} == {SESSION}
    assert site.calls == 1


async def test_an_orphan_is_told_and_may_grow_again(site):
    site.fails = [UploadOrphaned(SESSION)]

    with site.open() as growing:
        with pytest.raises(UploadOrphaned):
            await growing.wait(0)
        site.append(b"abc")
        assert await growing.wait(0) == 3


async def test_a_daemon_that_is_away_for_a_moment_is_waited_for(site, autojump_clock):
    site.fails = [DaemonAway(), DaemonAway(), UploadOrphaned(SESSION), UploadOrphaned(SESSION)]
    site.append(b"abc")

    async with trio.open_nursery() as nursery:
        with site.open() as growing:

            @nursery.start_soon
            async def append():
                await trio.sleep(5)
                site.append(b"def")

            assert await growing.wait(3) == 6
    assert site.calls == 5


@pytest.mark.parametrize("error", [DaemonAway(), UploadOrphaned(SESSION)])
async def test_a_daemon_that_stays_away_and_an_owner_too_are_told(site, autojump_clock, error):
    site.fails = [DaemonAway(), *[error] * 1000]
    begun = trio.current_time()

    with site.open() as growing, pytest.raises(type(error)):
        await growing.wait(0)

    assert 0 <= trio.current_time() - begun - following.PATIENCE < 1


async def test_a_bug_of_a_call_is_told_to_who_waits_and_to_nobody_else(site):
    site.fails = [RuntimeError("a bug")]

    with site.open() as growing:
        with pytest.raises(RuntimeError, match="a bug"):
            await growing.wait(0)
        site.append(b"abc")
        assert await growing.wait(0) == 3


# --- bytes ---


async def test_bytes_that_are_not_in_memory_are_not_waited_for(site):
    content = noise(4 << 20)
    site.append(content)
    ours, theirs = socket.socketpair()

    with ours, theirs, site.open() as growing:
        descriptor = growing._file.descriptor
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
        os.fsync(descriptor)
        drop(descriptor, 0, len(content))
        assert growing.peek(0, len(content)) == b""
        assert growing.send(ours, 0, len(content)) == 0
        growing.load(0, len(content))
        assert growing.peek(0, len(content)) == content


async def test_a_file_that_grows_beyond_its_map_is_mapped_again(site, monkeypatch):
    monkeypatch.setattr("cas.resident._ROOM", 8 * PIECE)
    rooms = []
    pages = following.Pages

    def count(descriptor, room=8 * PIECE):
        rooms.append(room)
        return pages(descriptor, room)

    monkeypatch.setattr(following, "Pages", count)
    content = noise(40 * PIECE)

    with site.open() as growing:
        for start in range(0, len(content), PIECE):
            site.append(content[start : start + PIECE])
            assert growing.peek(0, growing.size) == content[: start + PIECE]

    assert len(rooms) == 4  # each time twice as much


# --- who follows ---


def test_a_file_is_followed_by_many_or_claimed_by_one(tmp_path):
    path = tmp_path / "file"
    path.touch()
    first, second, third = (os.open(path, os.O_RDWR) for _ in range(3))

    assert followed.hold(first)
    assert followed.hold(second)
    assert not followed.claim(third)
    os.close(first)
    assert not followed.claim(third)
    os.close(second)
    assert followed.claim(third)
    fourth = os.open(path, os.O_RDONLY)
    assert not followed.hold(fourth)
    os.close(third)
    assert followed.hold(fourth)
    os.close(fourth)


def test_an_append_does_not_mind_who_follows(tmp_path):
    path = tmp_path / SESSION
    staging.create(path)
    descriptor = os.open(path, os.O_RDONLY)

    assert followed.hold(descriptor)
    assert staging.append(path, 0, b"abc") == 3
    assert staging.seal(path) == 3
    os.close(descriptor)


async def test_what_is_being_punched_is_not_opened(site):
    site.append(b"abc")
    descriptor = os.open(site.path, os.O_RDWR)
    assert followed.claim(descriptor)

    with open_files(), pytest.raises(UploadUnknown):
        site.open()

    os.close(descriptor)


async def test_who_finds_the_name_gone_behind_its_lock_has_not_opened_it(site, monkeypatch):
    hold = followed.hold

    def commit_first(descriptor: int) -> bool:
        site.path.unlink()  # between its open and its lock: the punch may have begun
        return hold(descriptor)

    monkeypatch.setattr(followed, "hold", commit_first)

    with open_files(), pytest.raises(UploadUnknown):
        site.open()
