"""What can go wrong with bytes; `frontend.errors` gives each a status.

CasError
├── DigestInvalid        not a digest we can store under
├── DigestMismatch       the bytes hash to something else
├── UploadUnknown        no such session, or not the caller's
├── OffsetMismatch       an append that does not continue the upload
├── UploadSealed         the session is being committed
├── UploadOrphaned       who fetched its bytes is gone; whoever stages its key goes on
├── BlobUnknown          nothing live under this digest
├── ObjectTooLarge       more bytes than an inline object may have
├── Damaged              stored bytes do not match their chunk's hash, or are missing
├── StorageFull          below the free-space watermark, or the disk said so
├── Busy                 a bounded queue is full; try again
├── DaemonAway           the process that writes cannot be reached; try again
└── StoreFailed          the store cannot go on; a restart recovers it
"""

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cas.digest import Digest


_FULL: Final = frozenset((errno.ENOSPC, errno.EDQUOT))
_SHORT: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN))


class CasError(Exception):
    """Any error of this package that a caller may answer."""


@dataclass(eq=False)
class DigestInvalid(CasError):
    """The text is no digest of a supported algorithm."""

    text: str

    def __str__(self) -> str:
        return f"not a sha256 or sha512 digest: {self.text[:200]!r}"


@dataclass(eq=False)
class DigestMismatch(CasError):
    """The bytes hash to `actual`, not to `expected`; nothing was published."""

    expected: "Digest"
    actual: "Digest"

    def __str__(self) -> str:
        return f"the content's digest is {self.actual}, not {self.expected}"


@dataclass(eq=False)
class UploadUnknown(CasError):
    """No upload session with this id belongs to this image and principal."""

    id: str

    def __str__(self) -> str:
        return "no such upload session in this image: it ended, expired, or never was"


@dataclass(eq=False)
class OffsetMismatch(CasError):
    """The append began at `offset`, but the upload holds `size` bytes; it keeps them."""

    offset: int
    size: int

    def __str__(self) -> str:
        return (
            f"the upload holds {self.size} bytes, so the next one is {self.size}, not {self.offset}"
        )


@dataclass(eq=False)
class UploadSealed(CasError):
    """The session is being committed: it takes no more bytes."""

    id: str

    def __str__(self) -> str:
        return "the upload is being completed by another request"


@dataclass(eq=False)
class UploadOrphaned(CasError):
    """The session's bytes are there, but nobody appends any more: who stages its key may go on."""

    id: str

    def __str__(self) -> str:
        return "who fetched these bytes is gone: try again in a moment"


@dataclass(eq=False)
class BlobUnknown(CasError):
    """No live object has this digest."""

    digest: "Digest"

    def __str__(self) -> str:
        return f"no blob {self.digest} is stored"


@dataclass(eq=False)
class ObjectTooLarge(CasError):
    """An object in a message may have `limit` bytes; larger ones go through an upload."""

    size: int
    limit: int

    def __str__(self) -> str:
        return f"{self.size} bytes are more than the {self.limit} an inline object may have"


@dataclass(eq=False)
class Damaged(CasError):
    """Stored bytes cannot be trusted: `where` says which, `what` says how."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(eq=False)
class StorageFull(CasError):
    """No space for more bytes; pulls and deletes go on."""

    free: int
    needed: int

    def __str__(self) -> str:
        if not self.needed:
            return "the disk is full"
        return f"the disk has {self.free} bytes free and {self.needed} must stay free"


@dataclass(eq=False)
class Busy(CasError):
    """A bounded queue is full; nothing was changed."""

    what: str

    def __str__(self) -> str:
        return f"{self.what} is full: try again in a moment"


@dataclass(eq=False)
class DaemonAway(CasError):
    """The daemon could not be reached, or its connection broke before it answered.

    In the second case nobody knows whether it did what it was asked; all of it may be asked again.
    """

    def __str__(self) -> str:
        return "the storage daemon is restarting: try again in a moment"


@dataclass(eq=False)
class StoreFailed(CasError):
    """A sync or the index failed: the process must end, a restart recovers."""

    reason: str

    def __str__(self) -> str:
        return f"the store stopped: {self.reason}"


def from_system(error: OSError, where: str) -> CasError:
    """What an operating system's error means to who asked for `where`: full, busy, or damaged."""
    if error.errno in _FULL:
        return StorageFull(0, 0)
    if error.errno in _SHORT:
        return Busy("the table of open files")
    return Damaged(where, str(error))
