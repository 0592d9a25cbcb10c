"""A record of each run of maintenance, in table `run`: when, who wanted it, what came of it."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

import trio

from index.errors import IndexFault
from index.records import Run
from index.runs import begin_run, note_run
from index.writer import Writer

UNFINISHED = "it was given up"

Figures = Mapping[str, int | float]


@dataclass(slots=True)
class Note:
    """What there is to say of a run; filled in while it goes on."""

    kind: str
    is_asked: bool
    figures: Figures | None = None  # of a run that came to its end
    error: str = ""
    news: tuple[str, ...] = field(default=())  # figures that make an unasked run worth a record

    @property
    def has_news(self) -> bool:
        """Whether anything was done, or failed."""
        figures = self.figures or {}
        return bool(self.error) or any(figures.get(name) for name in self.news)

    def as_run(self, ended_at: int) -> Run:
        """The record, in milliseconds since 1970."""
        error = self.error or (UNFINISHED if self.figures is None else "")
        figures = dict(self.figures or {})
        return Run(
            kind=self.kind,
            is_asked=self.is_asked,
            ended_at=ended_at,
            error=error,
            figures=figures,
        )


@asynccontextmanager
async def noting(
    writer: Writer, now: Callable[[], float], note: Note, *, is_noted: bool
) -> AsyncIterator[Note]:
    """Record the run that is the block: with `is_noted` from its beginning, else if it has news."""
    began = int(now() * 1000)
    if is_noted:
        begun = partial(begin_run, run=Run(kind=note.kind, is_asked=note.is_asked))
        began = await writer.write(partial(begun, began=began))
    try:
        yield note
    except Exception as error:  # who leaves, or is cancelled, gives it up
        note.error = str(error) or type(error).__name__
        raise
    finally:
        if is_noted or note.has_news:
            run = note.as_run(int(now() * 1000))
            step = note_run if is_noted else begin_run
            with suppress(IndexFault), trio.CancelScope(shield=True):
                await writer.write(partial(step, began=began, run=run))
