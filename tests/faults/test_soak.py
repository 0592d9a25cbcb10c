"""Clients push, pull, retag, delete, mount and collect at random while processes are killed; then
everything acknowledged is there, nothing else is, and each tag's history makes sense.

On a sound disk nothing that is live is ever unknown. On one that goes bad, what it has changed is,
until a client pushes it again; and nobody gets a wrong byte in a whole answer.

Some seconds in `make test`; ORLOP_SOAK_SECONDS of it in `make soak`. ORLOP_FAULT_SEED chooses other
dice; threads and kills still make every run another one.
"""

import os
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial

import pytest

from cas import layout
from cas.digest import Digest
from cas.local import StoreSettings, open_store
from tests.cas import damaging
from tests.cas.pushing import drift, pull
from tests.faults import collecting
from tests.faults.bad_disk import flip_one
from tests.faults.clients import LEASE, Client
from tests.faults.known import IMAGES, LATE, LAYERS, TAGS, TYPE, Known
from tests.faults.mortal import Away, Connection, Mortal
from tests.faults.register import Got, contradiction
from tests.workers.servers import digest_of

RUNS = [("sound", 1), ("sound", 2), ("bad", 2)]  # disk, workers
if "ORLOP_SOAK_SECONDS" in os.environ:
    RUNS.append(("bad", 1))
SECONDS = float(os.environ.get("ORLOP_SOAK_SECONDS", "18")) / len(RUNS)
SEED = os.environ.get("ORLOP_FAULT_SEED", "1")
CLIENTS = 6
ENDED = StoreSettings(grace_seconds=0, lease_seconds=0, upload_expiry_seconds=0)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300 + 4 * SECONDS)]


@pytest.mark.parametrize(("disk", "workers"), RUNS)
async def test_whatever_is_killed_no_live_byte_is_lost_and_all_garbage_goes(
    tmp_path, disk, workers
):
    known = Known(is_disk_bad=disk == "bad")
    server = Mortal(
        tmp_path,
        workers,
        log__level="warning",
        log__format="json",
        gc__grace_seconds=0,
        gc__lease_seconds=LEASE,
        gc__interval_seconds=1,
    )
    with telling(server):
        server.start()
        live_through(server, known)
        if known.is_disk_bad:
            mend_all(server, known)
        settle(server, known)
        server.stop()
        await assert_sound(server, {each.digest: each.content for each in known.live()}, known)

        server.start()
        delete_all(server, known)
        server.stop()
        await assert_sound(server, {}, known)

    print(f"{disk}, {workers} workers, {server.kills} kills: {known.counts}")  # noqa: T201 - for who asks, with -s
    for place, history in known.histories.items():
        assert contradiction(history) == [], place
    assert failures(server) == []
    assert ("damaged: " in "".join(server.log)) == known.is_disk_bad
    assert (known.counts.get("mended", 0) > 0) == known.is_disk_bad
    assert known.counts["push"] > SECONDS
    assert known.counts["delete"] > 0


@contextmanager
def telling(server: Mortal) -> Iterator[None]:
    """Leave no process; if the block fails, say what the servers said last."""
    try:
        yield
    except BaseException:
        server.close()
        said = [line for log in server.log for line in log.splitlines()]
        print(*failures(server), *said[-40:], sep="\n")  # noqa: T201 - beside the failure
        raise
    finally:
        server.close()


def failures(server: Mortal) -> list[str]:
    """What was logged with an exception."""
    return [line for log in server.log for line in log.splitlines() if '"exception"' in line]


def live_through(server: Mortal, known: Known) -> None:
    """Clients, a collector and a killer, for SECONDS; the first failure of any ends all."""
    failed = threading.Event()
    end = time.monotonic() + SECONDS

    def is_over() -> bool:
        return failed.is_set() or time.monotonic() > end

    def guarded(work) -> None:
        try:
            work(is_over)
        except BaseException:
            failed.set()
            raise

    clients = [Client(server, known, f"client {n}", SEED) for n in range(CLIENTS)]
    others = [lambda over: keep_collecting(server, known, over), lambda over: kill(server, over)]
    if known.is_disk_bad:
        others += [lambda over: spoil(server, known, over), lambda over: scrub(server, known, over)]
    with ThreadPoolExecutor(CLIENTS + len(others)) as pool:
        works = [pool.submit(guarded, each) for each in [*[c.run for c in clients], *others]]
    for work in works:
        work.result()


