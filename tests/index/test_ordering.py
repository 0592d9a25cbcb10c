"""`index.ordering`: sorted blocks in a table, and their pages by rank."""

import pytest
from hypothesis import given, settings, strategies as st

from index import blocks, names, ordering
from index.names import Order
from tests.index.tables import write

START = names.prefix(1, Order.NAME)
NEIGHBOUR = names.prefix(1, Order.PUSHED)
PATHS = st.sampled_from(["a", "a-b", "a/b", "b", "c/d"])
ENTRIES = st.builds(
    lambda path, number: names.name_entry(path, b"v%d" % number), PATHS, st.integers(0, 60)
)
BATCHES = st.lists(st.dictionaries(ENTRIES, st.booleans(), min_size=1, max_size=12), max_size=30)


@pytest.fixture
def small(monkeypatch):
    """Blocks of so few bytes that a test has many."""
    monkeypatch.setattr(blocks, "MAX_BLOCK", 100)
    monkeypatch.setattr(blocks, "FEW", 25)
    monkeypatch.setattr(blocks, "ROOM", 75)


class Edited:
    """One order under test, in a transaction that is never committed."""

    def __init__(self, environment):
        self._raw = environment.begin()
        self.view = environment.transaction(self._raw)
        self.view.put(names.TABLE, names.block_key(NEIGHBOUR, b"n\0x", 1), b"an\nx")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._raw.abort()

    def edit(self, changes):
        ordering.edit(self.view, START, changes)

    def rows(self):
        return list(self.view.scan(names.TABLE, START))

    def entries(self):
        return [entry for _, block in self.rows() for entry in blocks.iter_entries(block)]


@settings(max_examples=150, deadline=None)
@given(batches=BATCHES)
def check_edits(environment, batches):
    model = set()
    with Edited(environment) as order:
        for changes in batches:
            order.edit(changes)
            model |= {entry for entry, is_there in changes.items() if is_there}
            model -= {entry for entry, is_there in changes.items() if not is_there}

            rows = order.rows()
            assert order.entries() == sorted(model)
            for key, block in rows:
                found = list(blocks.iter_entries(block))
                assert key == names.block_key(START, found[0], len(found))
                assert len(block) <= blocks.MAX_BLOCK
            assert order.view.get(names.TABLE, names.block_key(NEIGHBOUR, b"n\0x", 1))


def test_any_changes_leave_sorted_blocks_that_are_not_too_big(environment, small):
    check_edits(environment)


@settings(max_examples=100, deadline=None)
@given(
    entries=st.sets(ENTRIES, max_size=60), bounds=st.tuples(PATHS, st.booleans()), data=st.data()
)
def check_pages(environment, entries, bounds, data):
    path, is_bound = bounds
    first, last = (path.encode() + b"\0", path.encode() + b"\1") if is_bound else (b"", None)
    expected = [e for e in sorted(entries) if e >= first and (last is None or e < last)]
    begin, end = sorted(data.draw(st.tuples(st.integers(0, 70), st.integers(0, 70))))
    with Edited(environment) as order:
        order.edit(dict.fromkeys(entries, True))

        run = ordering.measure(order.view, START, first, last)

        assert run.total == len(expected)
        assert ordering.page(order.view, run, begin, end) == expected[begin:end]


def test_a_page_is_what_a_sorted_list_has_between_two_ranks(environment, small):
    check_pages(environment)


def many(number):
    return [names.name_entry(f"app-{each % 50:02}", b"v%06d" % each) for each in range(number)]


@pytest.fixture
def hundred_thousand(environment):
    write(environment, lambda t: ordering.fill(t, START, sorted(many(100_000))))
    return environment


@pytest.mark.slow
@pytest.mark.parametrize("begin", [0, 50_000, 99_900])
def test_a_page_of_a_hundred_thousand_costs_a_step_a_block_and_reads_few(hundred_thousand, begin):
    def look(view):
        count = len(list(view.scan(names.TABLE, START)))
        view.steps = 0
        run = ordering.measure(view, START)
        found = ordering.page(view, run, begin, begin + 100)
        return view.steps - count, len(found), found == sorted(many(100_000))[begin : begin + 100]

    assert hundred_thousand.read(look) == (1, 100, True)


@pytest.mark.slow
def test_a_page_of_one_image_costs_that_images_blocks(hundred_thousand):
    def look(view):
        run = ordering.measure(view, START, b"app-20\0", b"app-20\1")
        return run.total, view.steps - len(run.keys), len(run.keys) < 8

    assert hundred_thousand.read(look) == (2000, 2, True)


@pytest.mark.slow
def test_one_entry_more_or_less_rewrites_one_block_or_two(hundred_thousand):
    def written(changes):
        before = dict(hundred_thousand.read(lambda v: list(v.scan(names.TABLE))))
        write(hundred_thousand, lambda t: ordering.edit(t, START, changes))
        after = dict(hundred_thousand.read(lambda v: list(v.scan(names.TABLE))))
        return len(after.items() - before.items())

    counts = []
    for number in range(0, 2000, 20):
        counts.append(written({names.name_entry("app-07", b"w%06d" % number): True}))
        counts.append(written({names.name_entry("app-07", b"v%06d" % number): False}))

    assert max(counts) <= 2
    assert sum(counts) <= len(counts) + 4  # of which few were split


def test_entries_that_come_in_order_fill_their_blocks(environment):
    with Edited(environment) as order:
        for entry in sorted(many(3000)):
            order.edit({entry: True})

        sizes = [len(block) for _, block in order.rows()]

    assert min(sizes[:-1]) > blocks.MAX_BLOCK - 20


def test_blocks_that_lose_their_entries_become_few(environment):
    with Edited(environment) as order:
        order.edit(dict.fromkeys(many(3000), True))
        before = len(order.rows())
        for number, entry in enumerate(many(3000)):
            if number % 20:
                order.edit({entry: False})
        few = len(order.rows())
        order.edit(dict.fromkeys(many(3000), False))

        assert before > 4
        assert few <= 2
        assert order.rows() == []
