"""Packages in their orders, whatever is pushed, moved, deleted and collected, against a dictionary.

The dictionary is made of tags and manifests as the index has them: that those are right is checked
by `test_references`. Blocks are so small that they are split and joined all the time.
"""

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import initialize, invariant, rule

from index import blocks, names, ordering
from index.apply import apply
from index.changes import (
    DeleteRepository,
    DropPackage,
    EdgeKind,
    ImageName,
    Link,
    PutManifest,
    PutObject,
    SetTag,
    Unlink,
)
from index.clearing import clear_slice
from index.collect import collect_slice
from index.errors import TargetMissing
from index.ledger import Clock
from index.names import Entry, Order
from index.packages import Selection, list_packages
from index.records import Manifest
from tests.index.tables import PLACES, digest_of
from tests.models.machine import IndexMachine

IMAGES = st.builds(
    ImageName,
    st.sampled_from(["local/images", "local/more"]),
    st.sampled_from(["app", "app-1", "app/b", "z"]),
)
NUMBERS = st.integers(1, 12)
TAGS = st.sampled_from(["latest", "v1", "v1.0", "V2", *(f"b{number}" for number in range(9))])
SMALL = {"MAX_BLOCK": 160, "FEW": 40, "ROOM": 120}
USUAL = {name: getattr(blocks, name) for name in SMALL}


class Listed(IndexMachine):
    """Two repositories of four images."""

    def __init__(self):
        super().__init__()
        self.clock = Clock(1000, 0)
        for name, value in SMALL.items():
            setattr(blocks, name, value)

    def teardown(self):
        for name, value in USUAL.items():
            setattr(blocks, name, value)
        super().teardown()

    def commit(self, *changes):
        """Do it, or nothing."""
        self.clock = Clock(self.clock.now + 1, 0)
        try:
            self.write(lambda t: apply(t, changes, (), self.clock))
        except TargetMissing:
            return

    @initialize()
    def begin(self):
        self.commit(*PLACES)

    @rule(
        image=IMAGES,
        number=NUMBERS,
        tags=st.sets(TAGS, max_size=6),
        children=st.sets(NUMBERS, max_size=2),
        about=st.tuples(st.sampled_from([0, 5, 70_000]), st.none() | NUMBERS),
    )
    def push(self, image, number, tags, children, about):
        total, subject = about
        digest = digest_of(number)
        record = Manifest(
            media_type="m",
            size=9,
            total=total,
            pushed_at=self.clock.now,
            subject=b"" if subject is None else digest_of(subject),
        )
        edges = tuple((digest_of(each), EdgeKind.CHILD) for each in children - {number})
        self.commit(
            PutObject(digest, bytes([number])),
            Link(image, digest),
            PutManifest(image, digest, record, edges, b"{}"),
            *(SetTag(image, tag, digest) for tag in tags),
        )

    @rule(image=IMAGES, number=NUMBERS)
    def push_under_another_type(self, image, number):
        record = Manifest(media_type="n", size=number, pushed_at=self.clock.now)
        self.commit(PutManifest(image, digest_of(number), record))

    @rule(image=IMAGES, tag=TAGS, number=st.none() | NUMBERS)
    def set_tag(self, image, tag, number):
        self.commit(SetTag(image, tag, None if number is None else digest_of(number)))

    @rule(image=IMAGES, number=NUMBERS)
    def unlink(self, image, number):
        self.commit(Unlink(image, digest_of(number)))

    @rule(image=IMAGES, number=NUMBERS, tag=TAGS)
    def unlink_and_push_again(self, image, number, tag):
        digest = digest_of(number)
        record = Manifest(media_type="m", size=3, pushed_at=self.clock.now)
        self.commit(
            Unlink(image, digest),
            Link(image, digest),
            PutManifest(image, digest, record),
            SetTag(image, tag, digest),
        )

    @rule(image=IMAGES, tag=TAGS)
    def drop_package(self, image, tag):
        self.commit(DropPackage(image, tag))

    @rule()
    def collect(self):
        clock = Clock(self.clock.now + 10, 0)
        while not self.write(lambda t: collect_slice(t, clock)).is_over:
            pass

    @rule(is_cleared=st.booleans())
    def delete_repository_and_make_it_again(self, is_cleared):
        self.commit(DeleteRepository("local/more"))
        self.commit(PLACES[-1])
        while is_cleared and not self.write(lambda t: clear_slice(t, self.clock)).is_over:
            pass

    @invariant()
    def a_recount_finds_no_drift(self):
        assert self.drift() == []

    @invariant()
    def each_order_has_every_package_once(self):
        for _, repository in self.view.iter_repositories():
            expected = dict(self._packages(repository.id))
            by_name = sorted(expected, key=lambda e: (e.path, e.tag is None, e.tag, e.digest))
            stored = names.iter_blocks(self.view, repository.id)
            assert [e for block in stored for e in names.iter_entries(block)] == by_name
            for order, figure in ((Order.PUSHED, 0), (Order.SIZE, 1)):
                total, found = list_packages(self.view, repository.id, Selection(order), 0, 999)
                listed = [_entry(package) for package in found]
                assert total == len(expected)
                assert set(listed) == set(expected)
                figures = [expected[entry][figure] for entry in listed]
                assert figures == sorted(figures)
                back = Selection(order, is_descending=True)
                _, found = list_packages(self.view, repository.id, back, 0, 999)
                assert [_entry(package) for package in found] == listed[::-1]

    def _packages(self, repository):
        for path, image in self.view.iter_images(repository):
            named = set()
            for tag, _ in self.view.iter_tags(image.id):
                row = self.view.tag(image.id, tag)
                manifest = self.view.manifest(image.id, row.digest)
                size = 0 if manifest is None else manifest.total or manifest.size
                named.add(row.digest)
                yield Entry(path, tag, None), (row.pushed_at, size)
            for digest, manifest in self.view.iter_manifests(image.id):
                if digest not in named:
                    size = manifest.total or manifest.size
                    yield Entry(path, None, digest), (manifest.pushed_at, size)

    @invariant()
    def blocks_are_small_and_not_many_are_nearly_empty(self):
        for _, repository in self.view.iter_repositories():
            for order in Order:
                rows = list(self.view.scan(names.TABLE, names.prefix(repository.id, order)))
                assert all(len(block) <= blocks.MAX_BLOCK for _, block in rows)
                total = ordering.measure(self.view, names.prefix(repository.id, order)).total
                assert total == sum(blocks.count(block) for _, block in rows)


def _entry(package):
    return Entry(package.path, package.tag, None if package.tag else package.digest)


TestListed = Listed.TestCase
TestListed.settings = settings(max_examples=8, stateful_step_count=20)


class TestListedAtLength(Listed.TestCase):
    """The same, longer."""

    settings = settings(max_examples=200, stateful_step_count=50)
    pytestmark = pytest.mark.slow
