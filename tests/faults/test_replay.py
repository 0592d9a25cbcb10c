"""What a power cut may leave, at hundreds of moments of a recorded script: each state recovers, and
everything that was acknowledged by then is there.

What an upload's 202 promised is not asked for: it survives a crash of the process only. `make soak`
builds more states; ORLOP_FAULT_SEED chooses others.
"""

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath
from traceback import format_exception

import pytest

from tests.faults.calls import OPTIONS, read_calls
from tests.faults.checking import Said, assert_recovers
from tests.faults.injecting import PATIENCE, ROOT, find_strace
from tests.faults.recording import Replay

STATES = 2000 if "ORLOP_SOAK_SECONDS" in os.environ else 100
SCRIPT = (sys.executable, "-m", "tests.faults.script")
SEED = os.environ.get("ORLOP_FAULT_SEED", "1")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """The folder that the script ran in, and the calls that it made."""
    folder = tmp_path_factory.mktemp("recorded")
    log = folder / "trace"
    subprocess.run(  # noqa: S603 - ourselves
        [find_strace(), *OPTIONS, "-o", log, *SCRIPT, folder / "data"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=PATIENCE,
    )
    calls = read_calls(log)
    log.unlink()
    return folder, calls


def test_the_record_tells_of_every_byte(recorded):
    folder, calls = recorded
    replay = Replay(folder, calls)
    for _ in replay:
        pass

    files = [each for each in (folder / "data").rglob("*") if each.is_file()]
    known = replay.disk.names
    for path in files:
        if path.name not in ("lock.mdb", "packs.fence"):
            assert known[PurePosixPath(path)].content == path.read_bytes(), path
    assert {PurePosixPath(path) for path in files} == {p for p, f in known.items() if f is not None}
    assert Said.parse(replay.said).is_complete


@pytest.mark.timeout(7200)
async def test_every_state_that_a_power_cut_may_leave_recovers(recorded, tmp_path):
    folder, calls = recorded
    replay = Replay(folder, calls)
    dice = random.Random(f"moments {SEED}")  # noqa: S311 - seeded
    moments = sorted(dice.choices(range(len(replay)), k=STATES))
    failures = []
    for moment in replay:
        while moments and moments[0] == moment:
            name = f"{SEED}-{moment}-{len(moments)}"
            moments.pop(0)
            try:
                await crash_and_recover(replay, tmp_path / "state", name)
            except Exception as error:  # noqa: BLE001 - all of them are told of
                failures.append(f"state {name}: {''.join(format_exception(error))}\n{replay.said}")

    assert failures == [], f"{len(failures)} of {STATES} states\n" + "\n\n".join(failures)


async def crash_and_recover(replay: Replay, state: Path, name: str) -> None:
    shutil.rmtree(state, ignore_errors=True)
    replay.disk.crash(state, random.Random(name))  # noqa: S311 - seeded
    await assert_recovers(state / "data", Said.parse(replay.said))
