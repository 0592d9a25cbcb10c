"""Waiting that somebody may end: a flag that, once set, cuts short whatever was waited for."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

T = TypeVar("T")


class Until:
    """A flag. Setting it is sync, and so fit for whoever hears a signal."""

    def __init__(self) -> None:
        self.is_set = False
        self._scopes: set[trio.CancelScope] = set()

    def set(self) -> None:
        """End all waiting, now and from now on."""
        self.is_set = True
        for scope in self._scopes:
            scope.cancel()

    async def wait_for(self, wait: Callable[[], Awaitable[T]]) -> T | None:
        """What `wait` returns; None, and `wait` is cancelled, once the flag is set."""
        with trio.CancelScope() as scope:
            if self.is_set:
                scope.cancel()
            self._scopes.add(scope)
            try:
                return await wait()
            finally:
                self._scopes.discard(scope)
        return None
