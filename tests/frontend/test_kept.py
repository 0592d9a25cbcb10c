"""Counts of what is stored are kept where to count takes long."""

import pytest
import trio

from cas.stats import Stats
from frontend.management.kept import Kept


class Store:
    """Counts in a second, and how often."""

    def __init__(self, objects):
        self.objects = objects
        self.times = 0

    async def count(self):
        self.times += 1
        await trio.sleep(1)
        return Stats(self.times, 0, 0, self.objects, 0, 0, 0, 0, ())


async def test_a_small_store_is_counted_whenever_somebody_asks(autojump_clock):
    store = Store(49_999)
    kept = Kept(store.count)

    found = [(await kept.find()).logical for _ in range(3)]

    assert found == [1, 2, 3]


@pytest.mark.parametrize(("objects", "seconds"), [(50_000, 1), (1_000_000, 20), (10**9, 60)])
async def test_a_large_one_is_counted_the_less_the_larger_it_is(autojump_clock, objects, seconds):
    store = Store(objects)
    kept = Kept(store.count)

    first = await kept.find()
    await trio.sleep(seconds - 0.1)
    still = await kept.find()
    await trio.sleep(0.1)
    after = await kept.find()

    assert (first.logical, still.logical, after.logical) == (1, 1, 2)


async def test_who_asks_while_one_counts_gets_the_same(autojump_clock):
    store = Store(100_000)
    kept = Kept(store.count)

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(kept.find)

    assert store.times == 1


async def test_who_leaves_while_he_counts_leaves_the_count_to_the_next(autojump_clock):
    store = Store(100_000)
    kept = Kept(store.count)

    with trio.move_on_after(0.5):
        await kept.find()

    assert (await kept.find()).logical == 2
