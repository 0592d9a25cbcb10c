"""`orlop serve --workers N`: one daemon, N workers, and nothing else in this process.

It binds the sockets and hands them on; it never accepts, and it knows neither HTTP nor the index.
"""

import logging
import os
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import trio

from frontend import log
from frontend.greeting import FirstStart, greeting, password_words, public_url
from frontend.server.binding import Bound, open_bound
from frontend.settings import Settings, SettingsError, count_workers
from frontend.workers.fleet import Fleet
from frontend.workers.keeper import Keeper, StartFailed
from frontend.workers.launch import Launch
from frontend.workers.orders import Ready
from frontend.workers.signals import heed_signals
from frontend.workers.until import Until

_log = logging.getLogger("orlop.supervisor")


async def run(launch: Launch, environment: Mapping[str, str]) -> None:
    """Serve until a signal.

    Raises:
        OSError: the address or the data directory cannot be used.
        StartFailed: a process says why it cannot work.
    """
    log.configure(launch.settings.log, process="supervisor")
    with open_bound(launch.settings.http.listen, launch.handed) as bound:
        supervisor = _Supervisor(launch, bound, environment)
        async with trio.open_nursery() as nursery:
            await nursery.start(heed_signals, supervisor)
            await supervisor.run()
            nursery.cancel_scope.cancel()


class _Supervisor:
    """What signals do (`frontend.workers.signals.Server`), and what happens then."""

    def __init__(self, launch: Launch, bound: Bound, environment: Mapping[str, str]) -> None:
        self._launch = launch
        self._bound = bound
        self._fleet = Fleet(bound, environment, is_terminal=sys.stdout.isatty())
        self._daemon = self._fleet.daemon(launch.settings)
        self._workers: list[Keeper] = []
        self._stop = Until()
        self._hangup = trio.Event()  # SIGHUP came

    @property
    def _url(self) -> str:
        return public_url(self._launch.settings, self._bound.port)

    def end(self) -> None:
        """SIGTERM."""
        self._launch.notifier.stopping()
        self._stop.set()

    def end_at_once(self) -> None:
        """The second one."""
        self._fleet.kill()
        os._exit(1)

    def reload(self) -> None:
        """SIGHUP; several while one is being taken up count as one."""
        self._hangup.set()

    async def run(self) -> None:
        """Start everything, keep it, and end it in order: the daemon last."""
        async with trio.open_nursery() as daemons:
            first = await self._stop.wait_for(partial(daemons.start, self._daemon.run))
            if first is not None:
                await self._run_workers(first, daemons)
            self._daemon.retire()

    async def _run_workers(self, first: Ready, daemons: trio.Nursery) -> None:
        words = _greeting(self._url, first)
        try:
            self._bound.open_admin(Path(self._launch.settings.storage.data))
            async with trio.open_nursery() as workers:
                await self._stop.wait_for(partial(self._start_workers, workers))
                if not self._stop.is_set:
                    self._say(words)
                    words = ""
                    await self._stop.wait_for(partial(self._heed_hangups, daemons, workers))
                self._bound.close()
                self._fleet.retire_workers()
        finally:
            if words:  # we failed, or were stopped: the password would be lost
                _write(password_words(_first_start(first)))

    async def _start_workers(self, workers: trio.Nursery) -> None:
        self._workers = self._new_workers()
        async with trio.open_nursery() as starting:
            for keeper in self._workers:
                starting.start_soon(workers.start, keeper.run)

    def _new_workers(self) -> list[Keeper]:
        settings = self._launch.settings
        count = count_workers(settings)
        numbers = range(1, count + 1)
        return [self._fleet.worker(number, count, settings, self._url) for number in numbers]

    def _say(self, words: str) -> None:
        if not self._launch.is_resumed:
            _write(words)
        self._say_ready()

    def _say_ready(self) -> None:
        count = len(self._workers)
        self._launch.notifier.ready(f"serving {self._url}: {count} workers and the storage daemon")

    # --- a new configuration ---

    async def _heed_hangups(self, daemons: trio.Nursery, workers: trio.Nursery) -> None:
        while True:
            await self._hangup.wait()
            self._hangup = trio.Event()
            before = self._launch.configured
            try:
                self._launch.reread()
            except SettingsError as error:
                _log.error("the configuration was not taken up: %s", error)
                continue
            self._launch.notifier.reloading()
            if await self._take_up(before, daemons, workers):
                log.configure(self._launch.settings.log, process="supervisor")
                _log.info("the configuration was taken up")
            else:
                self._launch.configured = before
            self._say_ready()

    async def _take_up(
        self, before: Settings, daemons: trio.Nursery, workers: trio.Nursery
    ) -> bool:
        """Replace what the change is about; returns whether all of it works."""
        is_daemons = _of_daemon(before) != _of_daemon(self._launch.configured)
        if is_daemons and not await self._replace_daemon(before, daemons):
            return False
        return await self._replace_workers(workers)

    async def _replace_daemon(self, before: Settings, daemons: trio.Nursery) -> bool:
        """End the daemon, then start the new one: there can be only one. Reads go on meanwhile."""
        self._daemon.retire()
        await self._daemon.ended.wait()
        self._daemon = self._fleet.daemon(self._launch.settings)
        try:
            await daemons.start(self._daemon.run)
        except StartFailed as error:
            _log.error("the configuration was not taken up: the daemon: %s", error)
            self._daemon = self._fleet.daemon(before)
            daemons.start_soon(partial(self._daemon.run, is_patient=True))
            return False
        return True

    async def _replace_workers(self, workers: trio.Nursery) -> bool:
        """Each new one is ready before an old one drains. Those that cannot be replaced stay."""
        old = self._workers
        new = self._new_workers()
        for number, keeper in enumerate(new):
            try:
                await workers.start(keeper.run)
            except StartFailed as error:
                _log.error("the configuration was not taken up: %s: %s", keeper.name, error)
                self._workers = new[:number] + old[number:]
                return False
            if number < len(old):
                old[number].retire()
        for keeper in old[len(new) :]:
            keeper.retire()
        self._workers = new
        return True


def _of_daemon(settings: Settings) -> object:
    """What of the configuration the daemon goes by."""
    return settings.storage, settings.gc, settings.scrub, settings.log


def _first_start(first: Ready) -> FirstStart | None:
    file = None if first.file is None else Path(first.file)
    return FirstStart(first.password, file) if first.is_first else None


def _greeting(url: str, first: Ready) -> str:
    return greeting(url, _first_start(first))


def _write(words: str) -> None:
    sys.stdout.write(words)
    sys.stdout.flush()
