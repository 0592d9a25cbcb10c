"""Mending: objects that are hurt are laid out anew, from sound chunks, under another id.

Whoever pushes the bytes again brings the lost chunks (`cas.placing`): they are appended as any new
ones are, and the object's row tells of the new layout from then on. The chunks have names, so they
mend every other hurt object that has them, here: so does a push of something else that shares
them. No pack is changed, nobody waits, and who reads the old layout goes on; what is left of that
is garbage as any other.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

import trio

from cas.digest import Digest
from cas.errors import Busy
from cas.placing import Known, Placer
from cas.uploads.chunking import ChunkList
from cas.works import Works
from index.damage import clear_hurt, iter_hurt, iter_lost
from index.records import Damage
from index.transaction import Transaction
from index.view import View

T = TypeVar("T")

MOMENT: Final = 0.1  # seconds between two looks at all that is hurt

_log = logging.getLogger("orlop.scrub")


class Mender:
    """Mends what can be mended without anybody's help; one per store."""

    def __init__(self, works: Works, placer: Placer) -> None:
        self._works = works
        self._placer = placer
        self._alone = trio.Lock()
        self._woken = trio.Event()

    def wake(self) -> None:
        """Something has changed: look again."""
        self._woken.set()

    async def wait_woken(self) -> None:
        """Wait until there may be something to mend; a moment at least."""
        await self._woken.wait()
        await trio.sleep(MOMENT)
        self._woken = trio.Event()

    async def mend(self) -> int:
        """Mend every hurt object whose lost chunks are somewhere else, or sound again.

        Returns how many. One look, and nothing else, when nothing is hurt.

        Raises:
            NoSpace, WriterBusy, IndexFailed: what was mended stays mended.
        """
        async with self._alone:
            mended = 0
            for object_id, damage in await self._look(lambda view: list(iter_hurt(view))):
                try:
                    mended += await self._mend_one(object_id, damage)
                except Busy:
                    continue  # a chunk went meanwhile: another time
            return mended

    async def _mend_one(self, object_id: int, damage: Damage) -> bool:
        digest = Digest(damage.name)
        found = await self._look(partial(_find_chunks, object_id=object_id, digest=digest))
        if found is None:
            return False
        if found.size:
            is_mended = await self._placer.rebuild(digest, found)
        else:
            is_mended = await self._works.writer.write(partial(_clear, object_id=object_id))
        if is_mended:
            _log.info("%s is mended", digest)
        return is_mended

    async def _look(self, look: Callable[[View], T]) -> T:
        return await trio.to_thread.run_sync(self._works.environment.read, look)


def _find_chunks(view: View, object_id: int, digest: Digest) -> ChunkList | None:
    """The chunks to lay an object out anew; none when it is sound; None: some are nowhere."""
    row = view.object(digest.key)
    if row is None or row.id != object_id or view.inline(object_id) is not None:
        return None
    chunks = ChunkList()
    if next(iter_lost(view, object_id), None) is None:
        return chunks
    known = Known(view)
    for extent in view.extents(object_id):
        stop = extent.offset + extent.length
        for _, at in view.iter_chunks_over(extent.pack, extent.offset, stop):
            if not known.has(at.name):
                return None
            chunks.append(at.name, at.length)
    return chunks if chunks.size == row.size else None  # else the index lacks some of it


def _clear(transaction: Transaction, object_id: int) -> bool:
    """What was damaged is sound again: a disk came back."""
    is_lost = next(iter_lost(transaction, object_id), None) is not None
    return not is_lost and clear_hurt(transaction, object_id)
