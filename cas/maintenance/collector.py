"""Collection: free what nothing refers to, while pushes and pulls go on.

Due garbage is taken in transactions of at most ROWS rows with a rest after each (`index.collect`),
objects are dismantled chunk by chunk, then packs that lost bytes are unlinked or rewritten
(`cas.maintenance.reclaim`). Whatever ends it in between, the next run goes on: all that is left to
do stands in the index. One run at a time.
"""

import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import trio

from cas.errors import Busy
from cas.keeping import taking_packs
from cas.maintenance import reclaim
from cas.maintenance.clearing import Clearer
from cas.maintenance.noting import Note, noting
from cas.maintenance.reclaim import Candidate, CopyDamaged
from cas.maintenance.rehearsal import rehearse
from cas.verbs import Collect, Collected, Due, Progress
from cas.works import Works
from index import keys
from index.collect import collect_slice
from index.placement import dismantle_slice, forget_pack, retire_pack, unmark_pack
from index.records import PackState, WorkKind
from index.transaction import Transaction
from index.view import View

T = TypeVar("T")

ROWS: Final = 256  # rows of one transaction: who pulls meanwhile waits for less than with 512
REST: Final = 1.0  # for each second of work; an unasked collection rests three times as long
REST_UNASKED: Final = 3.0

_NEWS: Final = ("links", "manifests", "blobs", "chunks", "packs", "uploads_expired")

_log = logging.getLogger("orlop.collector")


class Collector:
    """Runs collections, one at a time; one per store."""

    def __init__(self, works: Works, clearer: Clearer) -> None:
        self._works = works
        self._clearer = clearer
        self._alone = trio.Lock()

    async def run(self, task: Collect) -> AsyncGenerator[Progress | Due | Collected, None]:
        """Collect, or with `is_dry` say what would be; waits for the run under way.

        Raises:
            IndexFailed, NoSpace, WriterBusy, OSError: what was freed stays freed.
        """
        note = Note("gc", task.is_thorough, news=_NEWS)
        async with self._alone, self._noting(task, note):
            if not task.is_dry:
                await self._clearer.clear()
            run = _Run(self._works, task)
            async with aclosing(run.rehearse() if task.is_dry else run.collect()) as steps:
                async for told in steps:
                    if isinstance(told, Collected):
                        note.figures = asdict(told)
                    yield told

    def _noting(self, task: Collect, note: Note) -> AbstractAsyncContextManager[Note | None]:
        """Keep a record of a run: of one that nobody asked for only if it did something."""
        if task.is_dry:
            return nullcontext()
        return noting(self._works.writer, self._works.now, note, is_noted=task.is_thorough)


