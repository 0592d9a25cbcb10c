"""The folder that a backup lies in: who uses it, whose backup it is, and what it holds.

    lock               held while a backup (exclusive) or a restore (shared) uses the folder
    backup.json        what it is, see `State`
    index              the backup's index, one file (`index.environment.Environment.copy`)
    packs/<16 hex>     packs, with a hole where the index has no chunk
    *.new              unfinished; the next backup makes it anew

Names are looked up below descriptors of the two directories, and no symbolic link is followed: who
may write into the folder cannot have us write elsewhere. `docs/formats/backup.md` has it all.
"""

import errno
import fcntl
import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from blake3 import blake3

from cas.copying import RUN
from index.errors import NoSpace

VERSION: Final = 1
INDEX: Final = "index"
STATE: Final = "backup.json"
PACKS: Final = "packs"
LOCK: Final = "lock"
NEW: Final = ".new"

_PACK: Final = re.compile(r"[0-9a-f]{16}")
_FOREIGN: Final = frozenset(("lost+found",))  # what a fresh file system has
_CREATE: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FULL: Final = frozenset((errno.ENOSPC, errno.EDQUOT))


@dataclass(eq=False)
class BackupRefused(Exception):
    """A backup or a restore cannot be made, or not go on: `what` says why, and what to do."""

    what: str

    def __str__(self) -> str:
        return self.what


@dataclass(frozen=True, slots=True)
class State:
    """What `backup.json` says.

    `indexes` are the BLAKE3 hashes, in hex, that the file `index` may have: while it is replaced
    there are two. `incomplete` are packs that lack a chunk, because it was damaged: they are
    looked through by each backup until they are whole.
    """

    store: bytes  # the identity in the index's `meta`
    indexes: tuple[str, ...] = ()
    incomplete: frozenset[int] = frozenset()

    def encode(self) -> bytes:
        """JSON, for people too."""
        value = {
            "orlop_backup": VERSION,
            "store": self.store.hex(),
            "indexes": list(self.indexes),
            "incomplete": sorted(f"{pack:016x}" for pack in self.incomplete),
        }
        return json.dumps(value, indent=2).encode() + b"\n"

    @classmethod
    def decode(cls, content: bytes) -> "State":
        """Read what `encode` wrote.

        Raises:
            BackupRefused: it is of a newer version, or not ours.
        """
        try:
            value: dict[str, Any] = json.loads(content)
            if value["orlop_backup"] > VERSION:
                raise BackupRefused(
                    f"its version is {value['orlop_backup']}, and this program knows versions up "
                    f"to {VERSION}: use the program that made it, or a newer one"
                )
            incomplete = frozenset(int(name, 16) for name in value["incomplete"])
            return cls(bytes.fromhex(value["store"]), tuple(value["indexes"]), incomplete)
        except (ValueError, KeyError, TypeError) as error:
            raise BackupRefused(f"{STATE} cannot be read: {error!r}") from error


