"""Kill a real process while it pushes; whatever it acknowledged must be there afterwards."""

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cas.digest import Digest
from cas.errors import UploadUnknown
from cas.local import open_store
from tests.cas.pushing import OWNER, changes_for, drift, has, prepare, pull
from tests.crash.pusher import content_of

ROOT = Path(__file__).parents[2]
ROUNDS = 30

pytestmark = pytest.mark.slow


@pytest.fixture
def strace():
    """The program that injects faults; its absence is an error in CI."""
    path = shutil.which("strace")
    if path is None:
        assert os.environ.get("CI") != "true", "strace is missing"
        pytest.skip("needs the Debian package strace")
    return path


def start(directory: Path, way: str, seed: str, output: Path, tracer=()) -> subprocess.Popen:
    with output.open("wb") as file:
        return subprocess.Popen(  # noqa: S603 - ourselves
            [*tracer, sys.executable, "-m", "tests.crash.pusher", directory, way, seed],
            cwd=ROOT,
            stdout=file,
            stderr=subprocess.DEVNULL,
        )


class Said:
    """What the process acknowledged."""

    def __init__(self, output: Path) -> None:
        self.done: dict[str, int] = {}  # seed → size
        self.uploads: dict[str, tuple[str, int]] = {}  # session → seed, size
        for line in output.read_text().splitlines():
            match line.split():
                case ["done", size, seed]:
                    self.done[seed] = int(size)
                case ["upload", session, size, seed]:
                    self.uploads[session] = seed, int(size)

    async def assert_kept(self, directory: Path) -> None:
        """Everything acknowledged is there, uploads go on, and fsck is clean."""
        async with open_store(directory) as store:
            assert await drift(store) == []
            for seed, size in self.done.items():
                content = content_of(size, seed)
                assert pull(store, Digest.of(content)) == content
            await prepare(store)
            for session, (seed, held) in self.uploads.items():
                if seed not in self.done:
                    await assert_resumes(store, session, seed, held)
            assert await drift(store) == []


async def assert_resumes(store, session: str, seed: str, held: int) -> None:
    """An upload under way holds what was acknowledged, or its commit came through unanswered."""
    size = int(seed.rpartition("-")[2])
    content = content_of(size, seed)
    digest = Digest.of(content)
    try:
        upload, _ = await store.stage(OWNER, session=session)
    except UploadUnknown:
        assert pull(store, digest) == content
        return
    assert upload.size >= held
    await upload.append(upload.size, content[upload.size :])
    await store.commit(changes_for(upload, digest))
    assert has(store, digest)
    assert pull(store, digest) == content


@pytest.mark.timeout(120)
async def test_after_a_kill_at_any_moment_everything_acknowledged_is_whole(tmp_path):
    dice = random.Random(3)  # noqa: S311 - the same moments every time, as far as clocks allow
    acknowledged = 0
    for number in range(ROUNDS):
        # Rounds of three go on in the same directory: recovery of what a recovery left.
        directory = tmp_path / f"data-{number // 3}"
        output = tmp_path / f"said-{number}"
        process = start(directory, "storm", str(number), output)
        try:
            process.wait(timeout=0.25 + 0.5 * dice.random())
        except subprocess.TimeoutExpired:
            process.kill()
        assert process.wait() == -9

        said = Said(output)
        acknowledged += len(said.done)
        await said.assert_kept(directory)
    assert acknowledged > ROUNDS


CALLS = (
    "fdatasync",
    "fsync",
    "link,linkat",
    "unlink,unlinkat",
    "fchmod",
    "ftruncate",
    "copy_file_range",
    "pwrite64,pwritev2",
)
# Errors of our own calls are in tests/cas/test_broken.py; these reach LMDB's as well.
FAULTS = [
    *((calls, "signal=SIGKILL") for calls in CALLS),
    ("fdatasync", "error=EIO"),
    ("pwrite64,pwritev2", "error=EIO"),
    ("pwrite64,pwritev2", "error=ENOSPC"),
]


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("calls", "fault"), FAULTS)
async def test_after_a_fault_at_any_system_call_everything_acknowledged_is_whole(
    tmp_path, strace, calls, fault
):
    number = 0
    while True:
        # strace counts for each thread by itself, so one number may stand for several moments.
        # Most calls beyond the twelfth are writes of the same kind: every fourth will do.
        number += 1 if number < 12 else 4
        directory, output = tmp_path / f"data-{number}", tmp_path / f"said-{number}"
        log = tmp_path / f"trace-{number}"
        inject = f"inject={calls}:{fault}:when={number}"
        trace = (strace, "-f", "-qq", "-o", log, "-e", f"trace={calls}", "-e", inject)
        process = start(directory, "sequence", str(number), output, trace)
        code = process.wait()

        said = Said(output)
        await said.assert_kept(directory)
        if "INJECTED" not in log.read_text() and "killed by SIGKILL" not in log.read_text():
            assert code == 0
            assert len(said.done) == 5
            break
    assert number > 1
