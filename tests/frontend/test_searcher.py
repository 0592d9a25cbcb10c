"""Searches in threads: bounded in number and time, cancelled, on a snapshot, on both stores."""

import threading
from contextlib import suppress
from functools import partial

import pytest
import trio

from cas.errors import StoreFailed
from cas.local import open_store
from frontend.access.standing import iter_visible
from frontend.domain.faults import TooManyRequests
from frontend.domain.search import parse_query
from frontend.domain.search_faults import SearchAbandoned, SearchTooBroad
from frontend.search import searcher as searching
from frontend.search.pace import Pace
from frontend.search.searcher import AT_ONCE, MAX_WAITING, Searcher, Wanted, find
from index.errors import IndexFailed
from tests.conformance.conftest import STORES
from tests.frontend.searching import ADMIN, package, repositories, row, rows, search, wanted

APP = "local/images/app"


@pytest.fixture(params=STORES)
async def store(request, daemons, tmp_path):
    """Both implementations, with one image."""
    async with request.param(daemons, tmp_path) as opened:
        await opened.commit([*repositories("local/images"), *package(APP, "v1")])
        yield opened


class Held:
    """Searches that wait in their threads until they are let go."""

    def __init__(self):
        self.begun = threading.Semaphore(0)
        self.let_go = threading.Event()

    def visible(self, view):
        self.begun.release()
        self.let_go.wait()
        return iter_visible(view, ADMIN)

    def wanted(self, query="app"):
        return Wanted(parse_query(query), self.visible, is_all=True, start=0, size=10)

    async def wait_begun(self):
        await trio.to_thread.run_sync(self.begun.acquire)


def endless(begun=None):
    """A search that ends only when it is told to."""

    def visible(_):
        if begun is not None:
            begun.set()
        while True:
            Pace(trio.from_thread.check_cancelled).rest()

    return Wanted(parse_query("app"), visible, is_all=True, start=0, size=10)


async def test_a_thread_searches_on_either_store(store):
    searcher = Searcher(store)

    found = await searcher.search(wanted("app"))

    assert [row(item) for item in found.items] == rows("image", APP)


async def test_a_search_sees_one_snapshot_and_lets_others_write(store):
    def visible(view):
        trio.from_thread.run(store.commit, package(APP, "v2"))
        return iter_visible(view, ADMIN)

    asked = Wanted(parse_query("tag:v"), visible, is_all=True, start=0, size=10)

    found = await Searcher(store).search(asked)
    later = await Searcher(store).search(wanted("tag:v"))

    assert [row(item) for item in found.items] == rows("tag", f"{APP}:v1")
    assert [row(item) for item in later.items] == rows("tag", f"{APP}:v1", f"{APP}:v2")


async def test_two_search_at_once_and_few_wait(store):
    searcher, held, outcomes = Searcher(store), Held(), []

    async def search():
        try:
            outcomes.append((await searcher.search(held.wanted())).total)
        except TooManyRequests as error:
            outcomes.append(error.retry_after)

    async with trio.open_nursery() as nursery:
        for _ in range(AT_ONCE):
            nursery.start_soon(search)
        for _ in range(AT_ONCE):
            await held.wait_begun()
        for _ in range(MAX_WAITING + 3):
            nursery.start_soon(search)
        while len(outcomes) < 3:
            await trio.lowlevel.checkpoint()
        assert not held.begun.acquire(blocking=False), "no third one has begun"
        refused = list(outcomes)
        held.let_go.set()

    assert refused == [1, 1, 1]
    assert outcomes[3:] == [1] * (AT_ONCE + MAX_WAITING)


async def test_who_leaves_stops_his_search_and_frees_its_place(store):
    searcher, begun = Searcher(store), threading.Event()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(searcher.search, endless(begun))
        await trio.to_thread.run_sync(begun.wait)
        nursery.cancel_scope.cancel()

    assert (await searcher.search(wanted("app"))).total == 1


async def test_a_search_that_nobody_waits_for_ends(store):
    async def gone():
        await trio.lowlevel.checkpoint()

    with pytest.raises(SearchAbandoned):
        await Searcher(store).search(endless(), gone)


async def test_a_search_has_an_end(store, monkeypatch):
    clock = iter(range(1_000_000))
    slow = partial(Pace, clock=lambda: next(clock))
    monkeypatch.setattr(searching, "Pace", slow)

    with pytest.raises(SearchTooBroad) as caught:
        await Searcher(store).search(wanted("app"))

    assert "narrow it" in str(caught.value)


async def test_a_search_rests_again_and_again(store):
    await store.commit([e for n in range(300) for e in package(f"{APP}{n}", "v", text=f"{n}")])
    rests = []

    def count(view):
        clock = iter(range(1_000_000))  # each look at it is a slice later
        pace = Pace(lambda: rests.append(1), budget=1e9, clock=lambda: next(clock))
        return find(view, wanted("app type:image"), pace)

    store.read(count)

    assert len(rests) > 300


async def test_an_index_that_fails_under_a_search_ends_the_store(tmp_path):
    def fail(_):
        raise IndexFailed("the disk is gone")

    asked = Wanted(parse_query("app"), fail, is_all=True, start=0, size=10)

    async def fail_in_a_search():
        async with open_store(tmp_path) as store:
            with suppress(StoreFailed):
                await Searcher(store).search(asked)
            await trio.sleep_forever()  # until the store is ended

    with pytest.raises(StoreFailed, match="the disk is gone"):
        await fail_in_a_search()


async def test_what_comes_late_in_a_large_repository_is_found_too(store):
    kinds = {f"{number:03}": f"application/x-{number}" for number in range(600)}
    pushed = [package(f"local/images/many/{at}", text=at, artifact_type=kinds[at]) for at in kinds]
    await store.commit([change for each in pushed for change in each])

    for at in ("000", "510", "511", "512", "599"):
        (found,) = search(store, f"type:{kinds[at]}")
        assert found[1] == f"local/images/many/{at}", found
        (found,) = search(store, f"image:many/{at}")
        assert found[1] == f"local/images/many/{at}"
