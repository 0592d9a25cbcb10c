"""A fault at any system call of a script: nothing acknowledged is lost, nothing is acknowledged
that is not so, and the next start finds a whole store.

The short form takes some of each kind of fault; `make soak` takes every call (15 minutes).
"""

import os
import random
import shutil
from itertools import groupby
from pathlib import Path
from traceback import format_exception

import pytest

from cas.local import open_store
from tests.cas.pushing import prepare
from tests.faults.checking import Said, assert_recovers
from tests.faults.injecting import Fault, count_calls, inject, iter_faults, run
from tests.faults.script import AT_ONCE, STOPPED
from tests.faults.steps import KIB, STATES, STEPS

OF_EACH = 1  # faults of one kind at one place, in the short form
CLEAN = {0, STOPPED}

pytestmark = pytest.mark.slow


@pytest.fixture
async def directory(tmp_path):
    """A data directory that was used: the start's own calls come first in one that is new."""
    async with open_store(tmp_path / "template", AT_ONCE) as store:
        await prepare(store)
    return fresh(tmp_path)


def fresh(folder: Path) -> Path:
    """The same data directory again, under the same name."""
    directory = folder / "data"
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(folder / "template", directory)
    return directory


def chosen(faults: list[Fault]) -> list[Fault]:
    """All of them, or by chance some of each kind at each place."""
    if "ORLOP_SOAK_SECONDS" in os.environ:
        return faults
    dice = random.Random(7)  # noqa: S311 - the same ones every time
    kinds = groupby(faults, lambda each: (each.place, each.call, each.effect))
    return [each for _, kind in kinds for each in dice.sample(list(kind), OF_EACH)]


@pytest.mark.timeout(7200)
async def test_after_a_fault_at_any_call_everything_acknowledged_is_whole(tmp_path, directory):
    counts, places = count_calls(directory, tmp_path / "trace")
    print(f"calls of a clean run: {dict(sorted(counts.items()))}")  # noqa: T201 - for who asks, with -s

    failures = []
    for fault in chosen(list(iter_faults(counts))):
        outcome = inject(fresh(tmp_path), fault, places, tmp_path / "trace")
        try:
            await check(directory, outcome, is_killed="SIGKILL" in fault.effect)
        except Exception as error:  # noqa: BLE001 - all of them are told of, with their faults
            said, errors = outcome[1:]
            failures.append(f"{fault}: {''.join(format_exception(error))}\n{said}{errors}")
    assert failures == [], "\n\n".join(failures)


async def check(directory: Path, outcome: tuple[int, str, str], *, is_killed: bool = False) -> None:
    """The process ended in order, and its directory recovers."""
    code, text, errors = outcome
    said = Said.parse(text)

    assert code in CLEAN or is_killed
    assert "Traceback" not in errors
    if code == 0:
        assert said.is_complete
    await assert_recovers(directory, said)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("most", [64, 200, 256, 400, 700, 900, 1100, 1190])
async def test_writes_that_are_cut_short_lose_nothing_that_was_acknowledged(
    tmp_path, directory, most
):
    outcome = run(directory, most=most * KIB + 100)

    assert "refused" in outcome[1] or outcome[0] == STOPPED
    await check(directory, outcome)


async def test_the_script_does_what_it_says(tmp_path, directory):
    code, text, errors = run(directory)
    said = Said.parse(text)

    assert code == 0
    assert [line.split(":")[0] for line in errors.splitlines()] == ["damaged"]
    assert said.is_complete
    assert said.refused == ()
    assert said.state == STATES[len(STEPS)]
    await assert_recovers(directory, said)
