"""Kill daemon and workers as real processes: reads go on, nothing acknowledged is lost."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from cas.digest import Digest
from cas.errors import DaemonAway, UploadOrphaned, UploadUnknown
from cas.remote.client import connect_store
from cas.sockets import DAEMON_SOCKET
from tests.cas.daemons import Daemons
from tests.cas.pushing import OWNER, drift, noise, prepare, pull, push

ROOT = Path(__file__).parents[2]
KILLS = 5
SIZES = (5, 40_000, 200_000, 1 << 20)

pytestmark = pytest.mark.slow


@pytest.fixture
def mortal():
    """A process for daemons that the test may kill."""
    found = Daemons()
    yield found
    found.kill()


class Work:
    """Writers and a reader of one worker, and what they saw."""

    def __init__(self, store, seed: int) -> None:
        self.store = store
        self.kept: dict[Digest, bytes] = {}  # acknowledged
        self.reads = 0
        self.refused = 0
        self.is_back = trio.Event()
        self._random = random.Random(seed)  # noqa: S311 - a test's
        self._changed = trio.Event()

    async def write(self, name: str) -> None:
        """Push one blob after the other; while the daemon is away, wait for it."""
        for number in range(1 << 30):
            content = noise(self._random.choice(SIZES), f"{name}-{number}")
            while True:
                try:
                    digest = await push(self.store, content)
                except (DaemonAway, UploadUnknown):
                    self.refused += 1
                    self._tell()
                    await self.is_back.wait()
                else:
                    break
            self.kept[digest] = content
            self._tell()

    async def read(self) -> None:
        """Read everything acknowledged, over and over; each must be right."""
        while True:
            await trio.lowlevel.checkpoint()
            for digest, content in list(self.kept.items())[-20:]:
                assert await trio.to_thread.run_sync(pull_here, self.store, digest) == content
                self.reads += 1
                self._tell()

    async def wait_for(self, is_so) -> None:
        with trio.fail_after(30):
            while not is_so():
                await self._changed.wait()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


def pull_here(store, digest: Digest) -> bytes:
    return trio.from_thread.run_sync(pull, store, digest)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("seed", range(2))
async def test_killing_the_daemon_stops_no_read_and_loses_nothing(mortal, tmp_path, seed):
    mortal.ask("serve", tmp_path)
    delays = random.Random(seed)  # noqa: S311 - a test's
    async with connect_store(tmp_path, tmp_path / DAEMON_SOCKET) as store:
        await prepare(store)
        work = Work(store, seed)
        async with trio.open_nursery() as nursery:
            for name in "abc":
                nursery.start_soon(work.write, name)
            nursery.start_soon(work.read)
            for _ in range(KILLS):
                await kill_once(mortal, tmp_path, work, delays.random() / 50)
            written = len(work.kept)
            await work.wait_for(lambda: len(work.kept) > written + 10)
            nursery.cancel_scope.cancel()

        for digest, content in work.kept.items():
            assert pull(store, digest) == content
        assert await drift(store) == []


async def kill_once(mortal, root, work, delay: float) -> None:
    written = len(work.kept)
    await work.wait_for(lambda: len(work.kept) > written + 5)
    work.is_back = trio.Event()
    await trio.sleep(delay)  # any moment of a commit, its sync included
    refused = work.refused
    mortal.kill()

    await work.wait_for(lambda: work.refused > refused)
    reads = work.reads
    await work.wait_for(lambda: work.reads > reads + 50)

    # Recovery is another's work: this process goes on reading.
    await trio.to_thread.run_sync(mortal.ask, "serve", root)
    work.is_back.set()


def start_worker(root: Path, key: str) -> subprocess.Popen:
    return subprocess.Popen(  # noqa: S603 - ourselves
        [sys.executable, "-m", "tests.crash.worker", root, key],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


async def test_killing_a_worker_passes_its_key_on_and_leaves_the_daemon_as_it_was(mortal, tmp_path):
    mortal.ask("serve", tmp_path)
    async with connect_store(tmp_path, tmp_path / DAEMON_SOCKET) as store:
        await prepare(store)
        with start_worker(tmp_path, "upstream/nginx") as worker:
            ready = await trio.to_thread.run_sync(worker.stdout.readline)
            followed, is_owner = await store.stage(OWNER, key="upstream/nginx")
            assert (ready, is_owner) == (f"ready {followed.id}\n", False)
            assert followed.size == 300_000

            worker.kill()
            with trio.fail_after(10), pytest.raises(UploadOrphaned):
                await store.wait_grown(followed, 300_000)

        again, is_owner = await store.stage(OWNER, key="upstream/nginx")
        assert (again.id, again.size, is_owner) == (followed.id, 300_000, True)
        assert pull(store, await push(store, noise(200_000))) == noise(200_000)
        assert await drift(store) == []
