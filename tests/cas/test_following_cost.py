"""64 clients of one upload, in a worker: what that costs in memory, calls, wakes and threads."""

import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from cas.digest import Digest
from cas.remote import wire
from tests.cas.pushing import OWNER, changes_for, noise, prepare

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CLIENTS = 64
MIB = 1 << 20
SIZE = 64 * MIB
PIECE = MIB
DRAIN = """
import os, select, sys
ends, buffers, poll = [int(each) for each in sys.argv[1:]], [bytearray(1 << 20)], select.poll()
total = 0
for end in ends:
    os.set_blocking(end, False)
    poll.register(end, select.POLLIN)
while ends:
    for end, _ in poll.poll():
        if not (count := os.readv(end, buffers)):
            poll.unregister(end)
            ends.remove(end)
        total += count
print(total)
"""


@contextmanager
def drained():
    """Sockets whose other ends another process reads, and what it has read at the end."""
    pairs = [socket.socketpair() for _ in range(CLIENTS)]
    theirs = [str(their.fileno()) for _, their in pairs]
    for ours, their in pairs:
        ours.setblocking(False)
        os.set_inheritable(their.fileno(), True)
    process = subprocess.Popen(  # noqa: S603 - ourselves
        [sys.executable, "-c", DRAIN, *theirs], stdout=subprocess.PIPE, text=True, close_fds=False
    )
    for _, their in pairs:
        their.close()
    try:
        yield [ours for ours, _ in pairs], process
    finally:
        for ours, _ in pairs:
            ours.close()
        process.kill()
        process.communicate()


def anonymous_bytes() -> int:
    """What this process holds in memory of its own."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon"))


class Counts:
    """What is done in this process meanwhile."""

    def __init__(self, store, monkeypatch) -> None:
        self.calls: list[type] = []
        self.hops = 0
        self.wakes = 0
        self.memory = 0
        self._before = anonymous_bytes()
        self._ask, self._run_sync = store._calls._ask, trio.to_thread.run_sync
        monkeypatch.setattr(store._calls, "_ask", self._count_ask)
        monkeypatch.setattr(trio.to_thread, "run_sync", self._count_hops)

    async def _count_ask(self, request, answer):
        self.calls.append(type(request))
        return await self._ask(request, answer)

    async def _count_hops(self, *args, **more):
        self.hops += 1
        return await self._run_sync(*args, **more)

    def weigh(self) -> None:
        self.memory = max(self.memory, anonymous_bytes() - self._before)


async def send(ours, upload, counts: Counts) -> None:
    """One client, as the front end serves it."""
    start = 0
    with ours, upload.open() as growing:
        while start < SIZE:
            await growing.wait(start)
            counts.wakes += 1
            stop = SIZE if growing.is_verified else min(growing.size, SIZE - 1)
            if start == stop:
                await growing.wait(growing.size)
            start = await send_to(ours, growing, start, stop)


async def send_to(ours, growing, start: int, stop: int) -> int:
    while start < stop:
        try:
            sent = growing.send(ours, start, min(stop, start + MIB))
        except BlockingIOError:
            await trio.lowlevel.wait_writable(ours)
            continue
        assert sent, "what was just written is not in memory"
        start += sent
        await trio.lowlevel.checkpoint()
    return start


async def test_sixty_four_followers_cost_no_memory_few_calls_and_no_threads(
    daemons, tmp_path, monkeypatch
):
    content = memoryview(noise(SIZE))
    digest = Digest.of(content)
    async with daemons.connected(tmp_path) as store:
        await prepare(store)
        upload, _ = await store.stage(OWNER, key="key")
        with drained() as (ends, process):
            counts = Counts(store, monkeypatch)
            async with trio.open_nursery() as nursery:
                for ours in ends:
                    nursery.start_soon(send, ours, upload, counts)
                for start in range(0, SIZE, PIECE):
                    await upload.append(start, content[start : start + PIECE])
                    counts.weigh()
                await store.commit(changes_for(upload, digest))
            hops = counts.hops
            total = int(await trio.to_thread.run_sync(process.stdout.read))

    appends = SIZE // PIECE
    assert total == CLIENTS * SIZE
    assert hops == appends  # each of who fetches; none of those who follow
    assert counts.calls.count(wire.WaitGrown) <= appends + 2
    assert counts.wakes <= CLIENTS * (appends + 2)
    assert counts.memory <= 8 * MIB
