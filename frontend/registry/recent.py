"""Whole requests and what was just answered to them: the same bytes on the same snapshot.

Exact, not nearly so: an answer depends on nothing but the request and the snapshot, any commit ends
all that is remembered, and nothing outlives the proof of who asked. A request holds a credential,
so it is kept as a keyed hash.
"""

import math
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from blake3 import blake3

from frontend.domain.message import Slice

MAX_BLOCK: Final = 4096  # bytes of a request that is worth remembering
MAX_KEPT: Final = 8 << 20  # bytes of answers
FOREVER: Final = math.inf


class Answer(NamedTuple):
    """What goes out, and what the access line says of it."""

    method: str
    path: str
    user: str
    status: int
    beginning: bytes
    body: Sequence[bytes | Slice]
    is_last: bool  # the client wants the connection to end
    until: float  # on the monotonic clock: when it has to be made anew; 0: at once
    pulled: str = ""  # "image@digest" of a manifest that is handed out
    used: Sequence[str] = ()  # ids of the tokens that let the client in
    cached: int = 0  # the id of the proxy repository that had it
    told: str = ""  # the client's address, by fields that count only if a proxy of ours sent them

    @property
    def size(self) -> int:
        """Bytes of memory, roughly."""
        return 600 + len(self.path) + len(self.beginning) + sum(map(len, self.body))


class Recent:
    """The requests of the newest snapshot."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._snapshot = -1
        self._size = 0
        self._answers: dict[bytes, Answer] = {}

    def find(self, block: bytes, newest: Callable[[], int]) -> Answer | None:
        """What was answered to these bytes, if that still holds.

        `newest` says the number of the snapshot of now; it is asked only if there is something.
        """
        if len(block) > MAX_BLOCK:
            return None
        made = self._answers.get(self._name(block))
        if made is None or made.until <= self._clock() or newest() != self._snapshot:
            return None
        return made

    def keep(self, block: bytes, snapshot: int, made: Answer) -> None:
        """Remember an answer that was made on `snapshot`.

        Not one of open blobs, nor one that something else than the snapshot made fail.
        """
        has_blobs = any(isinstance(part, Slice) for part in made.body)
        if has_blobs or made.status >= 500 or len(block) > MAX_BLOCK or made.until <= self._clock():
            return
        if snapshot != self._snapshot or self._size > MAX_KEPT:
            self._snapshot, self._size = snapshot, 0
            self._answers.clear()
        self._size += made.size
        self._answers[self._name(block)] = made

    def _name(self, block: bytes) -> bytes:
        return blake3(block, key=self._key).digest()
