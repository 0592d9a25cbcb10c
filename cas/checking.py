"""Whether bytes are what their digest says, hashed beside the event loop when there are many."""

import os
from functools import partial
from typing import Final

import trio

from cas.digest import Digest
from cas.errors import DigestMismatch, ObjectTooLarge
from cas.uploads.ingest import hash_file
from cas.uploads.session import Session
from index.changes import PutObject

MAX_OBJECT: Final = 16 << 20  # bytes of one inline object; the front end's manifest limit is lower
_IN_THREAD: Final = 64 << 10  # bytes whose hashing would hold the event loop for over 40 µs


async def check_content(change: PutObject) -> None:
    """Check an inline object against its digest.

    Raises:
        DigestMismatch, ObjectTooLarge.
    """
    if len(change.content) > MAX_OBJECT:
        raise ObjectTooLarge(len(change.content), MAX_OBJECT)
    expected = Digest(change.digest)
    hashing = partial(Digest.of, change.content, expected.algorithm)
    if len(change.content) <= _IN_THREAD:
        actual = hashing()
    else:
        actual = await trio.to_thread.run_sync(hashing)
    if actual != expected:
        raise DigestMismatch(expected, actual)


def hash_again(session: Session, algorithm: str) -> Digest:
    """Hash a staged upload by another algorithm than that of its session; blocks."""
    descriptor = os.open(session.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return hash_file(descriptor, session.size, algorithm)
    finally:
        os.close(descriptor)
