"""Make the kernel forget a file's pages."""

import os

from cas.resident import Pages

TRIES = 200  # another processor may hold a page for a moment


def drop(descriptor: int, start: int = 0, length: int = 0) -> None:
    """Drop the pages of a range (length 0: to the end); fails where files live in memory only."""
    pages = Pages(descriptor)
    try:
        for _ in range(TRIES):
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, start, length, os.POSIX_FADV_DONTNEED)
            if pages.resident_to(start, start + 1) <= start:
                return
            os.sched_yield()
    finally:
        pages.close()
    message = "the kernel keeps these pages: is the temporary folder on a tmpfs?"
    raise AssertionError(message)
