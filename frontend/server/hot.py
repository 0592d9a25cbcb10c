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

    @property
    def is_last(self) -> bool:
        """Whether the client wants the connection to end."""

    def finish(self, sent: int) -> None:
        """Close the blobs, and note that `sent` bytes of the body went out."""


class HotReads(Protocol):
    """Finds answers; `block` is a head as it came. None: the next one is asked, or the application.

    In this order, because each costs more than the one before. `address` is the connection's.
    """

    def recall(self, block: bytes, address: str) -> HotRead | None:
        """The answer, if the very same was just asked; the head need not be parsed for it."""

    def find(self, block: bytes, head: Head, address: str) -> HotRead | None:
        """The answer, if it is known at once who asks."""

    async def prove(self, block: bytes, head: Head, address: str) -> HotRead | None:
        """The answer, after whoever asks was asked for proof."""


class NoHotReads:
    """Leaves everything to the application."""

    def recall(self, _: bytes, __: str) -> None:
        """Nothing."""

    def find(self, _: bytes, __: Head, ___: str) -> None:
        """Nothing."""

    async def prove(self, _: bytes, __: Head, ___: str) -> None:
        """Nothing."""
