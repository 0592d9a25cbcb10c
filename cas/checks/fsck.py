"""Recount everything from links, edges and extents, and say exactly what differs.

Runs on one snapshot while the store works; what is in flight at that moment (work rows) is counted
as in flight, not as drift. Memory: 16 bytes an extent and 8 an object, and once more for the
largest pack while it is sorted.
"""

from collections import Counter
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Final, Protocol, TypeVar

from cas.checks import (
    chunks,
    counts,
    damage,
    files,
    journal,
    layouts,
    listed,
    places,
    references,
    rehash,
    shapes,
)
from cas.checks.drift import Check, Drift, Listing, Place, Run
from cas.verbs import Report
from index.ledger import Clock
from index.view import View

T = TypeVar("T")


class Reads(Protocol):
    """What fsck wants of an environment."""

    def read(self, look: Callable[[View], T]) -> T:
        """Run `look` on a snapshot."""


# What recovery relies on comes first: it cuts packs back and takes unfinished builds apart.
FIRST: Final[tuple[Check, ...]] = (
    shapes.shapes,
    places.numbers,
    places.active,
    files.rows,
    files.works,
)
# Then rows that stand for each other, then what is counted from them.
THEN: Final[tuple[Check, ...]] = (
    places.repositories,
    places.public,
    places.images,
    layouts.objects,
    references.links,
    references.tags,
    references.manifests,
    references.edges,
    counts.links,
    counts.objects,
    counts.garbage,
    counts.images,
    counts.usage,
    listed.orders,
    listed.packages,
    listed.pulled,
    chunks.chunks,
    damage.rows,
    journal.entries,
    rehash.names,
    files.packs,
    layouts.lost,
    files.strangers,
)


def run(environment: Reads, root: Path) -> Report:
    """Check the whole index against itself and against `root`'s packs; blocks, changes nothing."""
    listed = files.list_files(root)
    place = Place(root, environment.read, Clock(0, 0))
    return environment.read(lambda view: _check(view, place, listed))


def _check(view: View, place: Place, listed: Listing) -> Report:
    whole = Run(view, place, listed)
    found: list[Drift] = list(shapes.shapes(whole))
    if not found:  # or no check could read what it looks at
        found = list(chain.from_iterable(check(whole) for check in (*FIRST[1:], *THEN)))
    return Report(dict(Counter(whole.checked)), [each.sentence for each in found])
