"""What a supervisor and its processes say to each other: one line of JSON each.

The order goes out first, one of the answers comes back. Then `DRAIN` asks for an orderly end, and
so does the end of the connection.
"""

from typing import Final, Literal

import msgspec

from frontend.domain.discreet import Discreet
from frontend.settings import Settings

DRAIN: Final = b"drain\n"

Role = Literal["daemon", "worker"]


class Shared(msgspec.Struct, frozen=True, kw_only=True):
    """What workers have in common: descriptors, by the numbers under which they inherit them."""

    public: tuple[int, ...]
    admin: int
    shares: int  # the page of `shares.py`
    url: str
    workers: int  # how many there are to be

    @property
    def descriptors(self) -> tuple[int, ...]:
        """All that a worker inherits."""
        return (*self.public, self.admin, self.shares)


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a new process is to be. `is_terminal`: what it says will be read by a person."""

    name: str  # in logs
    role: Role
    settings: Settings
    is_terminal: bool = False
    shared: Shared | None = None  # a worker's
    slot: int = 0  # a worker's, in the page of shares


class Ready(Discreet, msgspec.Struct, frozen=True, kw_only=True, tag="ready"):
    """It works. After a first start: whether, which password to show, and which file holds it."""

    is_first: bool = False
    password: str | None = None
    file: str | None = None


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """It cannot. `is_final`: it said so itself, and another one would say the same."""

    reason: str
    is_final: bool = True


Answer = Ready | Failed


def encode(message: Order | Answer) -> bytes:
    """One line."""
    return msgspec.json.encode(message) + b"\n"


def decode_order(line: bytes) -> Order:
    """What the supervisor wants."""
    return msgspec.json.decode(line, type=Order)


def decode_answer(line: bytes) -> Answer:
    """What a process says."""
    answer: Answer = msgspec.json.decode(line, type=Ready | Failed)
    return answer
