"""Turn a sealed, hashed upload into a live object: adopt its file or append its new chunks.

Order (design §4): seal → fdatasync → look → fsync(uploads/) → link(packs/) → fsync(packs/), or
append + fdatasync → index slices and final commit → answered → unlink(uploads/). All pushed bytes
are read, hashed and synced before anything is looked up, so timing tells nothing about what others
stored.
"""

from array import array
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

import trio

from cas import layout as names, packs
from cas.digest import Digest
from cas.errors import Busy
from cas.punching import Punching
from cas.uploads import staging
from cas.uploads.chunking import ChunkList
from cas.works import Works
from index import keys
from index.apply import apply
from index.changes import Change, PlaceObject
from index.damage import is_hurt, iter_lost
from index.errors import IndexFailed, IndexFault
from index.expectations import Expectation
from index.ledger import Clock
from index.placement import (
    NAME_SIZE,
    ChunkMissing,
    Cursor,
    Layout,
    begin_build,
    dismantle_slice,
    end_build,
    give_up_build,
    is_live,
    place_slice,
)
from index.records import Place, Work, WorkKind
from index.transaction import Transaction
from index.view import View

ADOPT_BYTES: Final = 16 << 20  # new bytes from which a file of its own pays
ADOPT_SHARE: Final = 0.75  # of the blob must be new: the rest would be dead bytes
MAX_TRIES: Final = 5  # each only after a chunk was collected between look and commit


@dataclass(frozen=True, slots=True)
class Staged:
    """A sealed upload whose bytes are hashed, cut and synced; or no upload, only known chunks."""

    session: str
    path: Path | None
    digest: Digest
    chunks: ChunkList


class ObjectGone(Exception):
    """There is nothing to mend any more."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What is committed together with the object."""

    changes: Sequence[Change]
    expectations: Sequence[Expectation]
    clock: Callable[[], Clock]

    def apply(self, transaction: Transaction, *first: Change) -> int:
        """Apply `first` and the changes, under the expectations."""
        return apply(transaction, (*first, *self.changes), self.expectations, self.clock())


