"""The only writer: one thread that drains a bounded queue of operations into group commits.

While one commit is synced, the next operations gather, so a group forms by itself under load and a
lone operation waits for nobody. Each operation runs in a child transaction: its failure undoes it
alone. Operations are functions of a transaction and may be run again (a full map grows, then the
group is replayed), so they must have no other effect.
"""

import errno
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import lmdb
import trio

from index.environment import Environment
from index.errors import IndexFailed, NoSpace, WriterBusy
from index.transaction import Transaction

T = TypeVar("T")

MAX_GROUP: Final = 256  # operations in one commit (measured: 10,600 puts/s at 128, 235 at 1)
MAX_WAITING: Final = 4096  # queued operations, each a few KiB; beyond that callers are told to wait
_NO_SPACE: Final = frozenset((errno.ENOSPC, errno.EDQUOT))


@dataclass(slots=True)
class _Operation:
    """One queued change and where its outcome goes."""

    run: Callable[[Transaction], Any]
    token: trio.lowlevel.TrioToken
    done: trio.Event = field(default_factory=trio.Event)
    value: Any = None
    error: BaseException | None = None


class Writer:
    """Made by `open_writer`. `commits` counts the transactions that were synced."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._queue: queue.SimpleQueue[_Operation | None] = queue.SimpleQueue()
        self._failure: str | None = None
        self.commits = 0
        self.operations = 0

    @property
    def failure(self) -> str | None:
        """Why the writer stopped for good; None while it works."""
        return self._failure

    async def write(self, run: Callable[[Transaction], T]) -> T:
        """Run `run` in a child transaction and commit it durably; returns what it returned.

        Once queued it is not cancelled: the caller learns the outcome (a few milliseconds).

        Raises:
            WriterBusy: the queue is full; nothing was changed.
            NoSpace: the disk is full; nothing was changed.
            IndexFailed: a sync or the environment failed; the process should end.
            Whatever `run` raises; nothing was changed.
        """
        if self._failure is not None:
            raise IndexFailed(self._failure)
        if self._queue.qsize() >= MAX_WAITING:
            raise WriterBusy(self._queue.qsize())
        operation = _Operation(run, trio.lowlevel.current_trio_token())
        self._queue.put(operation)
        with trio.CancelScope(shield=True):
            await operation.done.wait()
        if operation.error is not None:
            raise operation.error
        value: T = operation.value
        return value

    def run(self) -> None:
        """The thread: until `stop`, groups of operations become commits."""
        while (first := self._queue.get()) is not None:
            group = [first]
            stopping = False
            while len(group) < MAX_GROUP and not self._queue.empty():
                following = self._queue.get()
                if following is None:
                    stopping = True
                    break
                group.append(following)
            self._commit(group)
            if stopping:
                return

    def stop(self) -> None:
        """Let the thread end after what is queued."""
        self._queue.put(None)

    def _commit(self, group: list[_Operation]) -> None:
        try:
            self._commit_or_grow(group)
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must be told
            self._refuse(group, error)
        self.operations += len(group)
        _tell(group)

    def _commit_or_grow(self, group: list[_Operation]) -> None:
        if self._failure is not None:
            raise lmdb.PanicError(self._failure)
        while True:
            try:
                with self._environment.begin() as transaction:
                    for operation in group:
                        self._apply(transaction, operation)
            except lmdb.MapFullError:
                self._environment.grow()
            else:
                self.commits += 1
                self._environment.reserve_space()
                return

    def _apply(self, parent: "lmdb.Transaction[bytes]", operation: _Operation) -> None:
        operation.value = operation.error = None
        try:
            with self._environment.child(parent) as child:
                operation.value = operation.run(self._environment.transaction(child))
        except lmdb.BadValsizeError as error:
            operation.error = ValueError(f"a key is empty or over 511 bytes: {error}")
        except lmdb.Error:
            raise  # the whole group's: grow, refuse, or stop
        except Exception as error:  # noqa: BLE001 - handed to the one who asked, who raises it
            operation.error = error

    def _refuse(self, group: list[_Operation], error: Exception) -> None:
        """Nothing of the group was committed; a full disk may be tried again, all else is fatal."""
        code = getattr(error, "code", None)  # only LMDB's own errors have one
        # LMDB 0.9 turns a short write, which is how a disk fills up, into EIO (mdb_page_flush).
        is_full = code in _NO_SPACE or (code == errno.EIO and self._environment.is_disk_full())
        if not is_full:
            self._failure = str(error)
        for operation in group:
            operation.value = None
            operation.error = NoSpace() if is_full else IndexFailed(str(error))


def _tell(group: list[_Operation]) -> None:
    """Wake the callers: one hop for the whole group."""

    def wake() -> None:
        for operation in group:
            operation.done.set()

    try:
        group[0].token.run_sync_soon(wake)
    except trio.RunFinishedError:
        return  # nobody waits any more


@contextmanager
def open_writer(environment: Environment) -> Iterator[Writer]:
    """Run the writer's thread for the length of a block; at its end what is queued is committed."""
    writer = Writer(environment)
    thread = threading.Thread(target=writer.run, name="orlop-index-writer", daemon=True)
    thread.start()
    try:
        yield writer
    finally:
        writer.stop()
        thread.join()
