"""Scrub: find what is damaged before a reader does, at a bounded rate.

Every pack in the order of ids, then every object that lives in the index. Sound bytes cost one look
and one read each; what looks wrong is for `cas.maintenance.quarantine` to settle. How far it is
stands in the index (`meta`, "scrub") each CURSOR_SECONDS: whatever ends it, the next one goes on
there. One run at a time; one that nobody asked for makes way for one that somebody did, and that
one hurries up for the next.
"""

import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Final, NamedTuple

import trio

from cas.errors import Busy
from cas.maintenance.mending import Mender
from cas.maintenance.noting import Note, noting
from cas.maintenance.quarantine import Quarantine
from cas.maintenance.rehash import Step, check_inlines, check_step
from cas.verbs import Progress, Scrub, Scrubbed
from cas.works import Works
from index import keys
from index.errors import IndexFault
from index.runs import last_finished
from index.transaction import Transaction
from index.view import View

RESUME_SECONDS: Final = 7 * 86400  # after which nobody goes on with what an earlier run began
PATIENCE: Final = 30  # seconds to wait for memory or files
CURSOR_SECONDS: Final = 30.0  # of work that is done again after a crash, at most
MADE_WAY: Final = "it made way for one that was asked for"
_PACKS: Final = b"\1"  # first byte of the cursor; a place follows
_END: Final = (1 << 64) - 1  # offset of a cursor behind all of a pack
_INLINES: Final = b"\2"  # a digest follows, or nothing


class Scrubber:
    """Runs scrubs, one at a time; one per store."""

    def __init__(self, works: Works, quarantine: Quarantine, mender: Mender) -> None:
        self._works = works
        self._quarantine = quarantine
        self._mender = mender
        self._alone = trio.Lock()
        self._wanted = trio.Event()  # somebody asks for a run while one is under way
        self._asking = 0

    async def run(
        self, task: Scrub, *, is_asked: bool = True
    ) -> AsyncGenerator[Progress | Scrubbed, None]:
        """Scrub; an unasked run under way makes way, an asked one takes no more rests.

        Raises:
            IndexFailed, NoSpace, WriterBusy, Busy: what was found stays marked.
        """
        if is_asked:
            self._asking += 1
            self._wanted.set()
        try:
            async with self._alone:
                note = Note("scrub", is_asked)
                if self._asking == int(is_asked):
                    self._wanted = trio.Event()  # nobody else waits
                others = _Others(self._wanted, makes_way=not is_asked)
                run = _Run(self._works, self._quarantine, self._mender, task, others)
                async with (
                    noting(self._works.writer, self._works.now, note, is_noted=True),
                    aclosing(run.scrub()) as steps,
                ):
                    async for told in steps:
                        if isinstance(told, Scrubbed):
                            note.figures = _figures(told)
                        yield told
                    if note.figures is None:
                        note.error = MADE_WAY
        finally:
            if is_asked:
                self._asking -= 1

    async def is_due(self, interval: float) -> bool:
        """Whether the last run that came to its end is `interval` seconds or longer ago."""
        look = partial(last_finished, kind="scrub")
        ended = await trio.to_thread.run_sync(self._works.environment.read, look)
        age = self._works.now() - ended / 1000
        return not self._asking and not 0 <= age < interval  # below 0: the clock was wrong then


def _figures(told: Scrubbed) -> dict[str, int | float]:
    """Its numbers: the sentences are in table `damage`."""
    values = asdict(told).items()
    return {name: value for name, value in values if type(value) in (int, float)}


def pause(size: int, rate: int, seconds: float) -> float:
    """How long to rest after `size` bytes that took `seconds`, so that `rate` bytes/s is kept."""
    return max(0.0, size / rate - seconds) if rate else 0.0


class _Others(NamedTuple):
    """Who else wants to scrub."""

    wanted: trio.Event  # somebody does
    makes_way: bool  # the run under way ends then


