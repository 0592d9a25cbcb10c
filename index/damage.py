"""Quarantine: what is not what was stored, in the transaction that finds it so.

A chunk with a `damage` row is not shared: its `chunk` row is gone, so the same bytes are stored
anew by the next push. The objects that have it are hurt, and have a row of their own, at pack 0
(which no pack is) under their id O; so has an object that lives in the index and is damaged there.
Nobody is told that a hurt object is there, so that whoever has its bytes sends them again: they are
laid out anew under another O, and the old one is dismantled. A row ends with its chunk or object,
or when the right bytes are found in its place.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from index import keys
from index.records import Damage, Extent, Object, Place
from index.transaction import Transaction
from index.view import View

HURT: Final = 0  # the pack of rows that tell of objects
_LAST: Final = (1 << 64) - 1


class Lost(NamedTuple):
    """A damaged chunk of an object."""

    place: Place
    logical: int  # offset in the object
    damage: Damage


def iter_lost(view: View, object_id: int) -> Iterator[Lost]:
    """The damaged chunks of an object, in logical order; nothing of one that lives in the index.

    One question of the index while nothing at all is damaged, otherwise one for each extent.
    """
    if not view.entries("damage"):
        return
    for key, value in view.scan("extent", keys.u64(object_id)):
        extent, logical = Extent.decode(value), keys.split_place(key)[1]
        stop = extent.offset + extent.length
        for offset, damage in view.iter_damage(extent.pack, extent.offset, stop):
            yield Lost(Place(extent.pack, offset), logical + offset - extent.offset, damage)


def is_hurt(view: View, row: Object) -> bool:
    """Whether bytes of an object are known not to be what was stored."""
    return view.entries("damage") > 0 and view.get("damage", _hurt(row.id)) is not None


def has_hurt(view: View, image: bytes, digest: bytes) -> bool:
    """Whether an image may serve an object that is hurt; what only others have is none of its."""
    row = None if view.link(image, digest) is None else view.object(digest)
    return row is not None and is_hurt(view, row)


def iter_hurt(view: View) -> Iterator[tuple[int, Damage]]:
    """(object id, row) of every object that is hurt."""
    yield from view.iter_damage(HURT)


def iter_bad(view: View) -> Iterator[tuple[Place, Damage]]:
    """(place, row) of every chunk that is damaged."""
    for key, value in view.scan("damage", after=_hurt(_LAST)):
        yield Place(*keys.split_place(key)), Damage.decode(value)


def mark_chunk(transaction: Transaction, place: Place, now: int, why: str) -> bool:
    """Note that the chunk at `place` is damaged, and share it no more; False: there is none."""
    row = transaction.chunk_at(*place)
    if row is None:
        return False
    if transaction.chunk(row.name) == place:
        transaction.delete("chunk", row.name)
    if transaction.get("damage", place.encode()) is None:
        damage = Damage(length=row.length, name=row.name, found_at=now, why=why)
        transaction.put("damage", place.encode(), damage.encode())
    return True


def clear_chunk(transaction: Transaction, place: Place) -> bool:
    """Let the chunk at `place` be sound again, and shared; False: it was not damaged."""
    if not transaction.delete("damage", place.encode()):
        return False
    row = transaction.chunk_at(*place)
    if row is not None and transaction.chunk(row.name) is None:
        transaction.put("chunk", row.name, place.encode())
    return True


def mark_hurt(transaction: Transaction, digest: bytes, object_id: int, now: int, why: str) -> bool:
    """Note that an object is hurt, if it is still what it was; False: nothing was changed."""
    row = transaction.object(digest)
    if row is None or row.id != object_id or is_hurt(transaction, row):
        return False
    damage = Damage(length=row.size, name=digest, found_at=now, why=why)
    transaction.put("damage", _hurt(object_id), damage.encode())
    return True


def clear_hurt(transaction: Transaction, object_id: int) -> bool:
    """Let an object be sound again, or gone; False: it was not hurt."""
    return transaction.entries("damage") > 0 and transaction.delete("damage", _hurt(object_id))


def _hurt(object_id: int) -> bytes:
    return keys.place(HURT, object_id)
