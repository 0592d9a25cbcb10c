"""Kill who fetches, and the daemon, while others follow: they get every byte, or are aborted."""

import gc
import random
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import trio

from cas import layout
from cas.digest import Digest
from cas.remote.client import connect_store
from cas.sockets import DAEMON_SOCKET
from tests.cas.daemons import Daemons
from tests.cas.pushing import drift, files, has, noise, prepare, pull, push
from tests.crash.puller import content_of
from tests.faults.small_disk import small_disk

ROOT = Path(__file__).parents[2]
MIB = 1 << 20

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture
def mortal():
    """A process for daemons that the test may kill."""
    found = Daemons()
    yield found
    found.kill()


class Puller:
    """One worker process that pulls, from the side of the tests."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[list[str]] = []

    async def say(self, *words: str) -> list[str]:
        """The first line from now on that begins with one of `words`; all of them are kept."""
        while True:
            line = (await trio.to_thread.run_sync(self.process.stdout.readline)).split()
            assert line, f"it said no more after {self.lines[-3:]}"
            self.lines.append(line)
            if line[0] in words:
                return line

    async def end(self) -> list[str]:
        with trio.fail_after(200):
            return await self.say("pulled", "aborted")

    def go(self) -> None:
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    @property
    def fetched(self) -> int:
        return sum(int(line[1]) for line in self.lines if line[0] == "fetched")


def start_puller(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 - ourselves
        [sys.executable, "-m", "tests.crash.puller", *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


class Pullers:
    """Worker processes that all want one blob."""

    def __init__(self, stack: ExitStack, root: Path, content: bytes, arguments) -> None:
        self._stack = stack
        self._root = root
        self._arguments = [str(each) for each in arguments]
        self.digest = Digest.of(content)
        self.all: list[Puller] = []

    async def start(self) -> str:
        """Start one more; says whether it fetches."""
        process = self._stack.enter_context(start_puller(self._root, *self._arguments))
        self._stack.callback(process.kill)
        self.all.append(Puller(process))
        return (await self.all[-1].say("begun"))[1]

    async def start_several(self, count: int) -> None:
        """The first one fetches."""
        begun = [await self.start() for _ in range(count)]
        assert begun == ["owner", *["follower"] * (count - 1)]
        for each in self.all:
            each.go()

    async def ends(self, pullers: list[Puller]) -> list[list[str]]:
        return [await each.end() for each in pullers]


@contextmanager
def pulling(root: Path, size: int, seed: object, known: int = 0, spoilt: int | None = None):
    """Worker processes for a block."""
    content = content_of(size, str(seed), known)
    with ExitStack() as stack:
        more = [] if spoilt is None else [spoilt]
        yield Pullers(stack, root, content, [size, seed, known, *more])


@contextmanager
def killed_after(daemons: Daemons):
    """A disk that is to be unmounted must not be in use."""
    try:
        yield
    finally:
        daemons.kill()
        gc.collect()  # our own map of its fence


async def drift_of(root: Path) -> list[str]:
    async with connect_store(root, root / DAEMON_SOCKET) as store:
        return await drift(store)


async def assert_whole(root: Path, digest: Digest) -> None:
    """It is there as it should be, and nothing else is left."""
    async with connect_store(root, root / DAEMON_SOCKET) as store:
        assert Digest.of(pull(store, digest)) == digest
        assert await drift(store) == []
    assert files(root / layout.UPLOADS) == []


async def begin(mortal, root: Path, known: int = 0) -> None:
    await trio.to_thread.run_sync(mortal.ask, "serve", root)
    async with connect_store(root, root / DAEMON_SOCKET) as store:
        await prepare(store)
        if known:
            await push(store, noise(known, "known"))


@pytest.mark.parametrize("seed", range(3))
async def test_when_who_fetches_is_killed_another_goes_on_with_what_is_there(
    mortal, tmp_path, seed
):
    size = 24 * MIB
    await begin(mortal, tmp_path)
    with pulling(tmp_path, size, seed) as pullers:
        await pullers.start_several(3)
        owner, *followers = pullers.all
        wanted = random.Random(seed).randrange(size // 4, size * 3 // 4)  # noqa: S311 - a test's
        while int((await owner.say("got"))[1]) < wanted:
            pass
        owner.process.kill()

        ends = await pullers.ends(followers)

        assert ends == [["pulled", str(pullers.digest)]] * 2
        fetched = [each.fetched for each in followers]
        assert min(fetched) == 0  # one of them went on
        assert 0 < max(fetched) <= size - wanted + MIB
    await assert_whole(tmp_path, pullers.digest)


async def test_when_one_after_the_other_is_killed_the_last_one_ends_it(mortal, tmp_path):
    size = 24 * MIB
    await begin(mortal, tmp_path)
    with pulling(tmp_path, size, "chain") as pullers:
        await pullers.start_several(4)
        for number in range(3):
            with trio.fail_after(100):
                while int((await pullers.all[number].say("got"))[1]) < (number + 1) * size // 5:
                    pass
            pullers.all[number].process.kill()

        assert await pullers.all[3].end() == ["pulled", str(pullers.digest)]
    await assert_whole(tmp_path, pullers.digest)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
async def test_when_the_daemon_is_killed_the_transfer_goes_on_with_the_next_one(
    mortal, tmp_path, share
):
    size = 24 * MIB
    await begin(mortal, tmp_path)
    with pulling(tmp_path, size, share) as pullers:
        await pullers.start_several(3)
        while int((await pullers.all[0].say("got"))[1]) < size * share - 1:
            pass
        mortal.kill()
        await trio.to_thread.run_sync(mortal.ask, "serve", tmp_path)

        ends = await pullers.ends(pullers.all)

    async with connect_store(tmp_path, tmp_path / DAEMON_SOCKET) as store:
        assert has(store, pullers.digest)
    for end in ends:  # killed right behind the commit, it is not there to tell of it
        assert end in (
            ["pulled", str(pullers.digest)],
            ["aborted", "UploadUnknown", str(size - 1)],
        )
    if share < 0.99:
        assert {end[0] for end in ends} == {"pulled"}
    await assert_whole(tmp_path, pullers.digest)


@pytest.mark.parametrize("known", [5 * MIB, 16 * MIB], ids=["adopted", "appended"])
async def test_followers_in_other_processes_read_no_hole_of_what_is_partly_known(
    mortal, tmp_path, known
):
    size = 32 * MIB
    await begin(mortal, tmp_path, known)
    with pulling(tmp_path, size, "half", known) as pullers:
        assert [await pullers.start() for _ in range(3)] == ["owner", "follower", "follower"]
        pullers.all[0].go()
        ends = [await pullers.all[0].end()]
        for slow in pullers.all[1:]:  # they have read nothing yet, and the commit is long over
            slow.go()
        ends += await pullers.ends(pullers.all[1:])

        assert ends == [["pulled", str(pullers.digest)]] * 3
    await assert_whole(tmp_path, pullers.digest)


async def test_of_wrong_bytes_nobody_gets_the_last_and_nothing_is_kept(mortal, tmp_path):
    size = 8 * MIB
    await begin(mortal, tmp_path)
    with pulling(tmp_path, size, "wrong", 0, size // 2) as pullers:
        await pullers.start_several(3)
        ends = await pullers.ends(pullers.all)

    assert ends[0][:2] in (["aborted", "DigestMismatch"], ["aborted", "UploadUnknown"])
    assert {(end[0], end[1]) for end in ends[1:]} == {("aborted", "UploadUnknown")}
    assert max(int(end[2]) for end in ends) == size - 1
    async with connect_store(tmp_path, tmp_path / DAEMON_SOCKET) as store:
        assert not has(store, pullers.digest)
        assert await drift(store) == []
    assert files(tmp_path / layout.UPLOADS) == []


async def test_on_a_full_disk_all_are_aborted_and_nothing_is_kept(mortal, tmp_path):
    size = 200 * MIB
    with small_disk(tmp_path / "disk", 120) as root, killed_after(mortal):
        await begin(mortal, root)
        with pulling(root, size, "full") as pullers:
            await pullers.start_several(3)
            ends = await pullers.ends(pullers.all)
        found = await drift_of(root)
        left = files(root / layout.UPLOADS)

    assert {(end[0], end[1]) for end in ends[1:]} == {("aborted", "UploadUnknown")}
    assert ends[0][0] == "aborted"
    assert (left, found) == ([], [])


async def test_what_nobody_goes_on_with_is_an_orphan_that_the_next_one_finds(mortal, tmp_path):
    size = 24 * MIB
    await begin(mortal, tmp_path)
    with pulling(tmp_path, size, "alone") as pullers:
        await pullers.start_several(1)
        while int((await pullers.all[0].say("got"))[1]) < size // 2:
            pass
        pullers.all[0].process.kill()
        pullers.all[0].process.wait()

        assert await pullers.start() == "owner"
        pullers.all[1].go()
        assert await pullers.all[1].end() == ["pulled", str(pullers.digest)]
        assert pullers.all[1].fetched <= size // 2
    await assert_whole(tmp_path, pullers.digest)
