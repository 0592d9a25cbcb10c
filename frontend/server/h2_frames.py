"""Where the frames of h2 begin, and how many of them ask for nothing. Pure.

A frame of nine bytes costs us as much as one of 16 KiB, and many kinds of them make no event: so
they are counted here, ahead of the `h2` package, and given to it a few at a time.
"""

from typing import Final

from frontend.server.negotiation import PREFACE

NOISE_BURST: Final = 1000.0  # frames that ask for nothing, at once
NOISE_RATE: Final = 100.0  # and a second
# Bytes of a body that pay for the frame that brings them.
WORTH: Final = 256
# Frames that a frame of an answer pays for: clients open two windows for each, and some ping.
ALLOWED: Final = 4

_HEAD: Final = 9  # bytes that a frame begins with: three for its length (RFC 9113, 4.1)


class Frames:
    """Cuts what comes, from the preface on, wherever the network has cut it."""

    def __init__(self) -> None:
        self._head = b""  # of a frame, as far as it is here
        self._left = len(PREFACE)  # bytes that are to come of it, or of the frame's payload

    def cut(self, data: bytes, at: int, most: int) -> tuple[int, int]:
        """(end, frames): of `data` from `at` on, a part in which at most `most` heads are whole."""
        frames = 0
        while at < len(data) and frames < most:
            if self._left:
                taken = min(self._left, len(data) - at)
                self._left -= taken
            else:
                taken = min(_HEAD - len(self._head), len(data) - at)
                self._head += data[at : at + taken]
                if len(self._head) == _HEAD:
                    self._left = int.from_bytes(self._head[:3], "big")
                    self._head = b""
                    frames += 1
            at += taken
        return at, frames


class Noise:
    """How much a client has said that costs us and asks for nothing."""

    def __init__(self, now: float) -> None:
        self._level = 0.0
        self._at = now

    def count(self, frames: float, now: float) -> bool:
        """Count, or pay back what is below zero; returns whether it is too much."""
        level = max(0.0, self._level - (now - self._at) * NOISE_RATE)
        self._level = max(0.0, level + frames)
        self._at = now
        return self._level > NOISE_BURST
