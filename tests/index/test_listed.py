"""`index.listed`: what one operation writes of the orders, and what stands in them."""

from collections import Counter

import pytest

from index import names, ordering
from index.apply import apply
from index.changes import DropPackage, EdgeKind, SetTag, Unlink
from index.listed import MOST, Figures, entry_of, image_number, split_value_entry, value_of
from index.names import Order
from index.packages import Selection, list_packages
from tests.index.tables import (
    CLOCK,
    IMAGE,
    OTHER,
    PLACES,
    Counting,
    commit,
    digest_of,
    manifest,
    put,
    write,
)

I = bytes.fromhex("0000000100000102")  # noqa: E741 - the design's word


class Rows(Counting):
    """Counts the rows of orders that are written and deleted."""

    __slots__ = ("puts",)

    def __init__(self, transaction):
        super().__init__(transaction)
        self.puts = []

    def put(self, table, key, value=b""):
        super().put(table, key, value)
        if table == names.TABLE:
            self.puts.append(Order(key[4]))


def written(environment, *changes):
    """Orders of which blocks were written by one operation."""

    def run(transaction):
        counting = Rows(transaction)
        apply(counting, changes, (), CLOCK)
        return [order.name for order in counting.puts]

    return write(environment, run)


@pytest.fixture
def filled(environment):
    """Some hundred tags in each of two images, so that an order has several blocks."""
    commit(environment, [*PLACES, *put(1), *put(1, OTHER), manifest(1), manifest(1, image=OTHER)])
    for image in (IMAGE, OTHER):
        commit(environment, [SetTag(image, f"v{n:04}", digest_of(1)) for n in range(600)])
    return environment


def test_a_push_of_one_tag_writes_one_block_of_each_order_and_two_if_that_is_full(filled):
    commit(filled, [*put(2), manifest(2)])

    pushes = [
        Counter(written(filled, SetTag(IMAGE, f"v{number:04}.1", digest_of(2))))
        for number in range(0, 600, 6)
    ]

    assert {frozenset(push) for push in pushes} == {frozenset(order.name for order in Order)}
    assert all(count <= 2 for push in pushes for count in push.values())
    assert sum(map(Counter.total, pushes)) <= 3 * len(pushes) + 20


def test_a_tag_that_moves_writes_a_block_or_two_of_each_order(filled):
    commit(filled, [*put(2), manifest(2), SetTag(IMAGE, "latest", digest_of(2))])

    moved = written(filled, *put(3), manifest(3), SetTag(IMAGE, "latest", digest_of(3)))

    # What the tag named before is a package of its own now.
    assert moved.count("NAME") == 1
    assert moved.count("PUSHED") <= 2
    assert moved.count("SIZE") <= 2


def test_many_tags_of_one_push_write_their_blocks_once(filled):
    tags = [SetTag(IMAGE, f"v0300.{number}", digest_of(2)) for number in range(50)]

    assert len(written(filled, *put(2), manifest(2), *tags)) <= 6


def test_what_does_not_change_a_package_writes_no_order(filled):
    commit(filled, [*put(2), manifest(2, pushed_at=5)])

    assert written(filled, *put(2), manifest(2, pushed_at=9)) == []  # the first push's time
    assert written(filled, *put(3)) == []  # a blob
    assert written(filled, SetTag(IMAGE, "v0001", digest_of(1))) == []  # in the same second


def test_a_deleted_package_writes_a_block_of_each_order(filled):
    commit(filled, [*put(2), manifest(2), SetTag(IMAGE, "v0300.1", digest_of(2))])

    assert written(filled, DropPackage(IMAGE, "v0300.1")) == ["NAME", "PUSHED", "SIZE"]


def test_an_index_has_the_totals_of_the_manifests_that_are_there_with_it(environment):
    commit(environment, [*PLACES, *(row for number in range(1, 5) for row in put(number))])
    commit(environment, [manifest(2, total=700), manifest(3)])
    edges = [(2, EdgeKind.CHILD), (3, EdgeKind.CHILD), (4, EdgeKind.CHILD), (9, EdgeKind.CHILD)]

    commit(environment, [manifest(1, edges, total=50)])
    before = _size(environment, 1)
    commit(environment, [Unlink(IMAGE, digest_of(1)), *put(1)])
    commit(environment, [manifest(1, [(1, EdgeKind.CHILD)])])

    assert before == 50 + 700 + 32
    assert _size(environment, 1) == 32


def _size(environment, number):
    def look(view):
        selection = Selection(Order.SIZE)
        _, found = list_packages(view, view.repository("local/images").id, selection, 0, 99)
        return {package.digest: package.record.total or package.record.size for package in found}

    return environment.read(look)[digest_of(number)]


@pytest.mark.parametrize("value", [0, 1, 255, 1 << 24, MOST])
def test_an_entry_of_a_value_reads_back(value):
    entry = entry_of(Order.SIZE, "app", I, b"v1", Figures(5, value))
    letters, line = split_value_entry(entry)

    assert (value_of(entry), image_number(letters), line) == (value, I[4:], b"v1")


def test_values_sort_as_numbers_and_what_is_too_large_comes_last():
    numbers = [0, 1, 63, 64, 255, 256, 65_535, 1 << 24, (1 << 24) + 1, 1 << 40, MOST]
    entries = [entry_of(Order.SIZE, "", I, b"v", Figures(0, number)) for number in numbers]

    assert entries == sorted(entries)
    assert entry_of(Order.SIZE, "", I, b"v", Figures(0, 1 << 60)) == entries[-1]


@pytest.mark.parametrize("order", list(Order))
@pytest.mark.parametrize("needle", ["v", "V05", "599", "app:v1", "p", "R", "~", "nothing"])
def test_a_page_of_what_has_a_text_is_cut_from_all_that_have_it(filled, order, needle):
    larger = [*put(3), manifest(3, total=5000), SetTag(IMAGE, "RC1", digest_of(3))]
    commit(filled, [*larger, *put(2, OTHER), manifest(2, image=OTHER, total=9000)])

    def look(view):
        number = view.repository("local/images").id
        _, every = list_packages(view, number, Selection(order), 0, 9999)
        for path in (None, IMAGE.path):
            wanted = [
                each
                for each in every
                if path in (None, each.path)
                and needle.lower() in (f"{each.path}:{each.tag.lower()}" if each.tag else each.path)
            ]
            for is_descending in (False, True):
                selection = Selection(order, is_descending, path, needle)
                total, found = list_packages(view, number, selection, 3, 700)
                assert total == len(wanted)
                assert found == wanted[:: -1 if is_descending else 1][3:700]

    filled.read(look)


@pytest.mark.parametrize("order", list(Order))
@pytest.mark.parametrize("is_descending", [False, True])
def test_a_page_of_packages_costs_itself_and_a_step_a_block(filled, order, is_descending):
    def look(view):
        number = view.repository("local/images").id
        blocks = len(ordering.measure(view, names.prefix(number, order)).keys)
        view.steps = 0
        selection = Selection(order, is_descending)
        total, found = list_packages(view, number, selection, 1000, 1050)
        return total, len(found), blocks > 2, view.steps <= blocks + 1

    assert filled.read(look) == (1200, 50, True, True)
