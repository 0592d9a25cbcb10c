"""What the index of a restored store says is damaged: what is so here, not where it was backed up.

A chunk that was damaged there may have been in the backup from before, and one that was sound there
may have been damaged in the backup's folder. Whoever has the bytes of a marked one pushes them
again (`index.damage`).
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Final, TypeVar

from cas.harm import Range
from cas.maintenance.rehash import is_sound
from index import keys
from index.damage import HURT, clear_chunk, clear_hurt, iter_lost, mark_chunk, mark_hurt
from index.environment import Environment
from index.records import Object, Place
from index.transaction import Transaction
from index.view import View

T = TypeVar("T")

_EACH: Final = 128  # marks of one transaction, of at most 3 rows each
_WHY: Final = "the backup has other bytes"


def settle_marks(environment: Environment, damaged: Iterable[Range]) -> None:
    """Mark chunks `damaged`, one in each range, and nothing else of packs; and whom that hurts.

    What lives in the index is looked at. How far a scrub had come is forgotten: this disk was not
    read by it.
    """
    wrong = {Place(each.pack, each.start) for each in damaged}
    marked = environment.read(_marked)
    now = int(time.time())
    _each(environment, [place for place in marked if place not in wrong], _clear)
    _each(environment, sorted(wrong), lambda t, place: mark_chunk(t, place, now, _WHY))
    hurt = environment.read(lambda view: list(_iter_hurt(view)))
    _each(environment, hurt, lambda t, each: mark_hurt(t, *each, now, _WHY))
    environment.write(_forget_cursor)


def _marked(view: View) -> list[Place]:
    return [Place(*keys.split_place(key)) for key, _ in view.scan("damage")]


def _iter_hurt(view: View) -> Iterator[tuple[bytes, int]]:
    """(D, O) of the objects that have a marked chunk, or whose bytes in the index are others."""
    for digest, value in view.scan("object"):
        row = Object.decode(value)
        content = view.inline(row.id)
        if content is None:
            is_sound_here = next(iter_lost(view, row.id), None) is None
        else:
            is_sound_here = is_sound(digest, content)
        if not is_sound_here:
            yield digest, row.id


def _each(
    environment: Environment, them: Sequence[T], change: Callable[[Transaction, T], object]
) -> None:
    for start in range(0, len(them), _EACH):
        environment.write(partial(_change, them=them[start : start + _EACH], change=change))


def _change(
    transaction: Transaction, them: Sequence[T], change: Callable[[Transaction, T], object]
) -> None:
    for each in them:
        change(transaction, each)


def _clear(transaction: Transaction, place: Place) -> None:
    if place.pack == HURT:
        clear_hurt(transaction, place.offset)
    else:
        clear_chunk(transaction, place)


def _forget_cursor(transaction: Transaction) -> None:
    if transaction.get("meta", keys.META_SCRUB) is not None:
        transaction.delete("meta", keys.META_SCRUB)
