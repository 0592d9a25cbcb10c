"""A download that goes on where it broke off, as long as it is still the same bytes.

    async with fetching(client, Wanted(path, "blobs", str(digest)), size) as transfer:
        while count := await transfer.receive_into(view):
            ...

Whether the bytes are the right ones, only their digest says.
"""

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Final

import trio

from frontend.upstream.answers import Answer, Wanted
from frontend.upstream.client import UpstreamClient
from frontend.upstream.connection import Take
from frontend.upstream.errors import (
    UpstreamBroken,
    UpstreamChanged,
    UpstreamFault,
    UpstreamLimited,
    UpstreamUnavailable,
)

BLOCK: Final = 1 << 20  # bytes: whoever writes them pays about 150 µs for each block
ATTEMPTS: Final = 5  # in a row that bring less than PROGRESS bytes
PROGRESS: Final = 8 << 20
FIRST_PAUSE: Final = 0.25  # seconds; twice as long each time, less up to a half at random
MAX_PAUSE: Final = 30.0  # seconds: an upstream that wants a longer rest ends the transfer


class Transfer:
    """Bytes from `wanted.start` on; made by `fetching`, and closed by it."""

    def __init__(
        self, client: UpstreamClient, stack: AsyncExitStack, wanted: Wanted, answer: Answer
    ) -> None:
        self.answer = answer  # the first one: media type, digest and the rest
        self.size = answer.length  # of the whole; None: unknown, and it ends where it ends
        self.offset = wanted.start  # of the next byte
        self.resumed = 0  # times
        self._client = client
        self._stack = stack
        self._wanted = wanted
        self._current = answer
        self._attempts = 0
        self._resumed_at = wanted.start

    def expect(self, size: int | None) -> None:
        """Have it end at `size`, if that is known.

        Raises:
            UpstreamChanged: the upstream says that it has another one.
        """
        if size is not None and self.answer.length not in (None, size):
            raise self._changed(f"{self.answer.length} bytes instead of {size}")
        self.size = self.size if size is None else size

    async def receive_into(self, view: memoryview) -> int:
        """Receive at least a byte, at most `view`; 0 once all has come. May wait for a new start.

        Raises:
            UpstreamFault: it cannot go on. What came before is the beginning of the whole.
        """
        while True:
            try:
                count = await self._received(view)
            except UpstreamBroken as fault:
                await self._resume(fault)
                continue
            self.offset += count
            return count

    async def move(self, take: Take) -> int | None:
        """Have some bytes taken from the socket itself; see `Connection.move`.

        Raises:
            UpstreamChanged: there are more than there should be.
            Whatever `take` raises.
        """
        count = await self._current.move(take)
        self.offset += count or 0
        if self.size is None:
            return count
        if self.offset > self.size:
            raise self._changed(f"more than {self.size} bytes")
        return count

    async def iter_blocks(self) -> AsyncIterator[bytes]:
        """Yield what is there, up to 1 MiB, as it comes."""
        view = memoryview(bytearray(BLOCK))
        while count := await self.receive_into(view):
            yield bytes(view[:count])

    async def _received(self, view: memoryview) -> int:
        count = await self._current.receive_into(view)
        if self.size is None:
            return count
        if count == 0 and self.offset < self.size:
            why = f"it ended after {self.offset} of {self.size} bytes"
            raise UpstreamBroken(str(self._client.upstream.origin), why)
        if self.offset + count > self.size:
            raise self._changed(f"more than {self.size} bytes")
        return count

    async def _resume(self, fault: UpstreamFault) -> None:
        """Ask for what is missing, after a pause; several times, or give up with the last fault."""
        if self.offset - self._resumed_at >= PROGRESS:
            self._attempts = 0
        self._resumed_at = self.offset
        while True:
            await self._stack.aclose()
            self._attempts += 1
            if self._attempts > ATTEMPTS or not _is_passing(fault):
                raise fault
            await trio.sleep(_pause(fault, self._attempts))
            self.resumed += 1
            try:
                await self._open()
            except UpstreamFault as again:
                fault = again
            else:
                return

    async def _open(self) -> None:
        """Ask for the rest, and see that it is part of the same."""
        wanted = replace(self._wanted, start=self.offset)
        answer = await self._stack.enter_async_context(self._client.open("GET", wanted))
        if None not in (self.size, answer.length) and answer.length != self.size:
            raise self._changed(f"{answer.length} bytes instead of {self.size}")
        for name in ("etag", "docker-content-digest"):
            old, new = self.answer.headers.get(name), answer.headers.get(name)
            if None not in (old, new) and old != new:
                raise self._changed(f"another {name}")
        self._current = answer

    def _changed(self, why: str) -> UpstreamChanged:
        return UpstreamChanged(str(self._client.upstream.origin), why)


def _is_passing(fault: UpstreamFault) -> bool:
    """Whether it may be over after a pause, and one that a reader can wait for."""
    if isinstance(fault, UpstreamUnavailable | UpstreamLimited):
        return (fault.retry_after or 0.0) <= MAX_PAUSE
    return isinstance(fault, UpstreamBroken) and not isinstance(fault, UpstreamChanged)


def _pause(fault: UpstreamFault, attempt: int) -> float:
    own = FIRST_PAUSE * 2.0 ** (attempt - 1) * (1.0 - random.random() / 2)  # noqa: S311 - no secret
    return max(own, getattr(fault, "retry_after", None) or 0.0)


@asynccontextmanager
async def fetching(
    client: UpstreamClient, wanted: Wanted, size: int | None = None
) -> AsyncIterator[Transfer]:
    """Begin a transfer of `size` bytes in all, where that is known; leaving early ends it.

    Raises:
        UpstreamFault: it cannot begin, or is not of that size.
    """
    async with AsyncExitStack() as stack:
        answer = await stack.enter_async_context(client.open("GET", wanted))
        transfer = Transfer(client, stack, wanted, answer)
        transfer.expect(size)
        yield transfer