class _Run:
    """One collection."""

    def __init__(self, works: Works, task: Collect) -> None:
        self._works = works
        self._task = task
        self._began = time.monotonic()
        self._count: Counter[str] = Counter()

    async def collect(self) -> AsyncGenerator[Progress | Due | Collected, None]:
        """Everything that is due, then packs."""
        expired = await self._works.sessions.expire(self._works.upload_expiry)
        self._count["uploads_expired"] = expired
        for stage, steps in (("references", self._take_garbage()), ("packs", self._reclaim())):
            async with aclosing(steps):
                async for done in steps:
                    yield Progress(stage, done)
        # Only then the kernel frees the blocks. Other processes do it within a second.
        self._works.packs.refresh()
        yield self._report()

    def _report(self) -> Collected:
        duration = round(time.monotonic() - self._began, 3)
        return Collected(**self._count, duration_seconds=duration)

    # --- references and chunks ---

    async def _take_garbage(self) -> AsyncGenerator[int, None]:
        for number in await self._look(_collected):  # a run before was ended in the middle
            await self._dismantle(number)
        while True:
            taken = await self._write(partial(collect_slice, clock=self._works.clock(), rows=ROWS))
            self._count.update(links=taken.links, manifests=taken.manifests, blobs=taken.blobs)
            for number in taken.works:
                await self._dismantle(number)
            yield self._count["manifests"] + self._count["blobs"] + self._count["links"]
            if taken.is_over:
                return

    async def _dismantle(self, number: int) -> None:
        is_over = False
        while not is_over:
            step = await self._write(partial(dismantle_slice, object_id=number, rows=ROWS))
            self._count["chunks"] += step.chunks
            is_over = step.is_over

    # --- packs ---

    async def _reclaim(self) -> AsyncGenerator[int, None]:
        for pack in await self._marked():
            look = partial(reclaim.look_at, root=self._works.root, pack=pack)
            found = await self._look(look)
            if found is None:
                await self._write(partial(unmark_pack, pack=pack, live=None))
            elif self._may_change(found):
                # Look again: who held it until a moment ago has told of its bytes since the first
                # look. From now on a sealed pack only loses some.
                found = await self._look(look)
                if found is not None:
                    await self._free(found)
            yield self._count["packs"]

    async def _marked(self) -> list[int]:
        """Packs that lost bytes: those without live ones first, as they need no room."""
        marked = await self._look(_marked)
        if self._task.is_thorough:
            active = await self._look(partial(_active_with_dead, root=self._works.root))
            if active is not None and await self._works.appender.seal() and active not in marked:
                marked.append(active)
        return marked

    def _may_change(self, found: Candidate) -> bool:
        if found.pack in self._works.pins:
            self._count["postponed"] += 1
            return False
        return found.row.state in (PackState.SEALED, PackState.DEAD)

    async def _free(self, found: Candidate) -> None:
        """Unlink or rewrite a pack, as far as that is worth it."""
        if not found.row.live:
            if not await self._write(partial(retire_pack, pack=found.pack)):
                return
            if await self._with_file(found, reclaim.unlink, found.pack):
                await self._write(partial(forget_pack, pack=found.pack))
            return
        if not found.is_worth_it:
            await self._write(partial(unmark_pack, pack=found.pack, live=found.row.live))
            return
        if not self._task.is_thorough and found.gain < reclaim.WORTH * found.blocks:
            return
        if await self._with_file(found, self._rewrite, found.pack):
            await self._write(partial(unmark_pack, pack=found.pack, live=found.row.live))

    def _rewrite(self, root: Path, pack: int) -> None:
        """Rewrite by a look at what is marked now: who marks and who mends waits for us."""
        look = partial(reclaim.look_at, root=root, pack=pack)
        found = self._works.environment.read(look)
        if found is not None:
            reclaim.rewrite(root, found)

    async def _with_file(
        self, found: Candidate, change: Callable[[Path, Any], None], what: object
    ) -> bool:
        """Change a pack's file, unless a backup copies it; says whether it was done.

        A pack that the disk refuses to change stays marked, and does not keep the others waiting.
        """
        root = self._works.root

        def take() -> int | None:
            with taking_packs(root) as may:
                if not may:
                    return None
                change(root, what)
                return found.blocks - reclaim.blocks_of(root, found.pack)

        freed: int | None
        try:
            async with self._works.replacing:
                freed = await trio.to_thread.run_sync(take)
        except (OSError, Busy) as error:
            _log.warning("pack %016x stays as it is: %s", found.pack, error)
            freed = None
        except CopyDamaged as error:
            _log.warning("pack %016x stays as it is: %s", found.pack, error)
            for offset in error.offsets:  # once they are marked, the next run goes on
                self._works.packs.damage.put(found.pack, offset)
            freed = None
        if freed is None:
            self._count["postponed"] += 1
            return False
        self._count["packs"] += 1
        self._count["bytes_freed"] += freed
        return True

    # --- without a change ---

    async def rehearse(self) -> AsyncGenerator[Progress | Due | Collected, None]:
        """Say what `collect` would take now, and why."""
        works = self._works
        yield Progress("references", 0)
        now = works.clock().now
        look = partial(rehearse, root=works.root, now=now, expiry=works.upload_expiry)
        found, report = await self._look(look)
        for due in found:
            yield due
        yield report

    # --- steps ---

    async def _look(self, look: Callable[[View], T]) -> T:
        return await trio.to_thread.run_sync(self._works.environment.read, look)

    async def _write(self, step: Callable[[Transaction], T]) -> T:
        """One transaction, then a rest that grows with what it took."""
        began = time.perf_counter()
        rows, value = await self._works.writer.write(partial(_counted, step))
        self._count["most_rows"] = max(self._count["most_rows"], rows)
        share = REST if self._task.is_thorough else REST_UNASKED
        await trio.sleep(share * (time.perf_counter() - began))
        return value


def _counted(step: Callable[[Transaction], T], transaction: Transaction) -> tuple[int, T]:
    value = step(transaction)
    return transaction.rows, value


def _collected(view: View) -> list[int]:
    """Objects that were collected and are not dismantled yet."""
    return [
        number
        for number, work in view.iter_work()
        if work.kind is WorkKind.DISMANTLE and not work.pack
    ]


def _marked(view: View) -> list[int]:
    packs = list(view.iter_marked_packs())
    lives = {pack: row.live for pack in packs if (row := view.pack(pack)) is not None}
    return sorted(packs, key=lambda pack: lives.get(pack, 0))


def _active_with_dead(view: View, root: Path) -> int | None:
    """The active pack, if its dead bytes are worth it."""
    pack = keys.number(view.get("meta", keys.META_ACTIVE) or b"\0")
    found = reclaim.look_at(view, root, pack) if pack else None
    return pack if found is not None and found.is_worth_it else None
