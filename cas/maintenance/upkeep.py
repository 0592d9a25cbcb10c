"""Maintenance of one store: collecting, clearing, scrubbing and mending, asked for or not.

Besides, each hour it is noted how much is stored.
"""

import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Final

import trio

from cas.errors import CasError, StoreFailed
from cas.maintenance.clearing import Clearer
from cas.maintenance.collector import Collector
from cas.maintenance.measuring import EVERY, FIRST, note_if_due
from cas.maintenance.mending import Mender
from cas.maintenance.quarantine import Quarantine
from cas.maintenance.scrubber import Scrubber
from cas.placing import Placer
from cas.reporting import keep_reporting
from cas.tasks import Run
from cas.verbs import Collect, Scrub, Told
from cas.works import Works
from index.changes import MarkDamaged
from index.errors import IndexFault
from index.records import Place

LOOK_SECONDS: Final = 60.0  # between looks whether a scrub is due, and at what is damaged

_log = logging.getLogger("orlop.upkeep")

Worded = Callable[[], AbstractContextManager[None]]


class Upkeep:
    """All maintenance but fsck, which needs none of this; one per store.

    `worded` is `Failing.maintaining` of the store.
    """

    def __init__(self, works: Works, placer: Placer, worded: Worded) -> None:
        self._works = works
        self._worded = worded
        self._looked = Place(0, 0)  # how far what is damaged was looked at again
        self._rest = 0.0  # seconds until it is to be noted how much is stored
        self.quarantine = Quarantine(works)
        self.mender = Mender(works, placer)
        self._scrubber = Scrubber(works, self.quarantine, self.mender)
        self.clearer = Clearer(works)
        self._collector = Collector(works, self.clearer)

    def run(self, task: Collect | Scrub) -> AsyncGenerator[Told, None]:
        """What somebody asked for."""
        return self._collector.run(task) if isinstance(task, Collect) else self._scrubber.run(task)

    async def believe(self, reports: Sequence[MarkDamaged | Place]) -> None:
        """Look at what readers report; what cannot be looked at now is reported again."""
        if reports:
            await self._go_on(partial(self.quarantine.believe, reports))
            self.mender.wake()

    # --- what nobody asks for, until cancelled ---

    def unasked(self, collecting: float, scrubbing: float, rate: int) -> tuple[Run, ...]:
        """The tasks: collections and scrubs every so many seconds, scrubs of `rate` bytes/s."""
        return (
            self.keep_reporting,
            self.keep_mending,
            self.keep_looking,
            self.keep_clearing,
            partial(self.keep_collecting, collecting),
            partial(self.keep_scrubbing, scrubbing, rate),
            self.keep_noting_growth,
        )

    async def keep_reporting(self) -> None:
        """Look each second at what readers of this process found damaged."""
        await keep_reporting(self._works.packs, self._works.environment, self.believe)

    async def keep_mending(self) -> None:
        """Mend when something changed that may help."""
        while True:
            await self.mender.wait_woken()
            await self._go_on(self._mend)

    async def keep_looking(self) -> None:
        """Each minute look again at some of what is damaged: a disk may be back."""
        await self._go_on(self.quarantine.resume)
        while True:
            await self._go_on(self._look_again)
            self.mender.wake()
            await trio.sleep(LOOK_SECONDS)

    async def keep_clearing(self) -> None:
        """Take deleted repositories apart, at once; what could not be is part of a collection."""
        while True:
            await self.clearer.wait_woken()
            await self._go_on(self._clear)

    async def keep_collecting(self, every: float) -> None:
        """Collect every so many seconds; 0: never."""
        while every:
            await trio.sleep(every)
            await self._go_on(self._collect)

    async def keep_scrubbing(self, every: float, rate: int) -> None:
        """Scrub at `rate` bytes/s when the last whole scrub is `every` seconds ago; 0: never."""
        while every:
            await trio.sleep(LOOK_SECONDS)
            await self._go_on(partial(self._scrub_if_due, every, rate))

    async def keep_noting_growth(self) -> None:
        """Note each hour how much is stored."""
        self._rest = FIRST
        while True:
            await trio.sleep(self._rest)
            self._rest = EVERY  # also when it fails
            await self._go_on(self._note_growth)

    async def _go_on(self, work: Run) -> None:
        """What cannot be done now is done another time."""
        try:
            with self._worded():
                await work()
        except StoreFailed:
            raise
        except (CasError, IndexFault) as error:
            _log.warning("maintenance ended early: %s", error)

    async def _mend(self) -> None:
        await self.mender.mend()

    async def _clear(self) -> None:
        await self.clearer.clear()

    async def _look_again(self) -> None:
        await self.quarantine.mark_hurt()
        self._looked = await self.quarantine.look_again(self._looked)

    async def _note_growth(self) -> None:
        self._rest = await note_if_due(self._works)

    async def _collect(self) -> None:
        async for _ in self._collector.run(Collect(is_thorough=False)):
            pass

    async def _scrub_if_due(self, every: float, rate: int) -> None:
        if await self._scrubber.is_due(every):
            async for _ in self._scrubber.run(Scrub(bytes_per_second=rate), is_asked=False):
                pass
