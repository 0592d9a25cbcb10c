"""What readers found damaged, on its way from their threads to the one task that passes it on."""

from collections.abc import Iterable
from threading import Lock
from typing import Final

from cas.digest import Digest
from index.records import Place
from index.view import View

MOST: Final = 1024  # places that wait; what is dropped is found again by the next reader, or scrub


class Reports:
    """Places of chunks; used from many threads. Offset 0 stands for a whole pack, too."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._places: set[Place] = set()

    def put(self, pack: int, offset: int) -> None:
        """Report a place; a second report before the first was taken adds nothing."""
        with self._lock:
            if len(self._places) < MOST:
                self._places.add(Place(pack, offset))

    def take(self) -> list[Place]:
        """Everything that waits, in order."""
        if not self._places:  # almost always, and each second: no lock for that
            return []
        with self._lock:
            taken, self._places = self._places, set()
        return sorted(taken)


def unknown(view: View, places: Iterable[Place]) -> list[Place]:
    """The places of which the index does not say yet that they are damaged, in order.

    Offset 0 may stand for a whole pack, of which only the first chunk was known to be damaged.
    """
    return sorted(
        place
        for place in set(places)
        if not place.offset or view.get("damage", place.encode()) is None
    )


def reports_of(view: View, digest: Digest, places: Iterable[Place]) -> list[Place]:
    """Those of the places that lie in an object; of a whole pack, if it has any of that."""
    row = view.object(digest.key)
    extents = [] if row is None else view.extents(row.id)
    return [
        place
        for place in places
        if any(
            each.pack == place.pack
            and (not place.offset or each.offset <= place.offset < each.offset + each.length)
            for each in extents
        )
    ]