class Placer:
    """Places staged uploads; one per store."""

    def __init__(self, works: Works) -> None:
        self._root = works.root
        self._pins = works.pins
        self._environment = works.environment
        self._writer = works.writer
        self._appender = works.appender
        self._clock = works.clock
        self.punching = Punching(works.root)
        self._placing: dict[Digest, trio.Event] = {}

    async def place(self, staged: Staged, terms: Terms) -> int:
        """Commit `staged` as a live object with `terms`; returns the revision.

        Afterwards the upload's name is gone. On failure nothing is published and the file can be
        appended to again; after IndexFailed only recovery knows.
        """
        async with self._alone(staged.digest):
            for _ in range(MAX_TRIES):
                try:
                    return await self._place(staged, terms)
                except ChunkMissing:
                    continue  # a chunk that was known went before the commit: look again
        raise Busy("what must be kept of chunks that are being collected")

    async def rebuild(self, digest: Digest, chunks: ChunkList) -> bool:
        """Lay a hurt object out anew, from chunks that are stored; False: it has gone.

        Raises:
            Busy: chunks go faster than they can be had.
            NoSpace, WriterBusy, IndexFailed
        """
        staged = Staged("", None, digest, chunks)
        try:
            await self.place(staged, Terms((), (), self._clock))
        except ObjectGone:
            return False
        return True

    @asynccontextmanager
    async def _alone(self, digest: Digest) -> AsyncIterator[None]:
        """One placement of a digest at a time: the next one finds what this one placed."""
        while digest in self._placing:
            await self._placing[digest].wait()
        done = self._placing[digest] = trio.Event()
        try:
            yield
        finally:
            del self._placing[digest]
            done.set()

    async def _place(self, staged: Staged, terms: Terms) -> int:
        fresh = await trio.to_thread.run_sync(self._environment.read, partial(_fresh, staged))
        if fresh is None:  # it is there already: only the terms
            return await self._settle(staged, terms, Layout(0, 0, b"", array("I"), None, 0))
        if not fresh.runs:
            return await self._settle(staged, terms, _layout(staged, 0, fresh.offsets, 0))
        if staged.path is None:
            raise ChunkMissing(0)
        if fresh.is_worth_adopting:
            pack = names.session_pack(staged.session)
            with self._pins.holding(pack):
                await trio.to_thread.run_sync(packs.adopt, self._root, staged.session, pack)
                layout = _layout(staged, pack, None, staged.chunks.size)
                return await self._settle(staged, terms, layout)
        appended = await self._appender.append(staged.path, fresh.runs)
        try:
            offsets = array("q", (o if o < 0 else o + appended.offset for o in fresh.offsets))
            layout = _layout(staged, appended.pack, offsets, appended.pack_length)
            return await self._settle(staged, terms, layout)
        finally:
            self._pins.let_go(appended.pack)

    async def _settle(self, staged: Staged, terms: Terms, layout: Layout) -> int:
        """Write the rows, and tidy up however that went."""
        build = _Build(staged, terms, layout)
        try:
            revision = await self._write(build)
        except IndexFailed:
            raise  # nobody knows what was committed: the files stay for recovery
        except BaseException:  # cancelled too: no second name and no half-built object stays
            await self._undo(build)
            raise
        with suppress(OSError, IndexFault):  # it is committed: recovery tidies up what is left
            await self._clean(build)
        return revision

    async def _write(self, build: "_Build") -> int:
        build.done = await self._writer.write(build.first)
        while build.done.revision is None:
            build.done = await self._writer.write(build.following)
        return build.done.revision

    async def _undo(self, build: "_Build") -> None:
        with trio.CancelScope(shield=True):
            if build.done.object:
                await self._writer.write(partial(give_up_build, object_id=build.done.object))
            build.done = replace(build.done, is_placed=False)
            await self._clean(build)

    async def _clean(self, build: "_Build") -> None:
        """Take back what turned out unneeded; free the dead pages of an adopted file."""
        done = build.done
        if done.object and not done.is_placed:
            await self._dismantle(done.object)
        adopted = build.layout.pack if build.layout.offsets is None else 0
        if adopted and not done.is_placed:
            packs.disown(self._root, adopted)  # first: by the upload recovery would find it
        if done.revision is not None and build.path is not None:
            staging.remove(build.path)
        if adopted and done.is_placed:
            await trio.to_thread.run_sync(self._punch, build.layout)
        if done.replaced:
            await self._dismantle(done.replaced)

    async def _dismantle(self, object_id: int) -> None:
        take_back = partial(dismantle_slice, object_id=object_id)
        while not (await self._writer.write(take_back)).is_over:
            pass

    def _punch(self, layout: Layout) -> None:
        def used(view: View) -> list[tuple[int, int]]:
            return [(offset, row.length) for offset, row in view.iter_chunks(layout.pack)]

        row = self._environment.read(lambda view: view.pack(layout.pack))
        if row is not None and row.live < row.length:
            self.punching.punch(layout.pack, self._environment.read(used), row.length)


@dataclass(frozen=True, slots=True)
class _Done:
    """How far a build has been committed."""

    object: int = 0  # set while a work row stands: more than one transaction is needed
    cursor: Cursor = field(default_factory=Cursor)
    is_placed: bool = False
    replaced: int = 0  # the object whose place it took: it was hurt
    revision: int | None = None


