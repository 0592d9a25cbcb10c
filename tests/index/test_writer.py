"""`index.writer`: group commit, one operation's failure is its own, what ends the writer."""

import errno
import os
import subprocess
import threading
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from shutil import which

import lmdb
import pytest
import trio
import trio.testing

from index import writer as module
from index.environment import open_environment
from index.errors import IndexFailed, NoSpace, WriterBusy
from index.writer import MAX_GROUP, Writer, open_writer


@pytest.fixture
def writer(environment):
    with open_writer(environment) as opened:
        yield opened


def _put(transaction, key, value=b"value"):
    transaction.put("setting", key, value)
    return key


def _keys(environment):
    return environment.read(lambda v: [key for key, _ in v.scan("setting")])


class Gate:
    """An operation that holds the writer's thread: what is queued meanwhile is the next group."""

    def __init__(self):
        self._entered = trio.Event()
        self._opened = threading.Event()
        self._token = trio.lowlevel.current_trio_token()

    def __call__(self, transaction):
        self._token.run_sync_soon(self._entered.set)
        self._opened.wait()

    async def hold(self, nursery, writer):
        nursery.start_soon(writer.write, self)
        await self._entered.wait()

    def open(self):
        self._opened.set()


@asynccontextmanager
async def held(writer):
    """A nursery that fills the writer's queue while its thread waits; left, the gate opens."""
    gate = Gate()
    try:
        async with trio.open_nursery() as nursery:
            await gate.hold(nursery, writer)
            yield nursery
            await trio.testing.wait_all_tasks_blocked()
            gate.open()
    finally:
        gate.open()


async def _queue(nursery, writer, *runs):
    """Start a writer task for each; returns when all are queued."""
    for run in runs:
        nursery.start_soon(writer.write, run)
        await trio.testing.wait_all_tasks_blocked()


def _fail_with(error):
    def fail(*args, **kwargs):
        raise error

    return fail


async def test_an_operation_is_committed_before_it_returns(environment, writer):
    assert await writer.write(partial(_put, key=b"a")) == b"a"

    assert _keys(environment) == [b"a"]
    assert (writer.commits, writer.operations, writer.failure) == (1, 1, None)


async def test_what_waits_together_is_committed_together(environment, writer):
    async with held(writer) as nursery:
        await _queue(nursery, writer, *(partial(_put, key=b"%d" % n) for n in range(9)))

    assert len(_keys(environment)) == 9
    assert (writer.commits, writer.operations) == (2, 10)


async def test_a_group_is_bounded(environment, writer):
    async with held(writer) as nursery:
        for number in range(MAX_GROUP + 1):
            nursery.start_soon(writer.write, partial(_put, key=b"%d" % number))
        await trio.testing.wait_all_tasks_blocked()

    assert (writer.commits, writer.operations) == (3, MAX_GROUP + 2)


async def test_a_failing_operation_undoes_itself_alone(environment, writer):
    errors = []

    def fail(transaction):
        _put(transaction, b"b")
        raise KeyError("b")

    async def caught():
        try:
            await writer.write(fail)
        except KeyError as error:
            errors.append(error.args)

    async with held(writer) as nursery:
        await _queue(nursery, writer, partial(_put, key=b"a"))
        nursery.start_soon(caught)
        await trio.testing.wait_all_tasks_blocked()
        await _queue(nursery, writer, partial(_put, key=b"c"))

    assert errors == [("b",)]
    assert _keys(environment) == [b"a", b"c"]
    assert writer.commits == 2


async def test_operations_of_a_group_see_those_before_them(environment, writer):
    def count(transaction):
        return transaction.take_number(b"test", 8)

    async with held(writer) as nursery:
        await _queue(nursery, writer, *[count] * 5)

    assert await writer.write(count) == 6


@pytest.mark.parametrize("key", [b"", b"k" * 512])
async def test_a_key_that_cannot_be_is_the_operations_own_error(environment, writer, key):
    with pytest.raises(ValueError, match="key"):
        await writer.write(partial(_put, key=key))

    assert await writer.write(partial(_put, key=b"k" * 511))
    assert writer.failure is None


