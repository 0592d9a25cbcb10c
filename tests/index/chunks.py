"""Objects made of named chunks: what `cas` would have cut, without any bytes."""

from array import array

from blake3 import blake3

from index.placement import (
    Cursor,
    Layout,
    begin_build,
    dismantle_slice,
    end_build,
    place_slice,
)
from index.records import Work, WorkKind
from tests.index.tables import Counting


def name_of(number):
    return blake3(number.to_bytes(4)).digest()


def length_of(number):
    """Lengths differ, so that a mix-up shows."""
    return 10 + number % 7


def layout(number, chunks, pack, *, offsets=None, pack_length=None):
    """Object `number`, made of `chunks`; adopted as `pack`, or appended to it at `offsets`."""
    lengths = array("I", map(length_of, chunks))
    return Layout(
        number,
        pack,
        b"".join(map(name_of, chunks)),
        lengths,
        None if offsets is None else array("q", offsets),
        sum(lengths) if pack_length is None else pack_length,
    )


def build(environment, made, *, stop_after=None):
    """Place a layout, one transaction a slice; returns the rows each wrote."""
    written = []
    cursor = Cursor()
    work = Work(kind=WorkKind.BUILD, object=made.object, pack=made.pack)
    while cursor.index < len(made) and len(written) != stop_after:
        with environment.begin() as raw:
            counting = Counting(environment.transaction(raw))
            cursor = place_slice(counting, made, cursor)
            written.append(counting.written)
            begin_build(counting, made.object, work)
    if cursor.index == len(made):
        with environment.begin() as raw:
            end_build(environment.transaction(raw), made)
    return written


def dismantle(environment, number):
    """Take an object back, one transaction a slice; returns the rows each wrote."""
    written = []
    is_done = False
    while not is_done:
        with environment.begin() as raw:
            counting = Counting(environment.transaction(raw))
            is_done = dismantle_slice(counting, number).is_over
            written.append(counting.written)
    return written


def read_back(view, number):
    """The names of an object's chunks in order, as its extents say."""
    names = []
    for extent in view.extents(number):
        end = extent.offset + extent.length
        for offset, row in view.iter_chunks(extent.pack, extent.offset):
            if offset >= end:
                break
            names.append(row.name)
    return names


def references(view):
    """Name of a chunk → references, over all places."""
    found = {}
    for key, _ in view.scan("chunk_at"):
        row = view.chunk_at(*(int.from_bytes(part) for part in (key[:8], key[8:])))
        found[row.name] = found.get(row.name, 0) + row.references
    return found