class _Build:
    """The operations that write one object; the writer may run one again: they change no state.

    `done` is moved on by the caller after each commit.
    """

    def __init__(self, staged: Staged, terms: Terms, layout: Layout) -> None:
        self._staged = staged
        self._terms = terms
        self.path = staged.path
        self.layout = layout
        self.done = _Done()

    def first(self, transaction: Transaction) -> _Done:
        """Everything, if it fits in one transaction; otherwise the first slice and a work row."""
        if self._is_there(transaction):
            return _Done(revision=self._terms.apply(transaction))
        if not len(self.layout):
            raise ChunkMissing(0)  # the object was there, and went between look and commit
        number = transaction.take_number(keys.META_OBJECT, 8)
        layout = replace(self.layout, object=number)
        cursor = place_slice(transaction, layout, Cursor())
        if cursor.index < len(layout):
            return self._note(transaction, number, cursor)
        return self._end(transaction, layout)

    def following(self, transaction: Transaction) -> _Done:
        """The next slice, or the last small transaction that makes it all visible."""
        done = self.done
        layout = replace(self.layout, object=done.object)
        if done.cursor.index < len(layout):
            cursor = place_slice(transaction, layout, done.cursor)
            return self._note(transaction, done.object, cursor)
        if self._is_there(transaction):
            give_up_build(transaction, done.object)  # another push of these bytes was faster
            return replace(done, revision=self._terms.apply(transaction))
        return replace(self._end(transaction, layout), object=done.object)

    def _note(self, transaction: Transaction, number: int, cursor: Cursor) -> _Done:
        work = Work(
            kind=WorkKind.BUILD,
            upload=self._staged.session,
            digest=self._staged.digest.key,
            object=number,
            pack=self.layout.pack,
            cursor=keys.place(cursor.index, cursor.logical),
        )
        begin_build(transaction, number, work)
        return _Done(object=number, cursor=cursor)

    def _end(self, transaction: Transaction, layout: Layout) -> _Done:
        staged = self._staged
        before = transaction.object(staged.digest.key)
        if before is None and staged.path is None:
            raise ObjectGone
        if next(iter_lost(transaction, layout.object), None) is not None:
            raise ChunkMissing(0)  # found damaged since its slice was written
        end_build(transaction, layout)
        made = PlaceObject(staged.digest.key, layout.object, staged.chunks.size)
        revision = self._terms.apply(transaction, made)
        work = None if before is None else transaction.get("work", keys.u64(before.id))
        replaced = 0 if before is None or work is None else before.id
        return _Done(is_placed=True, replaced=replaced, revision=revision)

    def _is_there(self, transaction: Transaction) -> bool:
        """Whether the object is there, and not hurt."""
        row = transaction.object(self._staged.digest.key)
        return row is not None and not is_hurt(transaction, row)


# --- what is new ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Fresh:
    """Which chunks of a blob are not stored yet.

    `runs` are their ranges in the upload, coalesced; `offsets` say per chunk where it will lie
    after the runs' copy, relative to its start, or -1 when it is known.
    """

    size: int
    new_bytes: int
    runs: list[tuple[int, int]]
    offsets: "array[int]"

    @property
    def is_worth_adopting(self) -> bool:
        return self.new_bytes >= max(ADOPT_BYTES, ADOPT_SHARE * self.size)


def _fresh(staged: Staged, view: View) -> _Fresh | None:
    """Look every chunk up; None when the whole object is there, and not hurt."""
    row = view.object(staged.digest.key)
    if row is not None and not is_hurt(view, row):
        return None
    chunks = staged.chunks
    known = Known(view)
    placed: dict[bytes, int] = {}  # new chunks: a repeated one is stored once
    runs: list[tuple[int, int]] = []
    offsets = array("q")
    copied = 0
    for index, offset in enumerate(chunks.iter_offsets()):
        name = bytes(chunks.names[index * NAME_SIZE : (index + 1) * NAME_SIZE])
        length = chunks.lengths[index]
        if name not in placed and known.has(name):
            offsets.append(-1)
            continue
        if name not in placed:
            placed[name] = copied
            copied += length
            _extend_runs(runs, offset, length)
        offsets.append(placed[name])
    return _Fresh(chunks.size, copied, runs, offsets)


class Known:
    """Whether chunks are stored in a pack that may be shared."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._packs: dict[int, bool] = {}

    def has(self, name: bytes) -> bool:
        """By its BLAKE3."""
        place: Place | None = self._view.chunk(name)
        if place is None:
            return False
        if place.pack not in self._packs:
            self._packs[place.pack] = is_live(self._view, place.pack)
        return self._packs[place.pack]


def _extend_runs(runs: list[tuple[int, int]], offset: int, length: int) -> None:
    if runs and runs[-1][0] + runs[-1][1] == offset:
        runs[-1] = runs[-1][0], runs[-1][1] + length
    else:
        runs.append((offset, length))


def _layout(staged: Staged, pack: int, offsets: "array[int] | None", pack_length: int) -> Layout:
    chunks = staged.chunks
    return Layout(0, pack, bytes(chunks.names), chunks.lengths, offsets, pack_length)
