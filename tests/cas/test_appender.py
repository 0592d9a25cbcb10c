import errno
import os

import pytest
import trio

from cas import appender, layout
from cas.appender import ActivePack, Appender, create_pack
from cas.errors import Busy, Damaged, StorageFull, StoreFailed
from cas.pins import Pins
from index.errors import IndexFailed, NoSpace
from tests.anomaly import counted, replaced
from tests.cas.pushing import noise

SOURCE = noise(10_000)


class Activations:
    """Notes which packs became active; may refuse."""

    def __init__(self) -> None:
        self.packs: list[int] = []
        self.errors: list[Exception] = []

    async def __call__(self, pack: int) -> int:
        if self.errors:
            raise self.errors.pop()
        self.packs.append(pack)
        return pack + 1


@pytest.fixture
def activations():
    return Activations()


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source"
    path.write_bytes(SOURCE)
    return path


@pytest.fixture
def made(tmp_path, activations):
    (tmp_path / layout.PACKS).mkdir()
    create_pack(tmp_path, 1)
    return Appender(tmp_path, ActivePack(1, 0, 2), activations, Pins())


@pytest.fixture
async def running(made, nursery):
    nursery.start_soon(made.run)
    return made


def pack_bytes(made: Appender, pack: int = 1) -> bytes:
    return layout.pack_path(made._root, pack).read_bytes()


def failing_once(code: int, on: int = 1):
    calls = []

    def wrap(name, call):
        def fail(*args, **kwargs):
            calls.append(name)
            if len(calls) == on:
                raise OSError(code, os.strerror(code))
            return call(*args, **kwargs)

        return fail

    return wrap


async def test_runs_are_copied_one_after_the_other(running, source):
    first = await running.append(source, [(100, 50), (1000, 10)])
    second = await running.append(source, [(0, 5)])

    assert (first.pack, first.offset, first.pack_length) == (1, 0, 60)
    assert (second.pack, second.offset, second.pack_length) == (1, 60, 65)
    assert pack_bytes(running) == SOURCE[100:150] + SOURCE[1000:1010] + SOURCE[:5]


async def test_those_who_wait_together_are_synced_together(made, source, nursery):
    results = []

    async def append(number):
        results.append((number, await made.append(source, [(number * 10, 10)])))

    async with trio.open_nursery() as appends:
        for number in range(5):
            appends.start_soon(append, number)
        await trio.testing.wait_all_tasks_blocked()
        with counted("fdatasync") as counts:
            nursery.start_soon(made.run)
            while len(results) < 5:
                await trio.testing.wait_all_tasks_blocked()

    assert made.syncs == counts["fdatasync"] == 1
    for number, result in results:
        assert pack_bytes(made)[result.offset :][:10] == SOURCE[number * 10 :][:10]


async def test_the_queue_is_bounded(made, source, monkeypatch, nursery):
    async def append():
        await made.append(source, [(0, 1)])

    async with trio.open_nursery() as appends:
        for _ in range(appender.MAX_WAITING):
            appends.start_soon(append)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(Busy):
            await made.append(source, [(0, 1)])
        nursery.start_soon(made.run)


async def test_a_full_pack_is_followed_by_a_new_one(running, source, activations, monkeypatch):
    monkeypatch.setattr(appender, "SEAL_SIZE", 100)

    places = [await running.append(source, [(0, 60)]) for _ in range(5)]

    assert [(place.pack, place.offset) for place in places] == [
        (1, 0),
        (1, 60),
        (2, 0),
        (2, 60),
        (3, 0),
    ]
    assert activations.packs == [2, 3]


@pytest.mark.parametrize("error", [NoSpace(), OSError(errno.ENOSPC, "full")])
async def test_on_a_full_disk_the_old_pack_goes_on(
    running, source, activations, monkeypatch, error
):
    monkeypatch.setattr(appender, "SEAL_SIZE", 100)
    activations.errors = [error] * 3

    places = [await running.append(source, [(0, 100)]) for _ in range(5)]

    assert [place.pack for place in places] == [1, 1, 1, 1, 2]
    assert [place.offset for place in places] == [0, 100, 200, 300, 0]


async def test_a_new_pack_that_was_not_indexed_for_sure_is_the_end(
    running, source, activations, monkeypatch
):
    monkeypatch.setattr(appender, "SEAL_SIZE", 100)
    activations.errors = [IndexFailed("broken")]

    await running.append(source, [(0, 100)])

    with pytest.raises(StoreFailed):
        await running.append(source, [(0, 100)])


