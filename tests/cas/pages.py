"""Make the kernel forget a file's pages."""

import os
import socket
import time
from contextlib import closing

from cas.resident import PAGE
from index.linux import map_file, resident_pages, unmap_file

PATIENCE_SECONDS = 20.0  # an acknowledgement takes 40 ms at most; the rest is for busy machines


def drop(descriptor: int, start: int = 0, length: int = 0) -> None:
    """Drop the pages of a range (length 0: to the end), every one of them.

    What was sent from the file stays pinned until the peer's TCP has acknowledged it and the kernel
    has freed the packets. It puts off the second: a packet goes on a list of the processor that
    made it, and waits there for the next packet that this processor receives, be it for ever.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        _receive_on_every_processor()
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, start, length, os.POSIX_FADV_DONTNEED)
        left = _resident(descriptor, start, length)
        if not left:
            return
        assert time.monotonic() < deadline, f"{left} pages stay; is this a tmpfs?"


def _receive_on_every_processor() -> None:
    """Have the kernel free the packets that it keeps for later."""
    processors = os.sched_getaffinity(0)
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as itself:
        itself.bind(("127.0.0.1", 0))
        itself.connect(itself.getsockname())
        try:
            for processor in processors:
                os.sched_setaffinity(0, {processor})
                itself.send(b"")
                itself.recv(1)
        finally:
            os.sched_setaffinity(0, processors)


def _resident(descriptor: int, start: int, length: int) -> int:
    """How many pages of the range are in memory."""
    size = os.fstat(descriptor).st_size
    if not size:
        return 0
    first, stop = start // PAGE, -(-(start + length if length else size) // PAGE)
    address = map_file(descriptor, stop * PAGE)
    try:
        return sum(resident_pages(address + first * PAGE, stop - first))
    finally:
        unmap_file(address, stop * PAGE)
