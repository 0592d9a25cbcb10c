"""What a connection must know of reads that it answers itself, before any application starts."""

from collections.abc import Sequence
from typing import Protocol

from frontend.domain.message import Slice
from frontend.server.heads import Head


class HotRead(Protocol):
    """An answer at hand. Its blobs are open until `finish`, which must be called."""

    @property
    def beginning(self) -> bytes:
        """Status and fields, without those that every answer ends its head with."""

    @property
    def body(self) -> Sequence[bytes | Slice]:
        """What follows the head."""

    def finish(self, sent: int) -> None:
        """Close the blobs, and note that `sent` bytes of the body went out."""


class HotReads(Protocol):
    """Finds answers. None: the application answers this one."""

    def find(self, head: Head) -> HotRead | None:
        """The answer, if it is known at once who asks."""

    async def prove(self, head: Head) -> HotRead | None:
        """The answer, after whoever asks was asked for proof; called when `find` found none."""


class NoHotReads:
    """Leaves everything to the application."""

    def find(self, _: Head) -> None:
        """Nothing."""

    async def prove(self, _: Head) -> None:
        """Nothing."""
