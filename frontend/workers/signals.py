"""What signals ask of a server: SIGTERM and SIGINT to end, SIGHUP to take up its configuration."""

import os
import signal
from typing import Protocol

import trio

_WANTED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Server(Protocol):
    """What obeys."""

    def end(self) -> None:
        """Drain, and end."""

    def end_at_once(self) -> None:
        """End now: the second signal."""

    def reload(self) -> None:
        """Take up the configuration as it is now."""


def hold_reloads() -> None:
    """Let a SIGHUP wait until `heed_signals` runs. One that comes before would end the process.

    The mask outlives `exec`, so nothing is lost while a process replaces itself.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})


async def heed_signals(
    server: Server, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Obey, until cancelled."""
    is_ending = False
    had_terminal = os.isatty(0)
    with trio.open_signal_receiver(*_WANTED) as signals:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        try:
            task_status.started()
            async for number in signals:
                # A terminal that is gone says so with SIGHUP too; who started us there has left.
                if number == signal.SIGHUP and not (had_terminal and not os.isatty(0)):
                    server.reload()
                elif is_ending:
                    server.end_at_once()
                else:
                    is_ending = True
                    server.end()
        finally:
            hold_reloads()
