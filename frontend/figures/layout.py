"""Where a process's figures lie in its file: 64-bit words, each written by that process alone.

    words 0 to 511      layout · rows in use · uploads under way · bytes sent · requests
    then ROWS rows      repository id + 1 · counts · state of its source · its last error

A word is whole whenever it is read. It is no format: nobody but this server reads it, and what is
of another layout is begun anew.
"""

import struct
from dataclasses import dataclass, fields
from typing import Final, NamedTuple

LAYOUT: Final = 1
HEAD: Final = 512  # words
ROWS: Final = 512  # proxy repositories of one process; more are not counted
ROW: Final = 64  # words
SIZE: Final = 8 * (HEAD + ROWS * ROW)  # bytes

AT_LAYOUT, AT_USED, AT_UPLOADS, AT_SENT, AT_REQUESTS = 0, 1, 2, 3, 8
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "other")
CLASSES: Final = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")  # none: the client left before

_COUNTS: Final = 1  # first word of a row's counts
_STATE: Final = 8
_TEXT: Final = 20
MAX_TEXT: Final = 8 * (ROW - _TEXT)  # bytes
_SOURCE: Final = struct.Struct("=12Q")
# Of a circuit breaker; the later the worse. `failing`: closed, but the last request failed.
STATES: Final = ("", "closed", "failing", "half-open", "open")


@dataclass(slots=True)
class Counts:
    """Of one proxy repository; they only rise.

    A hit is a read of a manifest or a blob that was answered with what is here; for a miss the
    source was asked first. Bytes that were served are those of hits.
    """

    hits: int = 0
    misses: int = 0
    stale_served: int = 0
    bytes_served: int = 0
    requests: int = 0
    failures: int = 0
    bytes_fetched: int = 0

    def add(self, other: "Counts") -> None:
        """Count another process's too."""
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))


COUNTS: Final = tuple(field.name for field in fields(Counts))
WORD_OF: Final = {name: _COUNTS + at for at, name in enumerate(COUNTS)}


class SourceState(NamedTuple):
    """How the source of a repository is doing, as one process knows. Times: milliseconds, Unix."""

    state: str = ""  # of STATES
    since: int = 0
    retry_at: int = 0
    failed_at: int = 0
    told_at: int = 0
    limit: int | None = None
    remaining: int | None = None
    window: int | None = None  # seconds
    last_error: str = ""

    def encode(self) -> bytes:
        """The words from the state on, and the text."""
        text = self.last_error.encode()[:MAX_TEXT]
        optional = (self.limit, self.remaining, self.window)
        words = _SOURCE.pack(
            STATES.index(self.state), self.since, self.retry_at, self.failed_at, self.told_at,
            *(0 if each is None else min(each, 1 << 62) + 1 for each in optional),
            len(text), 0, 0, 0,
        )  # fmt: skip
        return words + text

    @classmethod
    def decode(cls, data: bytes) -> "SourceState":
        """Read what `encode` wrote; a text may be half of one and half of the next."""
        number, since, retry_at, failed_at, told_at, *more = _SOURCE.unpack_from(data)
        limit, remaining, window = (None if each == 0 else each - 1 for each in more[:3])
        text = data[_SOURCE.size : _SOURCE.size + min(more[3], MAX_TEXT)].decode(errors="ignore")
        state = STATES[number] if number < len(STATES) else ""
        return cls(state, since, retry_at, failed_at, told_at, limit, remaining, window, text)


def row_at(number: int) -> int:
    """The word at which a row begins."""
    return HEAD + number * ROW


def state_bytes(number: int) -> slice:
    """Where the state of a row's source is, in bytes."""
    return slice(8 * (row_at(number) + _STATE), 8 * row_at(number + 1))