@dataclass(slots=True)
class _Run:
    """One scrub. It ends early, without a report, where it makes way for others."""

    _works: Works
    _quarantine: Quarantine
    _mender: Mender
    _task: Scrub
    _others: _Others
    _count: Counter[str] = field(default_factory=Counter)
    _saved: float = field(default_factory=trio.current_time)  # when the cursor was
    # At the last rest: bytes read, and when it ended.
    _rested: tuple[int, float] = field(default_factory=lambda: (0, trio.current_time()))
    _pass: int = 0  # when it began, perhaps as another run: seconds since 1970

    async def scrub(self) -> AsyncGenerator[Progress | Scrubbed, None]:
        """Go on from the cursor to the end."""
        began = time.monotonic()
        cursor = await self._begin()
        is_resumed = cursor != _PACKS
        try:
            for phase in (self._packs, self._inlines):
                async with aclosing(phase(cursor)) as steps:
                    async for following in steps:
                        yield Progress("MiB read", self._count["bytes"] >> 20)
                        await self._rest()
                        if await self._is_to_end(following):
                            return
            await self._save(b"")
        finally:
            with trio.CancelScope(shield=True), suppress(IndexFault):
                await self._quarantine.mark_hurt()
        await self._mender.mend()
        standing, damages = await self._quarantine.standing()
        yield Scrubbed(
            **self._count,
            standing=standing,
            damaged=tuple(map(str, damages)),
            is_resumed=is_resumed,
            duration_seconds=round(time.monotonic() - began, 3),
        )

    async def _begin(self) -> bytes:
        """Where the last run stopped, if that began not long ago: what it read may be damaged now.

        Whatever begins anew reads everything.
        """
        value = await self._look(lambda view: view.get("meta", keys.META_SCRUB)) or bytes(8)
        self._pass = keys.number(value[:8])
        if not 0 <= self._works.now() - self._pass < RESUME_SECONDS:
            self._pass, value = int(self._works.now()), b""
        return value[8:] or _PACKS

    async def _packs(self, cursor: bytes) -> AsyncGenerator[bytes, None]:
        """Step through the packs; yields the cursor after each step."""
        if not cursor.startswith(_PACKS):
            return
        pack, following = keys.split_place(cursor[1:]) if cursor[1:] else (0, None)
        while True:
            if following is None:
                found = await self._look(partial(_pack_beyond, pack=pack))
                if found is None:
                    return
                pack, following = found, 0
                self._count["packs"] += 1
            following = await self._step(pack, following)
            yield _PACKS + keys.place(pack, _END if following is None else following)

    async def _step(self, pack: int, start: int) -> int | None:
        step = await self._check(pack, start)
        self._count.update(chunks=step.chunks, bytes=step.size)
        if not step.is_settled:
            settled = await self._quarantine.settle(pack, start)
            self._count.update(found=settled.found, mended=settled.mended)
        return step.following

    async def _check(self, pack: int, start: int) -> Step:
        """One step; a shortage of memory or files is waited for.

        Raises:
            Busy: it lasts.
        """
        check = partial(check_step, self._works.environment, self._works.root)
        for _ in range(PATIENCE):
            with suppress(Busy):
                return await trio.to_thread.run_sync(check, pack, start)
            await trio.sleep(1)
        return await trio.to_thread.run_sync(check, pack, start)

    async def _inlines(self, cursor: bytes) -> AsyncGenerator[bytes, None]:
        """Step through what lives in the index."""
        after: bytes | None = cursor[1:] if cursor.startswith(_INLINES) else b""
        while after is not None:
            step = await self._look(partial(check_inlines, after=after))
            self._count.update(objects=step.objects, bytes=step.size)
            for digest in step.doubtful:
                settled = await self._quarantine.settle_inline(digest)
                self._count.update(found=settled.found, mended=settled.mended)
            after = step.following
            if after is not None:
                yield _INLINES + after

    async def _rest(self) -> None:
        """Wait as long as the rate wants, unless somebody else waits."""
        now, size = trio.current_time(), self._count["bytes"]
        seconds = pause(size - self._rested[0], self._task.bytes_per_second, now - self._rested[1])
        with trio.move_on_after(seconds):
            await self._others.wanted.wait()
        self._rested = size, trio.current_time()

    async def _is_to_end(self, cursor: bytes) -> bool:
        """Keep the cursor from time to time; say whether to make way."""
        is_to_end = self._others.makes_way and self._others.wanted.is_set()
        if is_to_end or trio.current_time() >= self._saved + CURSOR_SECONDS:
            await self._save(cursor)
        return is_to_end

    async def _save(self, cursor: bytes) -> None:
        """Note how far it is; first mark whom it hurts, in one look through all extents."""
        await self._quarantine.mark_hurt()
        value = keys.u64(self._pass) + cursor if cursor else b""
        await self._works.writer.write(partial(_write_cursor, value=value))
        self._saved = trio.current_time()

    async def _look(self, look: Callable[[View], Any]) -> Any:  # noqa: ANN401 - what `look` returns
        return await trio.to_thread.run_sync(self._works.environment.read, look)


def _pack_beyond(view: View, pack: int) -> int | None:
    found = next(view.scan("pack", after=keys.u64(pack)), None)
    return None if found is None else keys.number(found[0])


def _write_cursor(transaction: Transaction, value: bytes) -> None:
    if value:
        transaction.put("meta", keys.META_SCRUB, value)
    elif transaction.get("meta", keys.META_SCRUB) is not None:
        transaction.delete("meta", keys.META_SCRUB)
