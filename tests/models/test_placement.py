"""Builds of objects from chunks, in slices, side by side, given up, dismantled and crashed.

The steps are those of `cas.placing`; instead of files full of bytes there is a table of which chunk
was written where, and files that are only as long as they should be.
"""

import os
from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import invariant, precondition, rule

from cas import layout as names
from cas.digest import Digest
from cas.placing import Staged, Terms, _Build, _fresh, _layout
from cas.uploads.chunking import ChunkList
from index import keys, placement
from index.errors import ExpectationsFailed
from index.expectations import StorageExists
from index.ledger import Clock
from index.placement import (
    ChunkMissing,
    activate_pack,
    dismantle_slice,
    give_up_build,
    is_live,
)
from index.records import GarbageKind, Object, Work, WorkKind
from tests.index.chunks import length_of, name_of, read_back, references
from tests.models.machine import IndexMachine

CHUNKS = st.lists(st.integers(0, 15), min_size=1, max_size=14)
ROWS = 12  # rows of a slice: two to six chunks, so that most objects take several
PICK = st.integers(0, 1000)


@dataclass
class Building:
    chunks: list
    staged: Staged
    build: _Build
    adopted: int  # the pack it brought, or 0
    is_begun: bool = False


class Placement(IndexMachine):
    """What is on disk, what is being built, what is being taken back, and what is live."""

    def __init__(self):
        super().__init__()
        self.stack.callback(setattr, placement, "ROWS", placement.ROWS)
        placement.ROWS = ROWS
        self.written = {}  # (pack, offset) → chunk
        self.next_pack = 1
        self.building = []
        self.undoing = {}  # object id → the Building to clean up after, or None
        self.live = {}  # digest → chunks
        self.length = 0  # of the active pack's file
        self.next = self._new_pack()
        self.roll()

    def _new_pack(self):
        self.next_pack += 1
        return self.next_pack

    def _resize(self, pack, size):
        path = names.pack_path(self.root, pack)
        path.touch()
        os.truncate(path, size)

    # --- what happens ---

    @rule()
    def roll(self):
        self.active, self.length, self.next = self.next, 0, self._new_pack()
        self._resize(self.active, 0)
        self.write(lambda t: activate_pack(t, self.active, self.next))

    @rule(chunks=CHUNKS, is_adopted=st.booleans(), fails=st.sampled_from([False, False, True]))
    def look(self, chunks, is_adopted, fails):
        """Up to here nothing is in the index; what was looked up may change before the build."""
        listed = ChunkList()
        for number in chunks:
            listed.names += name_of(number)
            listed.lengths.append(length_of(number))
            listed.size += length_of(number)
        pack = self._new_pack()
        session = f"{pack:016x}" + "0" * 48
        path = names.upload_path(self.root, session)
        path.touch()
        staged = Staged(session, path, Digest.of(bytes(chunks)), listed)
        fresh = _fresh(staged, self.view)
        adopted = pack if is_adopted and fresh is not None else 0
        if fresh is None:
            made = placement.Layout(0, 0, b"", listed.lengths[:0], None, 0)
        elif adopted:
            self._adopt(adopted, chunks)
            made = _layout(staged, pack, None, listed.size)
        else:
            made = self._append(staged, fresh, chunks)
        expectations = [StorageExists("nowhere")] if fails else []
        terms = Terms([], expectations, lambda: Clock(1000, 60))
        self.building.append(Building(chunks, staged, _Build(staged, terms, made), adopted))

    def _adopt(self, pack, chunks):
        offset = 0
        for number in chunks:
            self.written[pack, offset] = number
            offset += length_of(number)
        self._resize(pack, offset)

    def _append(self, staged, fresh, chunks):
        start = self.length
        for number, offset in zip(chunks, fresh.offsets, strict=True):
            if offset >= 0:
                self.written[self.active, start + offset] = number
        self.length += sum(length for _, length in fresh.runs)
        self._resize(self.active, self.length)
        offsets = fresh.offsets[:0]
        offsets.extend(offset if offset < 0 else offset + start for offset in fresh.offsets)
        pack = self.active if fresh.runs else 0
        return _layout(staged, pack, offsets, self.length if pack else 0)

    @precondition(lambda self: self.building)
    @rule(pick=PICK, steps=st.integers(1, 4))
    def build(self, pick, steps):
        """Some slices; a build whose terms fail, or that lost a chunk, is undone."""
        one = self.building[pick % len(self.building)]
        for _ in range(steps):
            try:
                run = one.build.following if one.is_begun else one.build.first
                one.build.done = self.write(run)
            except (ChunkMissing, ExpectationsFailed):
                self._give_up(one)
                return
            one.is_begun = True
            if one.build.done.revision is not None:
                self._finish(one)
                return

    def _finish(self, one):
        self.building.remove(one)
        self.live[one.staged.digest] = one.chunks
        if one.build.done.object and not one.build.done.is_placed:
            self.undoing[one.build.done.object] = one
        elif one.build.done.is_placed:
            one.staged.path.unlink()
        else:
            self._clean(one)

    @precondition(lambda self: self.building)
    @rule(pick=PICK)
    def give_up(self, pick):
        self._give_up(self.building[pick % len(self.building)])

    def _give_up(self, one):
        self.building.remove(one)
        number = one.build.done.object
        if number:
            self.write(lambda t: give_up_build(t, number))
            self.undoing[number] = one
        else:
            self._clean(one)

    def _clean(self, one):
        if one.adopted:
            names.pack_path(self.root, one.adopted).unlink()
        one.staged.path.unlink()

    @precondition(lambda self: self.undoing)
    @rule(pick=PICK)
    def take_back(self, pick):
        number = sorted(self.undoing)[pick % len(self.undoing)]
        if self.write(lambda t: dismantle_slice(t, number)).is_over:
            one = self.undoing.pop(number)
            if one is not None:
                self._clean(one)

    @precondition(lambda self: self.live)
    @rule(pick=PICK)
    def delete(self, pick):
        """What a collection does: the object row goes first, then slice after slice."""
        digest = sorted(self.live)[pick % len(self.live)]
        del self.live[digest]

        def forget(transaction):
            row = transaction.object(digest.key)
            transaction.delete("object", digest.key)
            waiting = keys.garbage(row.not_before, GarbageKind.OBJECT, digest.key)
            transaction.delete("garbage", waiting)
            work = Work(kind=WorkKind.DISMANTLE, object=row.id)
            transaction.put("work", keys.u64(row.id), work.encode())
            return row.id

        self.undoing[self.write(forget)] = None

    @rule()
    def crash(self):
        """Everything in memory is gone; recovery undoes what was under way."""
        for number, _ in list(self.view.iter_work()):
            self.write(lambda t, number=number: give_up_build(t, number))
            while not self.write(lambda t, number=number: dismantle_slice(t, number)).is_over:
                pass
        for one in (*self.building, *filter(None, self.undoing.values())):
            self._clean(one)
        self.building, self.undoing = [], {}
        self.length = self.view.pack(self.active).length
        self._resize(self.active, self.length)

    # --- what is true all the time ---

    @invariant()
    def a_recount_finds_no_drift(self):
        assert self.drift() == []

    @invariant()
    def live_objects_read_back_from_packs_that_may_be_shared(self):
        found = {}
        for key, value in self.view.scan("object"):
            number = Object.decode(value).id
            found[Digest(key)] = [name_of(n) for n in self._bytes_of(number)]
            assert found[Digest(key)] == read_back(self.view, number)
            assert all(is_live(self.view, extent.pack) for extent in self.view.extents(number))
        assert found == {digest: list(map(name_of, c)) for digest, c in self.live.items()}

    def _bytes_of(self, number):
        """Which chunks were really written where the object's extents point."""
        for extent in self.view.extents(number):
            offset = extent.offset
            while offset < extent.offset + extent.length:
                chunk = self.written[extent.pack, offset]
                yield chunk
                offset += length_of(chunk)

    @invariant()
    def nothing_but_live_objects_is_counted_when_nothing_is_under_way(self):
        if list(self.view.iter_work()):
            return
        counts = Counter(name_of(n) for chunks in self.live.values() for n in chunks)
        assert references(self.view) == counts

    def teardown(self):
        """Whatever happened: all of it can be taken back."""
        self.crash()
        while self.live:
            self.delete(0)
        self.crash()
        left = [self.view.entries(t) for t in ("object", "extent", "chunk", "chunk_at", "work")]
        live = sum(row.live for _, row in self.view.iter_packs())
        super().teardown()
        assert (left, live) == ([0] * 5, 0)


TestPlacement = Placement.TestCase
TestPlacement.settings = settings(max_examples=8, stateful_step_count=20)


class TestPlacementAtLength(Placement.TestCase):
    """The same, longer."""

    settings = settings(max_examples=300, stateful_step_count=60)
    pytestmark = pytest.mark.slow
