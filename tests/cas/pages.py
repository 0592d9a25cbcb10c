"""Make the kernel forget a file's pages."""

import os
import time

import pytest

from cas.resident import Pages

# Pages that were sent stay pinned until the peer's TCP acknowledged them, which it may put off.
PATIENCE_SECONDS = 1.0


def drop(descriptor: int, start: int = 0, length: int = 0) -> None:
    """Drop the pages of a range (length 0: to the end); skips where the kernel will not."""
    pages = Pages(descriptor)
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, start, length, os.POSIX_FADV_DONTNEED)
            if pages.resident_to(start, start + 1) <= start:
                return
            os.sched_yield()
    finally:
        pages.close()
    pytest.skip("the kernel keeps these pages: a large folio that is in use, or a tmpfs")
