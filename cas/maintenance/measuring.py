"""Notes of how much is stored, for the record of growth (`index.growth`)."""

from functools import partial
from typing import Final

import trio

from cas.stats import count
from cas.works import Works
from index.growth import Sample, growth, note_growth
from index.view import View

EVERY: Final = 3600.0  # seconds from sample to sample: to count walks all objects
FIRST: Final = 60.0  # seconds from a start to the first look: a start has enough to do


async def note_if_due(works: Works) -> float:
    """Note a sample if the last one is EVERY seconds old; returns the seconds until the next.

    Raises:
        IndexFailed, NoSpace, WriterBusy, CasError: nothing was noted.
    """
    now = int(works.now() * 1000)
    last = await trio.to_thread.run_sync(works.environment.read, partial(_last, now=now))
    rest = EVERY - (now - last) / 1000
    if rest > 0:
        return rest
    found = await count(works.environment, works.root)
    sample = Sample(now, found.logical, found.stored, found.disk)
    await works.writer.write(partial(note_growth, sample=sample))
    return EVERY


def _last(view: View, now: int) -> int:
    """When the last sample was (milliseconds since 1970), or 0; no later than `now`."""
    return max((each.at for each in growth(view, now)), default=0)
