"""The LMDB environment: opened once, one snapshot for reads, one writer thread for changes.

`<data>/index/data.mdb` (0600) and LMDB's `lock.mdb` beside it. Engine 0.9 (`lib_version=0`) with
its default sync, the only mode that loses nothing acknowledged (measured on 990 crash states).
"""

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar

import lmdb

from index import keys
from index.errors import FormatUnknown, IndexDamaged, IndexFailed, NoSpace
from index.linux import reserve
from index.pages import PageDamaged, check_pages, free_pages
from index.transaction import Transaction
from index.upgrade import STEPS, Step, read_format, upgrade
from index.view import View

T = TypeVar("T")
V = TypeVar("V", bound=View)

_FILE: Final = "data.mdb"
MAP_SIZE: Final = 1 << 40  # bytes of address space, not of disk; grown (doubled) when it is full
RESERVE: Final = (
    16 << 20
)  # bytes allocated beyond the file's end, so that deletes work on a full disk
_NEXT_TO_NOTHING: Final = 1 << 20  # bytes; what a write leaves that did not fit
MAX_READERS: Final = 1022  # slots of 64 bytes for all processes; a thread that reads takes one
_AT_ONCE: Final = 2000  # rows: half a millisecond, between which other threads run
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
# What LMDB says of pages that are not what they must be; it panics when it met one in a commit.
_DAMAGE: Final = (lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.PanicError, lmdb.BadTxnError)
# Pages that one commit both took and freed at the file's end are never written, so a healthy file
# may be that much shorter than its last page says (measured: 2 pages in 1 % of mixed commits).
_UNWRITTEN: Final = 64  # pages


