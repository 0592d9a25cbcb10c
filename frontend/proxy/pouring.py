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
    offset = upload.size

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
    send, receive = trio.open_memory_channel[list[bytes]](0)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_receive, coming, send)
            async with receive:
                async for blocks in receive:
                    offset = await upload.append(offset, *blocks)
    except BaseExceptionGroup as group:  # of the nursery: one error, wrapped
        raise sole_leaf(group) from None


async def _receive(coming: Transfer, send: trio.MemorySendChannel[list[bytes]]) -> None:
    blocks: list[bytes] = []
    size = 0
    async with send:
        async for block in coming.iter_blocks():
            blocks.append(block)
            size += len(block)
            try:
                send.send_nowait(blocks)  # the appender waits
            except trio.WouldBlock:
                if size < MOST:
                    continue
                await send.send(blocks)
            blocks, size = [], 0
        if blocks:
            await send.send(blocks)