async def test_a_failed_sync_is_told_to_all_and_nothing_is_appended_again(running, source):
    with replaced(("fdatasync",), failing_once(errno.EIO)), pytest.raises(StoreFailed):
        await running.append(source, [(0, 10)])

    with counted("copy_file_range", "fdatasync") as counts, pytest.raises(StoreFailed):
        await running.append(source, [(0, 10)])
    assert counts == {"copy_file_range": 0, "fdatasync": 0}


async def test_what_did_not_fit_is_cut_off_and_the_next_is_appended(running, source):
    await running.append(source, [(0, 10)])

    with (
        replaced(("copy_file_range",), failing_once(errno.ENOSPC, on=2)),
        pytest.raises(StorageFull),
    ):
        await running.append(source, [(0, 10), (50, 10)])
    assert pack_bytes(running) == SOURCE[:10]
    after = await running.append(source, [(20, 10)])

    assert after.offset == 10
    assert pack_bytes(running) == SOURCE[:10] + SOURCE[20:30]


async def test_one_request_that_does_not_fit_leaves_its_group_alone(made, source, nursery):
    outcomes = {}

    async def append(number):
        try:
            outcomes[number] = await made.append(source, [(number * 10, 10)])
        except StorageFull as error:
            outcomes[number] = error

    with replaced(("copy_file_range",), failing_once(errno.ENOSPC, on=2)):
        async with trio.open_nursery() as appends:
            for number in range(3):
                appends.start_soon(append, number)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(made.run)

    failed = [n for n, outcome in outcomes.items() if isinstance(outcome, StorageFull)]
    assert len(failed) == 1
    assert len(pack_bytes(made)) == 20
    for number in set(outcomes) - set(failed):
        place = outcomes[number]
        assert pack_bytes(made)[place.offset :][:10] == SOURCE[number * 10 :][:10]


async def test_those_who_wait_when_it_ends_are_told(made, source, nursery):
    refused = []

    async def append():
        with pytest.raises(StoreFailed):
            await made.append(source, [(0, 10)])
        refused.append(True)

    nursery.start_soon(append)
    await trio.testing.wait_all_tasks_blocked()
    with trio.CancelScope() as scope:
        scope.cancel()
        await made.run()
    await append()
    await trio.testing.wait_all_tasks_blocked()

    assert refused == [True, True]


async def test_without_descriptors_the_store_goes_on(running, source):
    with replaced(("open",), failing_once(errno.EMFILE)), pytest.raises(Busy):
        await running.append(source, [(0, 10)])

    assert (await running.append(source, [(0, 10)])).offset == 0


@pytest.mark.parametrize("way", ["missing", "cut off"])
async def test_a_pack_that_lost_bytes_is_left_for_the_next_one(running, source, way):
    await running.append(source, [(0, 10)])
    path = layout.pack_path(running._root, 1)
    path.unlink() if way == "missing" else os.truncate(path, 5)

    appended = await running.append(source, [(0, 10)])

    assert (appended.pack, appended.offset, appended.pack_length) == (2, 0, 10)
    assert layout.pack_path(running._root, 2).read_bytes() == SOURCE[:10]


async def test_without_room_for_another_one_it_is_damage(running, source):
    layout.pack_path(running._root, 1).unlink()

    def wrap(name, call):
        def fail(path, *args):
            if str(path).endswith("2"):
                raise OSError(errno.ENOSPC, "full")
            return call(path, *args)

        return fail

    with replaced(("open",), wrap), pytest.raises(Damaged, match="no other one"):
        await running.append(source, [(0, 10)])


async def test_short_copies_are_continued(running, source):
    def wrap(name, call):
        return lambda fd, to, size, offset, at: call(fd, to, min(size, 7), offset, at)

    with replaced(("copy_file_range",), wrap):
        await running.append(source, [(3, 100)])

    assert pack_bytes(running) == SOURCE[3:103]


async def test_a_source_that_is_too_short_is_the_end(running, source):
    with pytest.raises(StoreFailed):
        await running.append(source, [(0, 10_001)])


@pytest.mark.parametrize("is_left", [False, True])
def test_a_new_pack_is_empty_private_and_durable(tmp_path, is_left):
    (tmp_path / layout.PACKS).mkdir()
    if is_left:
        create_pack(tmp_path, 7)
        layout.pack_path(tmp_path, 7).write_bytes(b"left by a crash")

    with counted("fsync") as counts:
        create_pack(tmp_path, 7)

    status = layout.pack_path(tmp_path, 7).stat()
    assert (status.st_size, status.st_mode & 0o777) == (0, 0o600)
    assert counts["fsync"] == 1
