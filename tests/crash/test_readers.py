"""Three processes pull while packs are unlinked and rewritten below them: no wrong byte.

ORLOP_READERS_SECONDS sets how long (10; `make soak` gives it 60).
"""

import json
import os
import random
import sys
from pathlib import Path

import pytest
import trio

from cas import appender, placing
from cas.local import open_store
from cas.maintenance import reclaim
from index.changes import Unlink
from tests.cas.collecting import AT_ONCE, collect, push_idle, push_manifest
from tests.cas.pushing import IMAGE, drift, noise, prepare

ROOT = Path(__file__).parents[2]
SECONDS = float(os.environ.get("ORLOP_READERS_SECONDS", "10"))
READERS = 3
ROUNDS = 4  # at most, until a wrong read was seen
KIB = 1 << 10

pytestmark = [pytest.mark.slow, pytest.mark.timeout(ROUNDS * SECONDS + 120)]


@pytest.fixture
def small_packs(monkeypatch):
    """Packs are sealed and adopted at sizes that are soon reached."""
    monkeypatch.setattr(appender, "SEAL_SIZE", 1024 * KIB)
    monkeypatch.setattr(placing, "ADOPT_BYTES", 700 * KIB)
    monkeypatch.setattr(reclaim, "LEAST_BYTES", 16 * KIB)


class Churn:
    """Images come and go, and share parts; everything dead is collected at once."""

    def __init__(self, store) -> None:
        self._store = store
        self._dice = random.Random(7)  # noqa: S311 - a test's
        self._held = []
        self.packs = 0

    async def run(self) -> None:
        for number in range(1 << 30):
            shared = noise(100 * KIB, self._dice.randrange(6))
            own = noise(self._dice.choice((60, 150, 800)) * KIB, number)
            layer = await push_idle(self._store, shared + own)
            self._held.append(
                await push_manifest(self._store, b"m%d" % number, (layer,), (f"t{number}",))
            )
            if len(self._held) > 6:
                gone = self._held.pop(self._dice.randrange(len(self._held)))
                await self._store.commit([Unlink(IMAGE, gone.key)])
            if number % 2:
                self.packs += (await collect(self._store)).packs


async def test_readers_never_see_a_wrong_byte(small_packs, tmp_path):
    seen, packs = await read_while_collecting(tmp_path, "two")

    assert [each["first"] for each in seen] == [[]] * READERS
    assert all(each["reads"] > 5 * SECONDS for each in seen)
    assert packs > 2 * SECONDS  # unlinked and rewritten
    assert all(each["again"] <= 3 for each in seen)


async def test_without_the_second_look_they_do(small_packs, tmp_path):
    """The test above sees what it is there for: some wrong reads in 1,000."""
    wrong = 0
    for number in range(ROUNDS):
        seen, _ = await read_while_collecting(tmp_path / str(number), "one")
        wrong += sum(each["wrong"] for each in seen)
        if wrong:
            break

    assert wrong > 0


async def read_while_collecting(root: Path, looks: str):
    async with open_store(root, AT_ONCE) as store:
        await prepare(store)
        churn = Churn(store)
        seen = []

        async def read(seed: int) -> None:
            command = [sys.executable, "-m", "tests.crash.reader"]
            command += [str(root), str(SECONDS), str(seed), looks]
            done = await trio.run_process(command, capture_stdout=True, cwd=ROOT)
            seen.append(json.loads(done.stdout))

        with trio.fail_after(SECONDS + 90):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(churn.run)
                async with trio.open_nursery() as readers:
                    for seed in range(READERS):
                        readers.start_soon(read, seed)
                nursery.cancel_scope.cancel()
        assert await drift(store) == []
    sys.stdout.write(f"{looks} looks: {seen}, {churn.packs} packs unlinked or rewritten\n")
    return seen, churn.packs
