"""Keeping one process alive: it is started again whenever it ends, until it is to retire."""

import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio

from frontend.workers.backoff import Backoff
from frontend.workers.orders import Failed, Ready
from frontend.workers.process import Process
from frontend.workers.until import Until

MAX_STARTS: Final = 3  # of a process that is killed again and again before it is ready

_log = logging.getLogger("orlop.supervisor")

Start = Callable[[], AbstractAsyncContextManager[Process]]


@dataclass(eq=False)
class StartFailed(Exception):
    """A process could not be started at all."""

    reason: str

    def __str__(self) -> str:
        return self.reason


class Keeper:
    """One process and its successors. `grace` is the seconds it may take to end when asked."""

    def __init__(self, name: str, start: Start, grace: float) -> None:
        self.name = name
        self.ended = trio.Event()  # there will be no other process
        self._process: Process | None = None
        self._start = start
        self._grace = grace
        self._retiring = Until()
        self._backoff = Backoff()
        self._is_patient = False  # from the first answer on

    def retire(self) -> None:
        """Let the process end, and start no other."""
        self._retiring.set()

    def kill(self) -> None:
        """End the process now."""
        if self._process is not None:
            self._process.kill()

    async def run(
        self,
        *,
        is_patient: bool = False,
        task_status: trio.TaskStatus[Ready] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Keep it until `retire`; `started` with the first one's answer.

        With `is_patient` no start is the last.

        Raises:
            StartFailed: the first one was never ready.
        """
        self._is_patient = is_patient
        try:
            while not self._retiring.is_set:
                lived = await self._keep_one(task_status)
                if not self._retiring.is_set:
                    delay = self._backoff.delay(lived)
                    _log.warning("%s is started again in %.1f s", self.name, delay)
                    await self._retiring.wait_for(partial(trio.sleep, delay))
        finally:
            self.ended.set()

    async def _keep_one(self, task_status: trio.TaskStatus[Ready]) -> float:
        """One process, from start to end; returns how many seconds it was ready."""
        try:
            async with self._start() as process:
                self._process = process
                answer = await self._retiring.wait_for(process.wait_answer)
                if isinstance(answer, Ready):
                    if not self._is_patient:
                        self._is_patient = True
                        task_status.started(answer)
                    return await self._watch(process)
        except OSError as error:  # the system is out of something
            answer = Failed(reason=str(error), is_final=False)
        finally:
            self._process = None
        if answer is not None:
            self._refuse(answer)
        return 0.0

    async def _watch(self, process: Process) -> float:
        began = trio.current_time()
        _log.info("%s is ready as process %d", self.name, process.pid)
        await self._retiring.wait_for(process.wait)
        if self._retiring.is_set:
            await self._end(process)
        level = logging.INFO if self._retiring.is_set else logging.ERROR
        _log.log(level, "%s, process %d, %s", self.name, process.pid, process.end)
        return trio.current_time() - began

    async def _end(self, process: Process) -> None:
        """Ask the process to end, and see to it."""
        await process.drain()
        with trio.move_on_after(self._grace) as grace:
            await process.wait()
        if grace.cancelled_caught:
            _log.error("%s did not end in %.0f s and is killed", self.name, self._grace)
            process.kill()
            await process.wait()

    def _refuse(self, failed: Failed) -> None:
        """Decide whether a failed start was the last.

        Raises:
            StartFailed: it was.
        """
        is_last = failed.is_final or self._backoff.failures + 1 >= MAX_STARTS
        if not self._is_patient and is_last:
            raise StartFailed(failed.reason)
        _log.error("%s could not be started: %s", self.name, failed.reason)