# --- cancellation, and the end ---


async def test_a_cancelled_caller_learns_the_outcome_and_it_is_committed(environment, writer):
    outcome = []

    async def write_cancelled():
        with trio.CancelScope() as scope:
            scopes.append(scope)
            outcome.append(await writer.write(partial(_put, key=b"a")))

    scopes = []
    async with held(writer) as nursery:
        nursery.start_soon(write_cancelled)
        await trio.testing.wait_all_tasks_blocked()
        scopes[0].cancel()
        await trio.testing.wait_all_tasks_blocked()

    assert outcome == [b"a"]
    assert _keys(environment) == [b"a"]


async def test_what_is_queued_is_committed_before_the_writer_ends(environment):
    gate = Gate()
    async with trio.open_nursery() as nursery:
        with open_writer(environment) as writer:
            await gate.hold(nursery, writer)
            await _queue(nursery, writer, partial(_put, key=b"a"))
            gate.open()

    assert _keys(environment) == [b"a"]


async def test_a_full_queue_turns_the_next_one_away(environment, writer, monkeypatch):
    monkeypatch.setattr(module, "MAX_WAITING", 2)
    async with held(writer) as nursery:
        await _queue(nursery, writer, *(partial(_put, key=key) for key in (b"a", b"b")))
        with pytest.raises(WriterBusy, match="2 operations wait"):
            await writer.write(partial(_put, key=b"c"))

    assert _keys(environment) == [b"a", b"b"]
    assert await writer.write(partial(_put, key=b"c"))


# --- a full map ---


async def test_a_full_map_grows_and_everything_is_visible_exactly_once(tmp_path):
    runs = []

    def large(transaction, number):
        runs.append(number)
        transaction.put("setting", b"%d" % number, bytes(1 << 20))
        return transaction.take_number(b"test", 8)

    with (
        open_environment(tmp_path / "index", map_size=1 << 20) as environment,
        open_writer(environment) as writer,
    ):
        async with held(writer) as nursery:
            calls = [partial(large, number=number) for number in range(5)]
            await _queue(nursery, writer, *calls)

        assert len(runs) > 5  # the group was replayed
        assert _keys(environment) == [b"%d" % number for number in range(5)]
        assert await writer.write(lambda t: t.take_number(b"test", 8)) == 6
        assert writer.commits == 3
        assert writer.failure is None


async def test_an_operation_that_failed_may_succeed_when_replayed(tmp_path):
    tries = []

    def fail_once(transaction):
        tries.append(1)
        if len(tries) == 1:
            raise KeyError
        return "second"

    async def caught():
        results.append(await writer.write(fail_once))

    results = []
    with (
        open_environment(tmp_path / "index", map_size=1 << 20) as environment,
        open_writer(environment) as writer,
    ):
        async with held(writer) as nursery:
            nursery.start_soon(caught)
            await trio.testing.wait_all_tasks_blocked()
            await _queue(nursery, writer, partial(_put, key=b"a", value=bytes(1 << 20)))

        assert results == ["second"]


# --- what ends it ---


@pytest.mark.parametrize(
    "error", [lmdb.CorruptedError("a page is broken"), lmdb.PanicError("update of meta failed")]
)
async def test_a_broken_index_fails_its_group_and_everything_after(environment, writer, error):
    failed = []

    async def caught(run):
        try:
            await writer.write(run)
        except IndexFailed as raised:
            failed.append(str(raised))

    async with held(writer) as nursery:
        for run in (partial(_put, key=b"a"), _fail_with(error), partial(_put, key=b"b")):
            nursery.start_soon(caught, run)
        await trio.testing.wait_all_tasks_blocked()

    assert len(failed) == 3
    assert str(error) in writer.failure
    assert _keys(environment) == []
    with pytest.raises(IndexFailed, match=str(error)):
        await writer.write(partial(_put, key=b"c"))


