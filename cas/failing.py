"""Why a store cannot go on, and what errors of the index and the system mean to who asked."""

from collections.abc import Iterator
from contextlib import contextmanager

import trio

from cas.errors import Busy, CasError, Damaged, StorageFull, StoreFailed, from_system
from index.errors import IndexDamaged, IndexFailed, NoSpace, WriterBusy


class Failing:
    """One per store: whoever meets a failure notes it here, and the process ends."""

    def __init__(self) -> None:
        self.reason: str | None = None  # None while all is well; the first one stays
        self._failed = trio.Event()

    def fail(self, reason: str) -> StoreFailed:
        """Note why the store cannot go on; returns what to raise. A thread of trio's may too."""
        self.reason = self.reason or reason
        if trio.lowlevel.in_trio_run():
            self._failed.set()
        else:  # a look that takes long runs in a thread, and events are the event loop's
            trio.from_thread.run_sync(self._failed.set)
        return StoreFailed(reason)

    async def watch(self) -> None:
        """Raise StoreFailed as soon as the store cannot go on."""
        await self._failed.wait()
        raise StoreFailed(self.reason or "unknown")

    @contextmanager
    def committing(self) -> Iterator[None]:
        """Raise errors of a commit as those of `cas.errors`: what cannot be written is the end."""
        try:
            yield
        except (IndexFailed, StoreFailed, NoSpace, WriterBusy) as error:
            raise self._meaning(error) from error
        except OSError as error:
            found = from_system(error, "the data directory")
            raise (self.fail(str(found)) if isinstance(found, Damaged) else found) from error

    @contextmanager
    def maintaining(self) -> Iterator[None]:
        """As `committing`, but what maintenance cannot read ends nothing: that is to be found."""
        try:
            yield
        except IndexDamaged:
            raise
        except (IndexFailed, StoreFailed, NoSpace, WriterBusy) as error:
            raise self._meaning(error) from error
        except OSError as error:
            raise from_system(error, "the data directory") from error

    def _meaning(self, error: IndexFailed | StoreFailed | NoSpace | WriterBusy) -> CasError:
        match error:
            case IndexFailed() | StoreFailed():
                return self.fail(error.reason)
            case NoSpace():
                return StorageFull(0, 0)
            case WriterBusy():
                return Busy("the write queue")
