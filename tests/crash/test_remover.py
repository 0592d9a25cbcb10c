"""Kill a process while it takes a deleted repository apart: the next one ends it."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from cas import layout
from cas.local import open_store
from index.changes import ImageName, Link, SetTag
from index.environment import open_environment
from index.repositories import iter_leaving
from tests.cas.collecting import push_manifest
from tests.cas.damaging import until
from tests.cas.pushing import IMAGE, REPOSITORY, drift, pull
from tests.cas.test_clearing import SHARED, fill

ROOT = Path(__file__).parents[2]
ROUNDS = 12

pytestmark = pytest.mark.slow


def remove_and_kill(root: Path, seconds: float) -> int:
    """How many tags are left when the process is killed."""
    process = subprocess.Popen(  # noqa: S603 - ourselves
        [sys.executable, "-m", "tests.crash.remover", root],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
    process.wait()
    with open_environment(root / layout.INDEX) as environment:
        left: int = environment.read(lambda view: view.entries("tag"))
    return left


@pytest.mark.timeout(180)
async def test_a_deletion_survives_kills_and_ends_with_others_blobs_served(tmp_path):
    dice = random.Random(5)  # noqa: S311 - the same moments every time, as far as clocks allow
    async with open_store(tmp_path) as store:
        _, shared = await fill(store, tags=2000)
        others = [await push_manifest(store, b"%d" % number, (shared,)) for number in range(50)]
        more = ImageName(REPOSITORY, "more")
        await store.commit([Link(more, digest.key) for digest in others])
        await store.commit([SetTag(more, "v1", others[0].key), SetTag(IMAGE, "v1", others[1].key)])

    left = [remove_and_kill(tmp_path, 0.4 + 0.2 * dice.random()) for _ in range(ROUNDS)]

    async with open_store(tmp_path) as store:
        assert await drift(store) == []
        await until(lambda: store.read(lambda v: next(iter_leaving(v), None)) is None)
        assert store.read(lambda v: v.entries("tag")) == 0
        assert store.read(lambda v: v.repository(REPOSITORY)) is None
        assert pull(store, shared) == SHARED
        assert await drift(store) == []
    assert any(0 < tags < 2000 for tags in left), left
