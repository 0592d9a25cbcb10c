"""Collection: free what nothing refers to, while pushes and pulls go on.

Due garbage is taken in transactions of at most ROWS rows with a rest after each (`index.collect`),
objects are dismantled chunk by chunk, then packs that lost bytes are unlinked or rewritten
(`cas.reclaim`). Whatever ends it in between, the next run goes on: all that is left to do stands in
the index. One run at a time.
"""

import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import trio

from cas import reclaim
from cas.appender import Appender
from cas.keeping import taking_packs
from cas.packs import Packs
from cas.pins import Pins
from cas.reclaim import Candidate
from cas.rehearsal import rehearse
from cas.sessions import Sessions
from cas.verbs import Collect, Collected, Due, Progress
from index import keys
from index.collect import collect_slice
from index.environment import Environment
from index.errors import IndexFault
from index.ledger import Clock
from index.placement import dismantle_slice, forget_pack, retire_pack, unmark_pack
from index.records import PackState, Run, WorkKind
from index.runs import begin_run, note_run
from index.transaction import Transaction
from index.view import View
from index.writer import Writer

T = TypeVar("T")

ROWS: Final = 256  # rows of one transaction: who pulls meanwhile waits for less than with 512
REST: Final = 1.0  # for each second of work; an unasked collection rests three times as long
REST_UNASKED: Final = 3.0

_NEWS: Final = ("links", "manifests", "blobs", "chunks", "packs", "uploads_expired")

_log = logging.getLogger("orlop.collector")


@dataclass(frozen=True, slots=True)
class Parts:
    """What collection works on."""

    root: Path
    environment: Environment
    writer: Writer
    appender: Appender
    sessions: Sessions
    packs: Packs
    pins: Pins
    clock: Callable[[], Clock]
    upload_expiry: float  # seconds


class Collector:
    """Runs collections, one at a time; one per store."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._alone = trio.Lock()

    async def run(self, task: Collect) -> AsyncGenerator[Progress | Due | Collected, None]:
        """Collect, or with `is_dry` say what would be; waits for the run under way.

        Raises:
            IndexFailed, NoSpace, WriterBusy, OSError: what was freed stays freed.
        """
        async with self._alone:
            run = _Run(self._parts, task)
            steps = run.rehearse() if task.is_dry else run.collect()
            async with aclosing(steps), self._noting(task) as note:
                async for told in steps:
                    if isinstance(told, Collected):
                        note.report = told
                    yield told

    @asynccontextmanager
    async def _noting(self, task: Collect) -> AsyncIterator["_Note"]:
        """Keep a record of a run: of one that nobody asked for only if it did something."""
        note, write = _Note(), self._parts.writer.write
        began = _milliseconds()
        is_noted = task.is_thorough and not task.is_dry
        if is_noted:
            began = await write(partial(begin_run, began=began, run=Run()))
        try:
            yield note
        except BaseException as error:  # cancelled too: it says so
            note.error = str(error) or type(error).__name__
            raise
        finally:
            if is_noted or (note.has_news and not task.is_dry):
                run = note.as_run(task, _milliseconds())
                step = note_run if is_noted else begin_run
                with suppress(IndexFault), trio.CancelScope(shield=True):
                    await write(partial(step, began=began, run=run))


@dataclass(slots=True)
class _Note:
    """What there is to say of a run."""

    report: Collected | None = None
    error: str = ""

    @property
    def has_news(self) -> bool:
        """Whether anything was done, or failed."""
        figures = self._figures()
        return bool(self.error) or any(figures.get(name) for name in _NEWS)

    def as_run(self, task: Collect, ended_at: int) -> Run:
        error = self.error or ("" if self.report else "it was given up")
        figures = self._figures()
        return Run(is_asked=task.is_thorough, ended_at=ended_at, error=error, figures=figures)

    def _figures(self) -> dict[str, int | float]:
        return {} if self.report is None else asdict(self.report)


class _Run:
    """One collection."""

    def __init__(self, parts: Parts, task: Collect) -> None:
        self._parts = parts
        self._task = task
        self._began = time.monotonic()
        self._count: Counter[str] = Counter()

    async def collect(self) -> AsyncGenerator[Progress | Due | Collected, None]:
        """Everything that is due, then packs."""
        expired = await self._parts.sessions.expire(self._parts.upload_expiry)
        self._count["uploads_expired"] = expired
        for stage, steps in (("references", self._take_garbage()), ("packs", self._reclaim())):
            async with aclosing(steps):
                async for done in steps:
                    yield Progress(stage, done)
        # Only then the kernel frees the blocks. Other processes do it within a second.
        self._parts.packs.refresh()
        yield self._report()

    def _report(self) -> Collected:
        duration = round(time.monotonic() - self._began, 3)
        return Collected(**self._count, duration_seconds=duration)

    # --- references and chunks ---

    async def _take_garbage(self) -> AsyncGenerator[int, None]:
        for number in await self._look(_collected):  # a run before was ended in the middle
            await self._dismantle(number)
        while True:
            taken = await self._write(partial(collect_slice, clock=self._parts.clock(), rows=ROWS))
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
            look = partial(reclaim.look_at, root=self._parts.root, pack=pack)
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
            active = await self._look(partial(_active_with_dead, root=self._parts.root))
            if active is not None and await self._parts.appender.seal() and active not in marked:
                marked.append(active)
        return marked

    def _may_change(self, found: Candidate) -> bool:
        if found.pack in self._parts.pins:
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
        if await self._with_file(found, reclaim.rewrite, found):
            await self._write(partial(unmark_pack, pack=found.pack, live=found.row.live))

    async def _with_file(
        self, found: Candidate, change: Callable[[Path, Any], None], what: object
    ) -> bool:
        """Change a pack's file, unless a backup copies it; says whether it was done.

        A pack that the disk refuses to change stays marked, and does not keep the others waiting.
        """
        root = self._parts.root

        def take() -> int | None:
            with taking_packs(root) as may:
                if not may:
                    return None
                change(root, what)
                return found.blocks - reclaim.blocks_of(root, found.pack)

        freed: int | None
        try:
            freed = await trio.to_thread.run_sync(take)
        except OSError as error:
            _log.warning("pack %016x stays as it is: %s", found.pack, error)
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
        parts = self._parts
        yield Progress("references", 0)
        look = partial(rehearse, root=parts.root, now=parts.clock().now, expiry=parts.upload_expiry)
        found, report = await self._look(look)
        for due in found:
            yield due
        yield report

    # --- steps ---

    async def _look(self, look: Callable[[View], T]) -> T:
        return await trio.to_thread.run_sync(self._parts.environment.read, look)

    async def _write(self, step: Callable[[Transaction], T]) -> T:
        """One transaction, then a rest that grows with what it took."""
        began = time.perf_counter()
        rows, value = await self._parts.writer.write(partial(_counted, step))
        self._count["most_rows"] = max(self._count["most_rows"], rows)
        share = REST if self._task.is_thorough else REST_UNASKED
        await trio.sleep(share * (time.perf_counter() - began))
        return value


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000


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
