"""Keeping a process alive, on a clock that jumps: the process is a fake that obeys."""

from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from frontend.workers.backoff import FIRST, HEALTHY, MOST, Backoff
from frontend.workers.keeper import MAX_STARTS, Keeper, StartFailed
from frontend.workers.orders import Failed, Ready
from frontend.workers.until import Until


class Fake:
    """A process (`frontend.workers.process.Process`, as far as a keeper asks)."""

    pid = 1

    def __init__(self, answer, *, is_stubborn=False):
        self._answer = answer
        self._gone = trio.Event()
        self._is_stubborn = is_stubborn
        self.end = "runs"

    async def wait_answer(self):
        await trio.lowlevel.checkpoint()
        return self._answer

    async def wait(self):
        await self._gone.wait()

    async def drain(self):
        if not self._is_stubborn:
            self.die("ended with 0")

    def kill(self):
        self.die("ended by SIGKILL")

    def die(self, how="ended by SIGSEGV"):
        self.end = how
        self._gone.set()


class Starts:
    """Starts the fakes it is given, one after the other, and notes when."""

    def __init__(self, *fakes):
        self.fakes = list(fakes)
        self.times = []
        self.living = 0

    @asynccontextmanager
    async def __call__(self):
        self.times.append(trio.current_time())
        fake = self.fakes[len(self.times) - 1]
        if isinstance(fake, OSError):
            raise fake
        self.living += 1
        try:
            yield fake
        finally:
            self.living -= 1

    @property
    def gaps(self):
        return [round(b - a, 3) for a, b in zip(self.times, self.times[1:], strict=False)]


READY = Ready()
KILLED = Failed(reason="it ended by SIGKILL before it was ready", is_final=False)


def test_delays_double_up_to_a_limit_and_health_ends_them():
    backoff = Backoff()

    delays = [backoff.delay(1) for _ in range(9)]

    assert delays == [FIRST * 2**n for n in range(7)] + [MOST, MOST]
    assert backoff.delay(HEALTHY) == FIRST
    assert backoff.delay(1) == 2 * FIRST


async def test_one_that_dies_is_started_again_later_each_time(autojump_clock):
    fakes = [Fake(READY) for _ in range(4)]
    starts = Starts(*fakes)
    keeper = Keeper("worker 1", starts, 1)

    async with trio.open_nursery() as nursery:
        assert await nursery.start(keeper.run) is READY
        for fake, pause in zip(fakes, (0, 0, HEALTHY), strict=False):
            await wait_all_tasks_blocked()
            await trio.sleep(pause)
            fake.die()
            await trio.sleep(1)
        keeper.retire()

    assert starts.living == 0
    assert starts.gaps == [FIRST, 1.1, HEALTHY + 0.9]
    assert fakes[3].end == "ended with 0"
    assert keeper.ended.is_set()


@pytest.mark.parametrize(
    ("answers", "starts_needed"),
    [
        ([Failed(reason="the disk says no")], 1),
        ([KILLED] * MAX_STARTS, MAX_STARTS),
        ([OSError(11, "no processes")] * MAX_STARTS, MAX_STARTS),
    ],
)
async def test_one_that_cannot_start_is_given_up_with_its_reason(
    autojump_clock, answers, starts_needed
):
    starts = Starts(*[each if isinstance(each, OSError) else Fake(each) for each in answers])
    keeper = Keeper("daemon", starts, 1)

    async with trio.open_nursery() as nursery:
        with pytest.raises(StartFailed) as caught:
            await nursery.start(keeper.run)

    assert len(starts.times) == starts_needed
    assert str(caught.value) == str(getattr(answers[-1], "reason", answers[-1]))
    assert starts.living == 0


async def test_once_it_was_ready_it_is_never_given_up(autojump_clock):
    first, last = Fake(READY), Fake(READY)
    bad = [Fake(Failed(reason="the disk says no")), OSError(11, "no processes"), Fake(KILLED)]
    starts = Starts(first, *bad, *bad, last)
    keeper = Keeper("daemon", starts, 1)

    async with trio.open_nursery() as nursery:
        await nursery.start(keeper.run)
        first.die()
        await trio.sleep(60)
        keeper.retire()

    assert len(starts.times) == 8
    assert last.end == "ended with 0"


async def test_one_that_does_not_end_when_asked_is_killed(autojump_clock):
    fake = Fake(READY, is_stubborn=True)
    keeper = Keeper("worker 1", Starts(fake), 7)

    async with trio.open_nursery() as nursery:
        await nursery.start(keeper.run)
        began = trio.current_time()
        keeper.retire()

    assert fake.end == "ended by SIGKILL"
    assert trio.current_time() - began == pytest.approx(7)


async def test_retiring_ends_the_wait_for_the_next_start(autojump_clock):
    fake = Fake(READY)
    starts = Starts(fake)
    keeper = Keeper("worker 1", starts, 1)

    async with trio.open_nursery() as nursery:
        await nursery.start(keeper.run)
        fake.die()
        await wait_all_tasks_blocked()
        keeper.retire()

    assert len(starts.times) == 1


async def test_cancelled_while_it_starts_nothing_is_left(autojump_clock):
    class Mute(Fake):
        async def wait_answer(self):
            await trio.sleep_forever()

    starts = Starts(Mute(READY))
    keeper = Keeper("worker 1", starts, 1)

    async with trio.open_nursery() as nursery:
        with trio.move_on_after(5) as limit:
            await nursery.start(keeper.run)

    assert limit.cancelled_caught
    assert starts.living == 0


async def test_waiting_until_a_flag_is_set(autojump_clock):
    until = Until()

    async def five():
        return 5

    assert await until.wait_for(five) == 5
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(until.wait_for, trio.sleep_forever))
        nursery.start_soon(partial(until.wait_for, trio.sleep_forever))
        await wait_all_tasks_blocked()
        until.set()
    assert await until.wait_for(trio.sleep_forever) is None
