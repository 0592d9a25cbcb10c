"""Tasks that serve a block: they outlast its cancellation, because what it began needs them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio

Run = Callable[[], Awaitable[None]]


@asynccontextmanager
async def background(*runs: Run) -> AsyncIterator[None]:
    """Run tasks until the block is left, however it is left.

    A cancellation from outside reaches the block, not them: a commit in it is shielded, and would
    wait forever for a hasher that has gone. An error in one of them cancels the block.
    """
    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope(shield=True)
        nursery.start_soon(_run_all, runs, scope)
        try:
            yield
        finally:
            scope.cancel()


async def _run_all(runs: tuple[Run, ...], scope: trio.CancelScope) -> None:
    with scope:
        async with trio.open_nursery() as nursery:
            for run in runs:
                nursery.start_soon(run)


async def together(*runs: Run) -> None:
    """Run tasks side by side to their ends; the first one's error leaves first, ungrouped."""
    errors: dict[Run, Exception] = {}

    async def note(run: Run) -> None:
        try:
            await run()
        except Exception as error:  # noqa: BLE001 - raised below, when the others have ended
            errors[run] = error

    async with trio.open_nursery() as nursery:
        for run in runs:
            nursery.start_soon(note, run)
    for run in runs:
        if run in errors:
            raise errors[run]
