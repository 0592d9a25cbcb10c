"""Break an operation everywhere: cancel it at each checkpoint, fail each of its system calls.

async for outcome in cancelled_everywhere(lambda: push(store, CONTENT)):
    assert await drift(store) == []
"""

import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import trio

SYSTEM_CALLS = (
    "open",
    "pwritev",
    "pread",
    "preadv",
    "fchmod",
    "ftruncate",
    "fdatasync",
    "fsync",
    "link",
    "unlink",
    "copy_file_range",
    "splice",
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an operation ended that was broken at its `number`th checkpoint or call, called `where`.

    Exactly one of `value`, `error` and `is_cancelled` says how, unless it returned None.
    """

    number: int
    where: str
    value: Any = None
    error: Exception | None = None
    is_cancelled: bool = False

    @property
    def is_success(self) -> bool:
        return self.error is None and not self.is_cancelled


class _CancelAt(trio.abc.Instrument):
    """Cancels a scope when its task waits for the `number`th time."""

    def __init__(self, scope: trio.CancelScope, number: int) -> None:
        self._scope = scope
        self._left = number
        self._task = trio.lowlevel.current_task()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self._task:
            self._left -= 1
            if self._left == 0:
                self._scope.cancel()


async def cancelled_everywhere(op: Callable[[], Awaitable[Any]]) -> AsyncIterator[Outcome]:
    """Run `op` cancelled at its 1st, 2nd, 3rd… checkpoint, until it ends before the next one."""
    for number in count(1):
        value = None
        with trio.CancelScope() as scope:
            instrument = _CancelAt(scope, number)
            trio.lowlevel.add_instrument(instrument)
            try:
                value = await op()
            finally:
                trio.lowlevel.remove_instrument(instrument)
        yield Outcome(number, "checkpoint", value, is_cancelled=scope.cancelled_caught)
        if not scope.cancel_called:
            return


@contextmanager
def replaced(names: tuple[str, ...], wrap: Callable[[str, Callable], Callable]) -> Iterator[None]:
    """Put wrappers around functions of `os` for the length of a block."""
    originals = {name: getattr(os, name) for name in names}
    for name, call in originals.items():
        setattr(os, name, wrap(name, call))
    try:
        yield
    finally:
        for name, call in originals.items():
            setattr(os, name, call)


@contextmanager
def counted(*names: str) -> Iterator[dict[str, int]]:
    """Count calls of functions of `os`, of any thread."""
    counts = dict.fromkeys(names, 0)
    lock = threading.Lock()

    def wrap(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*args: Any, **kwargs: Any) -> Any:
            with lock:
                counts[name] += 1
            return call(*args, **kwargs)

        return counting

    with replaced(names, wrap):
        yield counts


class FailAt:
    """Makes the 1st, 2nd, 3rd… system call of any thread fail, one further with each `go_on`."""

    def __init__(self, code: int, names: tuple[str, ...] = SYSTEM_CALLS) -> None:
        self.number = 0
        self.where = ""
        self._names = names
        self._code = code
        self._left = 0
        self._lock = threading.Lock()

    @property
    def is_beyond(self) -> bool:
        """Whether the last round made fewer calls than it would have taken."""
        return self.number > 0 and not self.where

    def go_on(self) -> None:
        """Fail one call later than before."""
        self.number += 1
        self._left = self.number
        self.where = ""

    def armed(self) -> AbstractContextManager[None]:
        """Count and fail for the length of a block."""
        return replaced(self._names, self._wrap)

    def _wrap(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*args: Any, **kwargs: Any) -> Any:
            with self._lock:
                self._left -= 1
                is_now = self._left == 0
                if is_now:
                    self.where = name
            if is_now:
                raise OSError(self._code, os.strerror(self._code))
            return call(*args, **kwargs)

        return counting


async def failing_everywhere(
    op: Callable[[], Awaitable[Any]], code: int, names: tuple[str, ...] = SYSTEM_CALLS
) -> AsyncIterator[Outcome]:
    """Run `op` with its 1st, 2nd, 3rd… system call failing with `code`, until all succeed.

    `op` should begin in a state of its own each time: most failures end a store.
    """
    fault = FailAt(code, names)
    while not fault.is_beyond:
        fault.go_on()
        value = error = None
        with fault.armed():
            try:
                value = await op()
            except Exception as caught:  # noqa: BLE001 - what it is, the test decides
                error = caught
        yield Outcome(fault.number, fault.where, value, error)
