"""Writes the logins that gathered into the journal, each minute and in the end."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio

from frontend.errors import KNOWN_ERRORS
from frontend.registry.call import Registry

INTERVAL: Final = 60.0  # seconds
LAST_SECONDS: Final = 2.0  # for what gathered last, when the server ends

_log = logging.getLogger("orlop.journal")


@asynccontextmanager
async def keeping(registry: Registry) -> AsyncIterator[None]:
    """Write them each minute within the block, and once more when it is left in order."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_write_each_minute, registry)
        yield
        nursery.cancel_scope.cancel()
    with trio.move_on_after(LAST_SECONDS):
        await write(registry)


async def _write_each_minute(registry: Registry) -> None:
    while True:
        await trio.sleep(INTERVAL)
        await write(registry)


async def write(registry: Registry) -> None:
    """Write what has gathered. If that fails it is lost: the log has its number."""
    entries = registry.limits.logins.take()
    if not entries:
        return
    try:
        await registry.store.commit([registry.noted(entry) for entry in entries])
    except KNOWN_ERRORS as error:
        _log.warning("%d logins were not written to the journal: %s", len(entries), error)
