"""From an upstream's socket into an upload: past this process where that can be."""

from typing import Final

import trio

from cas.verbs import Upload
from frontend.server.groups import sole_leaf
from frontend.upstream.transfers import Transfer
from frontend.upstream.wire import WIDE

MOST: Final = 4 << 20  # bytes in memory that came while others were appended


async def pour(coming: Transfer, upload: Upload) -> None:
    """Append all that comes.

    Raises:
        UpstreamFault: it does not come. What came before is appended, or lost with the upload.
        CasError: it cannot be appended.
    """
    offset = coming.offset  # and not the upload's size, which others may change

    async def take(peer: trio.socket.SocketType, most: int) -> int:
        nonlocal offset
        before, offset = offset, await upload.receive(offset, peer, most)
        return offset - before

    view = memoryview(bytearray(WIDE))
    while True:
        while moved := await coming.move(take):
            pass
        if moved is None:
            await _pour_copies(coming, upload, offset)
            return
        count = await coming.receive_into(view)
        if not count:
            return
        offset = await upload.append(offset, view[:count])


async def _pour_copies(coming: Transfer, upload: Upload, offset: int) -> None:
    """Append what this process has to see, as under TLS, while more of it comes."""
    ahead = _Ahead()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_receive, coming, ahead)
            while blocks := await ahead.take():
                offset = await upload.append(offset, *blocks)
    except BaseExceptionGroup as group:  # of the nursery: one error, wrapped
        raise sole_leaf(group) from None


async def _receive(coming: Transfer, ahead: "_Ahead") -> None:
    async for block in coming.iter_blocks():
        await ahead.put(block)
    ahead.end()


class _Ahead:
    """Blocks that came while others were appended: `MOST` bytes, and one block."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self._size = 0
        self._is_over = False
        self._came = trio.Event()
        self._taken = trio.Event()

    async def put(self, block: bytes) -> None:
        """Have a block appended, once there is room."""
        while self._size >= MOST:
            self._taken = trio.Event()
            await self._taken.wait()
        self._blocks.append(block)
        self._size += len(block)
        self._came.set()

    def end(self) -> None:
        """That was the last one."""
        self._is_over = True
        self._came.set()

    async def take(self) -> list[bytes]:
        """All that came, as soon as anything did; nothing: there is no more."""
        await self._came.wait()
        blocks, self._blocks, self._size = self._blocks, [], 0
        if not self._is_over:
            self._came = trio.Event()
        self._taken.set()
        return blocks
