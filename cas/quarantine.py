"""Quarantine: what is damaged is looked at again, marked, and named with the images it hurts.

Nothing is marked that was not found wrong on the disk while nobody replaces pack files: a report
may be older than the end of what it tells of. A pack that is missing or too short is damage of each
chunk beyond its end. First chunks are marked, a step in a transaction, so that nobody shares them
from then on; then the objects that have them.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

import trio

from cas.digest import Digest
from cas.harm import Damage, Range, images_needing, join, objects_over
from cas.rehash import CHUNKS, STEP, Step, check_step, is_sound
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

_NO_CHUNK: Final = keys.place(HURT, (1 << 64) - 1)  # behind it are the rows of chunks
TOLD: Final = 1000  # ranges that a report or an answer names; all are counted
LOGGED: Final = 20  # at once
MISSES: Final = 16  # steps that are as damaged as before, after which it is enough for now

_log = logging.getLogger("orlop.scrub")


@dataclass(frozen=True, slots=True)
class Settled:
    """What a look brought the index up to."""

    found: int = 0  # damaged, and not known as such before
    mended: int = 0  # known as damaged, and sound
    news: tuple[Range, ...] = ()  # where it was found in packs; for `Quarantine.mark_hurt`


class Quarantine:
    """The only one who marks; one per store."""

    def __init__(self, works: Works) -> None:
        self._works = works

    async def believe(self, reports: Iterable[MarkDamaged | Place]) -> None:
        """Look at the places that readers report; mark what is wrong, and whom it hurts.

        Raises:
            Busy, NoSpace, WriterBusy, IndexFailed: it will be found again.
        """
        news: list[Range] = []
        places = [Place(report.pack, report.offset) for report in reports]
        try:
            for place in await self._look(partial(unknown, places=places)):
                news += (await self.settle(*place)).news
        finally:
            with trio.CancelScope(shield=True):
                await self.mark_hurt(news)

    async def settle(self, pack: int, start: int) -> Settled:
        """Look again at the step of `pack` from `start` on, and go on while all of it is damaged.

        `mark_hurt` must follow.

        Raises:
            Busy, NoSpace, WriterBusy, IndexFailed: what was marked stays marked.
        """
        found = mended = 0
        news: list[Range] = []
        following: int | None = start
        while following is not None:
            async with self._works.replacing:
                step = await self._check(pack, following)
                if not step.is_settled:
                    await self._works.writer.write(partial(self._write, pack=pack, step=step))
            found += step.fresh
            mended += len(step.healed)
            news += await self._ranges(pack, step)
            is_cut_off = step.chunks > 0 and len(step.bad) == step.chunks
            following = step.following if is_cut_off else None
        return Settled(found, mended, tuple(news))

    async def settle_inline(self, digest: bytes) -> Settled:
        """As `settle`, of an object that lives in the index."""
        settled = await self._works.writer.write(partial(self._write_inline, digest=digest))
        if settled.found:
            whom = await self._look(partial(images_needing, digest=digest))
            _say([_inline_damage(digest, whom)])
        return settled

    async def mark_hurt(self, news: Sequence[Range]) -> None:
        """Mark the objects that have what was found, and say so; one look through all extents.

        Raises:
            NoSpace, WriterBusy, IndexFailed: `resume` does it at the next start.
        """
        joined = join(news)
        if not joined:
            return
        hurt = await self._look(lambda view: list(objects_over(view, joined)))
        for at in range(0, len(hurt), CHUNKS):
            digests = [digest for digest, _ in hurt[at : at + CHUNKS]]
            await self._works.writer.write(partial(self._write_hurt, digests=digests))
        _say(await self._look(partial(_harm, joined=joined, hurt=hurt)))

    async def resume(self) -> None:
        """After a start: whoever marked chunks may not have come to whom they hurt."""
        places = await self._look(lambda view: list(iter_bad(view)))
        await self.mark_hurt([_range(place, row) for place, row in places])

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

    def _write_hurt(self, transaction: Transaction, digests: Sequence[bytes]) -> None:
        """Objects that have a damaged chunk now; one that was laid out anew meanwhile is sound."""
        for digest in digests:
            row = transaction.object(digest)
            if row is not None and next(iter_lost(transaction, row.id), None) is not None:
                mark_hurt(transaction, digest, row.id, self._works.clock().now, "a chunk of it is")

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

    async def _ranges(self, pack: int, step: Step) -> list[Range]:
        """Where a step's damage is, as the index knows it now."""
        if not step.fresh:
            return []
        wanted = step.bad.keys()

        def look(view: View) -> list[Range]:
            rows = view.iter_damage(pack, min(wanted), max(wanted) + 1)
            return [Range(pack, at, at + row.length) for at, row in rows if at in wanted]

        return await self._look(look)

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


def _harm(
    view: View, joined: Sequence[Range], hurt: Sequence[tuple[bytes, set[Range]]]
) -> list[Damage]:
    names: dict[Range, set[str]] = {each: set() for each in joined[:LOGGED]}
    for digest, those in hurt:
        told = those & names.keys()
        needing = images_needing(view, digest) if told else set()
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