async def test_what_was_queued_before_the_failure_is_refused_too(environment, writer):
    async def refused(run):
        with pytest.raises(IndexFailed):
            await writer.write(run)

    async with held(writer) as nursery:
        nursery.start_soon(refused, _fail_with(lmdb.CorruptedError("broken")))
        await trio.testing.wait_all_tasks_blocked()  # tasks that start together have no order
        for number in range(MAX_GROUP + 5):  # more than one group
            nursery.start_soon(refused, partial(_put, key=b"%d" % number))
        await trio.testing.wait_all_tasks_blocked()

    assert _keys(environment) == []
    assert writer.commits == 1


@pytest.mark.timeout(10)
async def test_whoever_waits_is_told_of_an_error_nobody_thought_of(
    environment, writer, monkeypatch
):
    monkeypatch.setattr(environment, "begin", _fail_with(MemoryError("no page")))

    with pytest.raises(IndexFailed, match="no page"):
        await writer.write(partial(_put, key=b"a"))

    assert writer.failure == "no page"


async def test_a_disk_that_refuses_is_fatal_and_a_full_one_is_not(environment, writer):
    def refuse(code):
        error = lmdb.Error("mdb_txn_commit")
        error.code = code
        return _fail_with(error)

    with pytest.raises(NoSpace):
        await writer.write(refuse(errno.ENOSPC))
    assert await writer.write(partial(_put, key=b"a"))
    with pytest.raises(IndexFailed):
        await writer.write(refuse(errno.EIO))
    with pytest.raises(IndexFailed):
        await writer.write(partial(_put, key=b"b"))

    assert _keys(environment) == [b"a"]


def test_an_operation_is_committed_although_its_loop_is_gone(environment):
    async def token():
        return trio.lowlevel.current_trio_token()

    writer = Writer(environment)
    writer._queue.put(module._Operation(partial(_put, key=b"a"), trio.run(token)))
    writer.stop()

    writer.run()

    assert _keys(environment) == [b"a"]


# --- a full disk ---


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 32 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounts a tmpfs: run it as root")
    mount, umount, path = which("mount"), which("umount"), str(tmp_path)
    options = ["-t", "tmpfs", "-o", "size=32m", "tmpfs"]
    subprocess.run([mount, *options, path], check=True)  # noqa: S603 - our own folder
    yield tmp_path
    subprocess.run([umount, path], check=True)  # noqa: S603 - our own folder


def _fill(path: Path):
    """Take every free block of the file system."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(1 << 16)):
            pass


async def test_a_full_disk_refuses_loses_nothing_and_goes_on_when_there_is_room(small_disk):
    with (
        open_environment(small_disk / "index") as environment,
        open_writer(environment) as writer,
    ):
        await writer.write(partial(_put, key=b"kept"))
        _fill(small_disk / "filler")

        with pytest.raises(NoSpace):
            await writer.write(partial(_put, key=b"large", value=bytes(20 << 20)))

        assert _keys(environment) == [b"kept"]
        await writer.write(partial(_put, key=b"small"))  # what was reserved is still ours
        await writer.write(lambda t: t.delete("setting", b"small"))
        assert writer.failure is None
        (small_disk / "filler").unlink()
        await writer.write(partial(_put, key=b"large", value=bytes(8 << 20)))

    with open_environment(small_disk / "index") as environment:
        assert _keys(environment) == [b"kept", b"large"]


async def test_rows_can_be_deleted_on_a_full_disk(small_disk):
    names = [b"%d" % number for number in range(200)]
    with (
        open_environment(small_disk / "index") as environment,
        open_writer(environment) as writer,
    ):
        await writer.write(lambda t: [_put(t, name, bytes(10_000)) for name in names])
        _fill(small_disk / "filler")

        for name in names:
            await writer.write(lambda t, name=name: t.delete("setting", name))

        assert _keys(environment) == []
