"""Quarantine: what is damaged is looked at again, marked, and named with the images it hurts.

Nothing is marked that was not found wrong on the disk while nobody replaces pack files: a report
may be older than the end of what it tells of. A pack that is missing or too short is damage of each
chunk beyond its end. First chunks are marked, a step in a transaction, so that nobody shares them
from then on; then the objects that have them.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple, TypeVar

import trio

from cas.digest import Digest
from cas.harm import Damage, Range, images_needing, join, objects_over
from cas.maintenance.rehash import CHUNKS, STEP, Step, check_step, forget, is_sound
from cas.reports import unknown
from cas.works import Works
from index import keys
from index.apply import apply
from index.changes import MarkDamaged
from index.damage import (
    HURT,
    clear_chunk,
    clear_hurt,
    iter_bad,
    iter_hurt,
    iter_lost,
    mark_hurt,
)
from index.records import Damage as Row, Place
from index.transaction import Transaction
from index.view import View

T = TypeVar("T")

_END: Final = (1 << 64) - 1
_NO_CHUNK: Final = keys.place(HURT, _END)  # behind it are the rows of chunks
TOLD: Final = 1000  # ranges that a report or an answer names; all are counted
LOGGED: Final = 20  # at once
MISSES: Final = 16  # steps that are as damaged as before, after which it is enough for now

_log = logging.getLogger("orlop.scrub")


@dataclass(frozen=True, slots=True)
class Settled:
    """What a look brought the index up to."""

    found: int = 0  # damaged, and not known as such before
    mended: int = 0  # known as damaged, and sound
    stop: int = 0  # how far it looked in the pack


class Quarantine:
    """The only one who marks; one per store."""

    def __init__(self, works: Works) -> None:
        self._works = works
        self._alone = trio.Lock()  # of who marks objects
        self._owed: list[Range] = []  # marked, or about to be, and not said yet whom it hurts

    async def believe(self, reports: Iterable[MarkDamaged | Place]) -> None:
        """Look at the places that readers report; mark what is wrong, and whom it hurts.

        What is sound on the disk was wrong in memory: the system is to read it again.

        Raises:
            Busy, NoSpace, WriterBusy, IndexFailed: it will be found again.
        """
        places = [Place(report.pack, report.offset) for report in reports]
        looked = Place(0, 0)  # how far, in the pack of the place before
        for place in await self._look(partial(unknown, places=places)):
            if place.pack == looked.pack and place.offset < looked.offset:
                continue
            settled = await self.settle(*place)
            looked = Place(place.pack, settled.stop)
            if not settled.found:
                await trio.to_thread.run_sync(forget, self._works.root, place.pack, place.offset)
        await self.mark_hurt()

    async def settle(self, pack: int, start: int) -> Settled:
        """Look again at the step of `pack` from `start` on, and go on while all of it is damaged.

        `mark_hurt` is to follow; whatever comes in between, it is owed.

        Raises:
            Busy, NoSpace, WriterBusy, IndexFailed: what was marked stays marked.
        """
        found = mended = 0
        following: int | None = start
        stop = start
        while following is not None:
            async with self._works.replacing:
                step = await self._check(pack, following)
                if not step.is_settled:
                    self._owed += [Range(pack, at, at + step.lengths[at]) for at in step.bad]
                    await self._works.writer.write(partial(self._write, pack=pack, step=step))
            found += step.fresh
            mended += len(step.healed)
            stop = _END if step.following is None else step.following
            is_cut_off = step.chunks > 0 and len(step.bad) == step.chunks
            following = step.following if is_cut_off else None
        return Settled(found, mended, stop)

    async def settle_inline(self, digest: bytes) -> Settled:
        """As `settle`, of an object that lives in the index."""
        settled = await self._works.writer.write(partial(self._write_inline, digest=digest))
        if settled.found:
            whom = await self._look(partial(images_needing, digest=digest))
            _say([_inline_damage(digest, whom)])
        return settled

    async def mark_hurt(self) -> None:
        """Mark the objects that have what was found, and say so; one look through all extents.

        Raises:
            NoSpace, WriterBusy, IndexFailed: it is owed still; somebody calls this each minute.
        """
        async with self._alone:
            await self._mark_hurt()

    async def _mark_hurt(self) -> None:
        joined, before = join(self._owed), len(self._owed)
        if not joined:
            return
        hurt = await self._look(lambda view: list(_iter_hit(view, joined)))
        for at in range(0, len(hurt), CHUNKS):
            some = hurt[at : at + CHUNKS]
            await self._works.writer.write(partial(self._write_hurt, hits=some))
        del self._owed[:before]
        _say(await self._look(partial(_harm, joined=joined, hits=hurt)))

    async def resume(self) -> None:
        """After a start: whoever marked chunks may not have come to whom they hurt."""
        rows = await self._look(lambda view: list(iter_bad(view)))
        self._owed += [_range(place, row) for place, row in rows]
        await self.mark_hurt()

    async def look_again(self, after: Place) -> Place:
        """Settle what is marked beyond a place, as long as it is sound again: a disk may be back.

        Returns how far it came; (0, 0): to the end. Raises as `settle`.
        """
        misses = 0
        while misses < MISSES:
            place = await self._look(partial(_bad_beyond, after=after))
            if place is None:
                return Place(0, 0)
            settled = await self.settle(*place)
            misses += not settled.mended
            after = Place(place.pack, place.offset + STEP)
        return after

    async def standing(self) -> tuple[int, list[Damage]]:
        """How many chunks and objects are damaged now; and where, with the images they hurt."""
        return await self._look(standing)

    def _write(self, transaction: Transaction, pack: int, step: Step) -> None:
        marks = [MarkDamaged(pack, offset, why) for offset, why in step.bad.items()]
        apply(transaction, marks, (), self._works.clock())
        for offset in step.healed:
            clear_chunk(transaction, Place(pack, offset))

    def _write_hurt(self, transaction: Transaction, hits: Sequence["_Hit"]) -> None:
        """Objects that have a damaged chunk still; one laid out anew meanwhile has another id."""
        now = self._works.clock().now
        for hit in hits:
            if transaction.get("damage", hit.first.encode()) is not None:
                mark_hurt(transaction, hit.digest, hit.object_id, now, "a chunk of it is")

    def _write_inline(self, transaction: Transaction, digest: bytes) -> Settled:
        row = transaction.object(digest)
        content = None if row is None else transaction.inline(row.id)
        if row is None or content is None:
            return Settled()
        if is_sound(digest, content):
            return Settled(mended=int(clear_hurt(transaction, row.id)))
        now, why = self._works.clock().now, "it is not what was stored"
        return Settled(found=int(mark_hurt(transaction, digest, row.id, now, why)))

    async def _check(self, pack: int, start: int) -> Step:
        check = partial(check_step, self._works.environment, self._works.root)
        return await trio.to_thread.run_sync(check, pack, start)

    async def _look(self, look: Callable[[View], T]) -> T:
        return await trio.to_thread.run_sync(self._works.environment.read, look)


def standing(view: View) -> tuple[int, list[Damage]]:
    """See `Quarantine.standing`. A chunk that only garbage has hurts nobody, and does not count."""
    lost: set[Place] = set()
    places: dict[Range, set[str]] = {}
    inline: list[Damage] = []
    for object_id, damage in iter_hurt(view):
        names = images_needing(view, damage.name)
        if view.inline(object_id) is not None:
            inline.append(_inline_damage(damage.name, names))
            continue
        chunks = list(iter_lost(view, object_id))
        lost.update(each.place for each in chunks)
        for each in join(_range(chunk.place, chunk.damage) for chunk in chunks):
            if len(places) < TOLD or each in places:
                places.setdefault(each, set()).update(names)
    told = [Damage(str(each), tuple(sorted(places[each]))) for each in sorted(places)]
    return len(lost) + len(inline), (told + inline)[:TOLD]


class _Hit(NamedTuple):
    """An object that has damaged chunks."""

    digest: bytes
    object_id: int
    first: Place  # of those chunks
    ranges: set[Range]


def _iter_hit(view: View, joined: Sequence[Range]) -> Iterator[_Hit]:
    for digest, ranges in objects_over(view, joined):
        row = view.object(digest)
        lost = None if row is None else next(iter_lost(view, row.id), None)
        if row is not None and lost is not None:
            yield _Hit(digest, row.id, lost.place, ranges)


def _harm(view: View, joined: Sequence[Range], hits: Sequence[_Hit]) -> list[Damage]:
    names: dict[Range, set[str]] = {each: set() for each in joined[:LOGGED]}
    for hit in hits:
        told = hit.ranges & names.keys()
        needing = images_needing(view, hit.digest) if told else set()
        for each in told:
            names[each] |= needing
    return [Damage(str(each), tuple(sorted(names.get(each, ())))) for each in joined]


def _range(place: Place, row: Row) -> Range:
    return Range(place.pack, place.offset, place.offset + row.length)


def _bad_beyond(view: View, after: Place) -> Place | None:
    found = next(view.scan("damage", after=max(after.encode(), _NO_CHUNK)), None)
    return None if found is None else Place(*keys.split_place(found[0]))


def _inline_damage(digest: bytes, images: set[str]) -> Damage:
    return Damage(f"{Digest(digest)}, in the index", tuple(sorted(images)))


def _say(damages: Sequence[Damage]) -> None:
    for damage in damages[:LOGGED]:
        _log.error("damaged: %s. To push it again mends it", damage)
    if len(damages) > LOGGED:
        _log.error("damaged: %d more places; `orlop scrub` names them", len(damages) - LOGGED)