class Folder:
    """The open folder of one backup. Made by `open_for_backup` and `open_for_restore`."""

    def __init__(self, path: Path, root: int, packs: int) -> None:
        self.path = path  # for messages, and for who must have a path to read from
        self._root = root
        self._packs = packs

    def read_state(self) -> State | None:
        """What the folder is a backup of; None when it is none yet.

        Raises:
            BackupRefused: a newer version, or not ours.
        """
        try:
            descriptor = os.open(
                STATE, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=self._root
            )
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            try:
                return State.decode(file.read())
            except BackupRefused as error:
                raise BackupRefused(f"{self.path}: {error}") from error

    def write_state(self, state: State) -> None:
        """Replace `backup.json`, durably."""
        self.remove_unfinished(STATE)
        descriptor = os.open(STATE + NEW, _CREATE | os.O_EXCL, 0o600, dir_fd=self._root)
        with os.fdopen(descriptor, "wb") as file:
            file.write(state.encode())
            file.flush()
            os.fsync(descriptor)
        self.publish(STATE)

    def remove_unfinished(self, name: str) -> Path:
        """Make way for a new `name`; returns the path to write it to."""
        with suppress(FileNotFoundError):
            os.unlink(name + NEW, dir_fd=self._root)
        return self.path / (name + NEW)

    def publish(self, name: str) -> int:
        """Put the new file `name`, which is synced, in the place of the old one; returns its size.

        It is durable then.
        """
        os.rename(name + NEW, name, src_dir_fd=self._root, dst_dir_fd=self._root)
        os.fsync(self._root)
        return os.stat(name, dir_fd=self._root, follow_symlinks=False).st_size

    def open_index(self, *, is_new: bool = False) -> int:
        """A descriptor of the index, for reads.

        Raises:
            FileNotFoundError: there is none.
        """
        name = INDEX + NEW if is_new else INDEX
        return os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=self._root)

    def hash_index(self, *, is_new: bool = False) -> str:
        """BLAKE3 of the index, in hex; empty when there is none."""
        try:
            descriptor = self.open_index(is_new=is_new)
        except FileNotFoundError:
            return ""
        hashing = blake3()
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            while data := file.read(RUN):
                hashing.update(data)
        return hashing.hexdigest()

    def open_pack(self, pack: int, *, writes: bool) -> int:
        """A descriptor of a pack; with `writes` it is made if need be.

        Raises:
            FileNotFoundError: it is not there.
        """
        flags = _CREATE if writes else os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.open(_pack_name(pack), flags, 0o600, dir_fd=self._packs)

    def pack_size(self, pack: int) -> int | None:
        """Bytes of a pack; None when it is not there, or is no file."""
        try:
            status = os.stat(_pack_name(pack), dir_fd=self._packs, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    def iter_packs(self) -> Iterator[int]:
        """Packs that are there, in any state."""
        for name in _names(self._packs):
            if _PACK.fullmatch(name):
                yield int(name, 16)

    def remove_pack(self, pack: int) -> None:
        """Remove a pack that the index does not know."""
        os.unlink(_pack_name(pack), dir_fd=self._packs)

    def sync_packs(self) -> None:
        """Make the packs' names durable."""
        os.fsync(self._packs)


@contextmanager
def open_for_backup(path: Path) -> Iterator[Folder]:
    """Make or open a folder to back up to; nobody else uses it meanwhile.

    Raises:
        BackupRefused: it is used, holds something else, or its packs are elsewhere.
        OSError: it cannot be made or opened.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _opened(path) as root:
        found = _names(root) - _FOREIGN
        if STATE not in found and not found <= {LOCK, STATE + NEW, PACKS}:
            raise BackupRefused(
                f"{path} is not empty, and holds no backup: name a folder that is new or empty"
            )
        with _locked(path, os.open(LOCK, _CREATE, 0o600, dir_fd=root), fcntl.LOCK_EX):
            os.fchmod(root, 0o700)
            with suppress(FileExistsError):
                os.mkdir(PACKS, 0o700, dir_fd=root)
                os.fsync(root)
            with _opened_packs(path, root) as packs:
                if STATE not in found and _names(packs):
                    raise BackupRefused(f"{path / PACKS} has files, but {path} holds no backup")
                yield Folder(path, root, packs)


@contextmanager
def open_for_restore(path: Path) -> Iterator[Folder]:
    """Open a folder to read a backup from; no backup changes it meanwhile.

    Raises:
        BackupRefused: it is used, or holds no backup.
        OSError: it cannot be opened.
    """
    with _opened(path) as root:
        if STATE not in _names(root):
            raise BackupRefused(f"{path} holds no backup: there is no {STATE}")
        try:
            lock = os.open(LOCK, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=root)
        except FileNotFoundError:  # a copy of a backup
            lock = os.dup(root)
        with _locked(path, lock, fcntl.LOCK_SH), _opened_packs(path, root) as packs:
            yield Folder(path, root, packs)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    try:
        descriptor = os.open(path, _DIRECTORY)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BackupRefused(f"{path} is no folder") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _opened_packs(path: Path, root: int) -> Iterator[int]:
    try:
        descriptor = os.open(PACKS, _DIRECTORY | os.O_NOFOLLOW, dir_fd=root)
    except (FileNotFoundError, NotADirectoryError) as error:  # the latter for a symbolic link too
        raise BackupRefused(f"{path / PACKS} is no folder of its own") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _locked(path: Path, descriptor: int, how: int) -> Iterator[None]:
    try:
        _lock(path, descriptor, how)
        yield
    finally:
        os.close(descriptor)


def _lock(path: Path, descriptor: int, how: int) -> None:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BackupRefused(f"another backup or restore uses {path}: wait for its end") from None


def _names(directory: int) -> set[str]:
    with os.scandir(directory) as entries:
        return {entry.name for entry in entries}


def _pack_name(pack: int) -> str:
    return f"{pack:016x}"


@contextmanager
def refusing_full(path: Path, kept: str) -> Iterator[None]:
    """Say of a full disk, within the block, what it means: `kept` says what stays.

    Raises:
        BackupRefused: the disk of `path` is full.
    """
    try:
        yield
    except (OSError, NoSpace) as error:
        if isinstance(error, OSError) and error.errno not in _FULL:
            raise
        raise BackupRefused(f"the disk of {path} is full: {kept}") from error