class Environment:
    """An open index. Reads are sync and short; writes go through `index.writer.Writer`."""

    def __init__(self, lmdb_environment: lmdb.Environment, file: Path) -> None:
        self._lmdb = lmdb_environment
        self._path = file
        self._tables: Mapping[str, lmdb._Database] = {}

    def read(self, look: Callable[[V], T], kind: "Callable[..., V] | None" = None) -> T:
        """Run `look` on a snapshot that ends when it returns; `kind` makes the view it gets."""
        try:
            transaction = self._begin_read()
        except lmdb.Error as error:
            raise self._failed(error) from error
        with transaction:
            try:
                return look((kind or View)(transaction, self._tables))  # type: ignore[arg-type]
            except lmdb.Error as error:
                raise self._failed(error) from error

    def value_bytes(self, table: str) -> int:
        """Bytes of all values of a table; they are not read, so it costs the table's rows alone.

        It has a snapshot of its own.
        """
        total = 0
        try:
            with self._lmdb.begin(buffers=True) as raw, raw.cursor(self._tables[table]) as cursor:
                lengths = map(len, cursor.iternext(keys=False, values=True))
                while some := list(islice(lengths, _AT_ONCE)):
                    total += sum(some)
        except lmdb.Error as error:
            raise self._failed(error) from error
        return total

    def _failed(self, error: lmdb.Error) -> IndexFailed:
        """What LMDB's error means to those above."""
        if isinstance(error, _DAMAGE):
            return IndexDamaged(f"{self._path}: {error}")
        return IndexFailed(str(error))

    def _begin_read(self) -> "lmdb.Transaction[bytes]":
        try:
            return self._lmdb.begin()
        except lmdb.ReadersFullError:
            self.check_readers()  # processes that were killed have kept their slots
            return self._lmdb.begin()

    def begin(self) -> "lmdb.Transaction[bytes]":
        """Begin the commit's transaction; only the writer's thread may."""
        return self._lmdb.begin(write=True)

    def write(self, run: Callable[[Transaction], None]) -> None:
        """Commit one transaction durably; for one who has the index alone, without a writer.

        Raises:
            IndexFailed: nothing was committed.
            Whatever `run` raises; nothing was committed.
        """
        try:
            with self.begin() as raw:
                run(self.transaction(raw))
        except lmdb.Error as error:
            raise self._failed(error) from error

    def child(self, parent: "lmdb.Transaction[bytes]") -> "lmdb.Transaction[bytes]":
        """Begin one operation's transaction within the commit's."""
        return self._lmdb.begin(parent=parent, write=True)

    def transaction(self, raw: "lmdb.Transaction[bytes]") -> Transaction:
        """Give a raw write transaction its verbs."""
        return Transaction(raw, self._tables)

    def grow(self) -> None:
        """Double the address space after MapFull; no transaction of this process may be open."""
        self._lmdb.set_mapsize(2 * self._lmdb.info()["map_size"])

    def check_readers(self) -> int:
        """Free the slots of dead readers; returns how many."""
        return self._lmdb.reader_check()

    def reserve_space(self) -> bool:
        """Allocate RESERVE bytes beyond the end of `data.mdb`; False when the disk is too full."""
        try:
            status = self._path.stat()
            if status.st_blocks * 512 < status.st_size + RESERVE // 2:
                with self._path.open("r+b", buffering=0) as file:
                    reserve(file.fileno(), status.st_size + RESERVE)
        except OSError:  # also when descriptors run out: the commit before it has succeeded
            return False
        return True

    def is_disk_full(self) -> bool:
        """Whether the disk has next to nothing left, the reserve apart."""
        try:
            status = os.statvfs(self._path)
        except OSError:
            return False
        return status.f_bavail * status.f_frsize < _NEXT_TO_NOTHING

    def copy(self, to: Path) -> int:
        """Write one snapshot, without its free pages, to the new file `to` (0600), synced.

        Returns its bytes. Others may write meanwhile, but take no page that the snapshot has: the
        file grows by what they write until this is done. `to` stays when it fails.

        Raises:
            NoSpace: the disk of `to` is full.
            IndexFailed: the index could not be read, or the copy not be synced.
            OSError: `to` cannot be made.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(to, flags, 0o600)
        try:
            self._copy(descriptor)
            os.fsync(descriptor)
            return os.fstat(descriptor).st_size
        except (lmdb.Error, OSError) as error:
            if _is_full(error):
                raise NoSpace from error
            raise IndexFailed(f"it could not be copied to {to}: {error}") from error
        finally:
            os.close(descriptor)

    def _copy(self, descriptor: int) -> None:
        try:
            self._lmdb.copyfd(descriptor, compact=True)
        except lmdb.IncompatibleError:
            # Pages were lost: neither used nor free. That hurts nobody, but LMDB compacts only
            # what it can account for.
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.ftruncate(descriptor, 0)
            self._lmdb.copyfd(descriptor)

    def open_tables(self, steps: Mapping[int, Step], newest: int) -> None:
        """Create what is missing and bring the format up to date, in one transaction."""
        try:
            with self._lmdb.begin(write=True) as raw:
                self._refuse_newer(raw, newest)
                self._tables = {
                    name: self._lmdb.open_db(name.encode(), txn=raw) for name in keys.TABLES
                }
                upgrade(self.transaction(raw), steps, newest)
        except lmdb.Error as error:
            raise self._failed(error) from error

    def find_tables(self, newest: int) -> None:
        """Look the tables up, without a write.

        Raises:
            FormatUnknown: the format is another than `newest`.
            IndexFailed: the index was never finished.
        """
        try:
            meta = self._lmdb.open_db(b"meta", create=False)
            with self._lmdb.begin(db=meta) as raw:
                found = read_format(raw.get(keys.META_FORMAT))
            if found != newest:
                raise FormatUnknown(str(found), newest)
            self._tables = {
                name: self._lmdb.open_db(name.encode(), create=False) for name in keys.TABLES
            }
        except lmdb.NotFoundError as error:
            raise IndexFailed(f"{self._path} has not all of its tables") from error
        except lmdb.Error as error:
            raise self._failed(error) from error

    def refuse_truncated(self) -> None:
        """Look whether the file has the pages that it needs: a read beyond it ends the process.

        Raises:
            IndexDamaged: more are missing than a healthy file may lack.
        """
        page, needed, found = self._sizes()
        if found < needed - _UNWRITTEN * page:
            raise IndexDamaged(f"{self._path} has {found} of its {needed} bytes")

    def complete(self) -> None:
        """Give the file the pages that a healthy one may lack; the writer's, before it begins.

        Raises:
            IndexDamaged: one of those is not free.
        """
        page, needed, found = self._sizes()
        if found >= needed:
            return
        try:
            is_healthy = free_pages(self._path).issuperset(range(found // page, needed // page))
        except PageDamaged:
            is_healthy = False
        if not is_healthy:
            raise IndexDamaged(f"{self._path} has {found} of its {needed} bytes")
        os.truncate(self._path, needed)

    def _sizes(self) -> tuple[int, int, int]:
        """Bytes of a page, bytes that the file should have, and bytes that it has."""
        page = self._lmdb.stat()["psize"]
        return page, (self._lmdb.info()["last_pgno"] + 1) * page, self._path.stat().st_size

    def _refuse_newer(self, raw: "lmdb.Transaction[bytes]", newest: int) -> None:
        """Look at the version before any table is touched."""
        meta = self._lmdb.open_db(b"meta", txn=raw)
        found = read_format(raw.get(keys.META_FORMAT, db=meta))
        if found > newest:
            raise FormatUnknown(str(found), newest)


@contextmanager
def open_environment(
    directory: Path,
    *,
    map_size: int = MAP_SIZE,
    steps: Mapping[int, Step] = STEPS,
    newest: int = keys.FORMAT,
) -> Iterator[Environment]:
    """Open (or create) the index in `directory`; closed when the block is left.

    Raises:
        FormatUnknown: written by a newer version.
        IndexDamaged: cut off, damaged, or not an LMDB file at all.
        IndexFailed: the system refused it; says why.
    """
    directory.mkdir(mode=0o700, exist_ok=True)
    if not (directory / "data.mdb").exists():
        _create(directory, newest)
    raw = _open(directory, newest, map_size=map_size)
    try:
        environment = Environment(raw, directory / _FILE)
        environment.complete()
        environment.open_tables(steps, newest)
        sync_directory(directory)
        environment.reserve_space()
        yield environment
    finally:
        raw.close()


@contextmanager
def open_snapshots(directory: Path, *, newest: int = keys.FORMAT) -> Iterator[Environment]:
    """Open the index for reads only, beside the process that writes it, or while there is none.

    It shares the writer's table of readers, so no page that a snapshot needs is used again. Nothing
    is created, upgraded or reserved. Should the writer ever grow the map (MAP_SIZE is beyond any
    index we know), reads raise IndexFailed, and a process that opens it anew goes on.

    Raises:
        FormatUnknown: written in another format than ours.
        IndexDamaged: cut off, damaged, or not an LMDB file at all.
        IndexFailed: there is no index yet, or the system refused it; says why.
    """
    if not (directory / _FILE).exists():
        raise IndexFailed(f"there is no index in {directory}: only the daemon makes one")
    # As the writer: lmdb's own choice is 10 MiB, and reads end where the file grows beyond it.
    raw = _open(directory, newest, map_size=MAP_SIZE, readonly=True, create=False)
    try:
        environment = Environment(raw, directory / _FILE)
        environment.refuse_truncated()
        environment.find_tables(newest)
        yield environment
    finally:
        raw.close()


@contextmanager
def open_copy(file: Path, *, newest: int = keys.FORMAT) -> Iterator[Environment]:
    """Open what `Environment.copy` wrote for reads only; nobody may write it meanwhile.

    No file is made beside it, so it may lie on a disk that cannot be written to.

    Raises:
        FormatUnknown, IndexFailed: as `open_snapshots`.
    """
    raw = _open(file, newest, readonly=True, create=False, subdir=False, lock=False)
    try:
        environment = Environment(raw, file)
        environment.refuse_truncated()
        environment.find_tables(newest)
        yield environment
    finally:
        raw.close()


def check_file(directory: Path) -> None:
    """Look at every page of an index that nobody has open: LMDB could end the process over one.

    Raises:
        IndexDamaged: one is not sound; says which.
        OSError: the file cannot be read.
    """
    try:
        check_pages(directory / "data.mdb")
    except PageDamaged as error:
        raise IndexDamaged(f"{directory / 'data.mdb'}: {error}") from error


def _create(directory: Path, newest: int) -> None:
    """Make an empty index, which gets its name when it is on disk.

    LMDB does not sync the first pages of a new file: a power cut could leave one that nobody opens.

    Raises:
        IndexFailed: it could not be synced.
        OSError: it got no name.
    """
    fresh = directory / "new.mdb"
    fresh.unlink(missing_ok=True)  # of a start that was cut off
    _open(fresh, newest, subdir=False, lock=False).close()
    descriptor = os.open(fresh, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise IndexFailed(f"a new index could not be synced: {error}") from error
    finally:
        os.close(descriptor)
    fresh.rename(directory / "data.mdb")  # its folder is synced when it has its tables


def _open(path: Path, newest: int, **options: Any) -> lmdb.Environment:  # noqa: ANN401 - lmdb's
    try:
        return lmdb.open(
            str(path),
            max_dbs=len(keys.TABLES) + 8,
            max_readers=MAX_READERS,
            mode=0o600,
            lib_version=0,
            readahead=False,  # the working set is small rows at random places
            meminit=False,  # pages never leave the process before they are written whole
            **options,
        )
    except lmdb.VersionMismatchError as error:
        raise FormatUnknown(str(error), newest) from error
    except (lmdb.InvalidError, *_DAMAGE) as error:
        raise IndexDamaged(f"{path / 'data.mdb'}: {error}") from error
    except lmdb.Error as error:
        raise IndexFailed(str(error)) from error


def _is_full(error: Exception) -> bool:
    """Whether a disk had no room; LMDB says it in words only."""
    number = error.errno if isinstance(error, OSError) else None
    return number in _FULL or any(os.strerror(code) in str(error) for code in _FULL)


def sync_directory(directory: Path) -> None:
    """Make the names in `directory` durable.

    Raises:
        IndexFailed: the sync failed; a second one would lie.
        OSError: the directory could not be opened.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise IndexFailed(f"{directory.name}/ could not be synced: {error}") from error
    finally:
        os.close(descriptor)