def kill(server: Mortal, is_over) -> None:
    dice = random.Random(f"{SEED} killer")  # noqa: S311 - a test's
    while not is_over():
        time.sleep(dice.uniform(0.5, 4.0))
        if not is_over():
            server.kill_something(dice)


def spoil(server: Mortal, known: Known, is_over) -> None:
    dice = random.Random(f"{SEED} disk")  # noqa: S311 - a test's
    while not is_over():
        time.sleep(dice.uniform(0.1, 0.5))
        if flip_one(server.data, dice):
            known.count("flipped bits")


def scrub(server: Mortal, known: Known, is_over) -> None:
    """Scrub again and again: most of what is damaged, readers meet first."""
    with closing(Connection(server)) as wire:
        while not is_over():
            time.sleep(1)
            try:
                status, _, body = wire.ask("POST", "/api/v1/scrub")
                assert status == 200, (status, body)
                known.count("scrubs")
            except Away:
                known.count("lost scrubs")


def keep_collecting(server: Mortal, known: Known, is_over) -> None:
    """Collect and check, again and again, while all goes on."""
    with closing(Connection(server)) as wire:
        while not is_over():
            time.sleep(0.3)
            try:
                status, _, body = wire.ask("POST", "/api/v1/gc")
                assert status == 200, (status, body)
                known.count("collections")
                status, _, body = wire.ask("POST", "/api/v1/fsck")
                assert (status, b'"drift":[]' in body) == (200, True), body
            except Away:
                known.count("lost collections")


def settle(server: Mortal, known: Known) -> None:
    """Read every tag once more: what was lost has happened by now, or never will."""
    time.sleep(LATE)
    wire = Connection(server)
    for image in IMAGES:
        for tag in TAGS:
            begin = time.monotonic()
            path = f"/v2/{image}/manifests/{tag}"
            status, _, body = wire.ask_until_answered("GET", path, Accept=TYPE)
            assert status in (200, 404)
            known.note((image, tag), begin, Got(digest_of(body) if status == 200 else None))
    for manifest in known.live():
        path = f"/v2/{manifest.image}/manifests/{manifest.digest}"
        status, _, body = wire.ask_until_answered("GET", path, Accept=TYPE)
        assert (status, body) == (200, manifest.content)
    wire.close()


def mend_all(server: Mortal, known: Known) -> None:
    """The disk is sound from now on: scrub, and push what is damaged of what somebody may need."""
    with closing(Connection(server)) as wire, closing(Client(server, known, "", SEED)) as client:
        status, _, body = wire.ask_until_answered("POST", "/api/v1/scrub")
        assert status == 200, (status, body)
        for manifest in [each for each in known.manifests if not each.is_gone]:
            for layer in manifest.layers:
                client.insist(partial(client.pull_layer, manifest, layer))


def delete_all(server: Mortal, known: Known) -> None:
    """Also what may have come to be though nobody was told."""
    wire = Connection(server)
    for manifest in known.manifests:
        if not manifest.is_gone:
            path = f"/v2/{manifest.image}/manifests/{manifest.digest}"
            status, _, body = wire.ask_until_answered("DELETE", path)
            assert status == 202 or not manifest.is_there or manifest.is_going, (status, body)
    wire.close()


async def assert_sound(server: Mortal, manifests: dict[str, bytes], known: Known) -> None:
    """After a last collection every byte of these is there, and no garbage.

    Without manifests there is nothing at all.
    """
    async with open_store(server.data, ENDED) as store:
        store.now = lambda: time.time() + LEASE  # the last leases have run out
        await collecting.collect(store)
        assert await drift(store) == []
        assert collecting.find_garbage(store, server.data) == []
        found = await damaging.scrub(store)
        assert (found.found, found.standing, found.damaged) == (0, 0, ())
        for digest, content in manifests.items():
            assert pull(store, Digest.parse(digest)) == content
        for layer in {layer for each in known.live() for layer in each.layers if manifests}:
            assert pull(store, Digest.parse(layer)) == LAYERS[layer]
        if not manifests:
            assert store.read(lambda view: list(view.scan("object"))) == []
            packs = (server.data / layout.PACKS).iterdir()
            assert sum(path.stat().st_size for path in packs) == 0
        assert list((server.data / layout.UPLOADS).iterdir()) == []
