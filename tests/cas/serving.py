"""A daemon within the test's own process, around a store that the test can reach."""

from contextlib import asynccontextmanager

import trio

from cas.remote import wire
from cas.remote.calls import Calls
from cas.remote.daemon import serve_store
from tests.cas.daemons import listening
from tests.cas.pushing import OWNER


@asynccontextmanager
async def served(store, root):
    """The daemon of `store`, within this process, for a block."""
    with listening(root) as listener:
        async with trio.open_nursery() as nursery:
            await nursery.start(serve_store, store, listener)
            yield nursery.cancel_scope
            nursery.cancel_scope.cancel()


class Gate:
    """An `extend` that lasts until it is let go."""

    def __init__(self, *, is_shielded: bool) -> None:
        self.begun, self.go, self.ended = trio.Event(), trio.Event(), trio.Event()
        self._is_shielded = is_shielded
        self.is_cancelled = False

    async def __call__(self, image, digest):
        self.begun.set()
        try:
            with trio.CancelScope(shield=self._is_shielded):
                await self.go.wait()
        except trio.Cancelled:
            self.is_cancelled = True
            raise
        finally:
            self.ended.set()


async def stage(calls: Calls, key: str | None = None) -> wire.Staged:
    if key is not None:
        await calls.be_present()
    return await calls.call_whole(wire.Stage(OWNER, None, key), wire.Staged)
