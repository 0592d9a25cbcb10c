"""`index.placement`: slices of at most ROWS rows, exact counts, and taking it all back."""

from collections import Counter

import pytest

from index import keys
from index.placement import (
    ROWS,
    ChunkMissing,
    Cursor,
    activate_pack,
    begin_build,
    dismantle_slice,
    end_build,
    give_up_build,
    is_live,
    place_slice,
)
from index.records import Extent, GarbageKind, Pack, PackState, Work, WorkKind
from tests.index.chunks import (
    build,
    dismantle,
    layout,
    length_of,
    name_of,
    read_back,
    references,
)
from tests.index.tables import dump, write

MANY = range(3 * ROWS // 4)


def _names(chunks):
    return [name_of(number) for number in chunks]


def _offsets(chunks, start=0):
    """Where chunks lie that are appended one after the other."""
    offsets = []
    for number in chunks:
        offsets.append(start)
        start += length_of(number)
    return offsets


@pytest.fixture
def active(environment):
    """Pack 7 takes appends; 8 is next."""
    write(environment, lambda t: activate_pack(t, 7, 8))
    return environment


def _append(index, number, chunks):
    """Append all of `chunks` to the active pack and build the object from them."""
    start = index.read(lambda v: v.pack(7).length)
    offsets = _offsets(chunks, start)
    end = offsets[-1] + length_of(chunks[-1])
    return build(index, layout(number, chunks, 7, offsets=offsets, pack_length=end))


# --- what is built ---


def test_an_adopted_object_is_one_extent_of_its_own_pack(environment):
    build(environment, layout(1, range(5), 9))

    size = sum(map(length_of, range(5)))
    assert environment.read(lambda v: v.extents(1)) == [Extent(9, 0, size)]
    assert environment.read(lambda v: v.pack(9)) == Pack(PackState.SEALED, size, size)
    assert environment.read(lambda v: read_back(v, 1)) == _names(range(5))


def test_slices_join_into_one_extent(environment):
    assert len(build(environment, layout(1, MANY, 9))) > 1

    assert environment.read(lambda v: len(v.extents(1))) == 1
    assert environment.read(lambda v: read_back(v, 1)) == _names(MANY)


def test_an_appended_object_lies_where_it_was_appended(active):
    _append(active, 1, range(3))
    _append(active, 2, range(10, 13))

    first = sum(map(length_of, range(3)))
    assert active.read(lambda v: v.extents(2)[0].offset) == first
    assert active.read(lambda v: v.pack(7).state) is PackState.ACTIVE
    assert active.read(lambda v: read_back(v, 2)) == _names(range(10, 13))


def test_a_known_chunk_is_shared_and_counted(active):
    _append(active, 1, range(5))
    build(active, layout(2, [3, 20, 1], 9))

    assert active.read(lambda v: read_back(v, 2)) == _names([3, 20, 1])
    assert active.read(references) == {
        name: 2 if name in _names([3, 1]) else 1 for name in _names([0, 1, 2, 3, 4, 20])
    }
    assert active.read(lambda v: v.pack(9).live) == length_of(20)


def test_an_object_of_known_chunks_needs_no_pack(active):
    _append(active, 1, range(5))
    build(active, layout(2, [0, 1, 2], 0, offsets=[-1] * 3, pack_length=0))

    assert active.read(lambda v: v.pack(0)) is None
    assert active.read(lambda v: v.extents(2)) == [Extent(7, 0, sum(map(length_of, range(3))))]


def test_a_chunk_repeated_within_an_object_is_stored_once_and_counted_each_time(environment):
    chunks = [1, 2, 1, 1, 3, 1]
    build(environment, layout(1, chunks, 9))

    assert environment.read(references) == Counter(_names(chunks))
    assert environment.read(lambda v: v.pack(9).live) == sum(map(length_of, {1, 2, 3}))
    assert environment.read(lambda v: read_back(v, 1)) == _names(chunks)


def test_a_chunk_repeated_in_a_later_slice_is_stored_once(environment):
    chunks = [*MANY, *MANY]
    build(environment, layout(1, chunks, 9))

    assert environment.read(references) == Counter(_names(chunks))
    assert environment.read(lambda v: v.entries("chunk_at")) == len(MANY)
    assert environment.read(lambda v: read_back(v, 1)) == _names(chunks)


def test_the_extent_never_grows_into_another_packs_bytes(active):
    """Chunks that follow each other in the object and lie elsewhere begin a new extent."""
    _append(active, 1, [0, 1, 2, 3])
    build(active, layout(2, [2, 3, 0, 50, 1, 2], 9))

    assert active.read(lambda v: len(v.extents(2))) == 4
    assert active.read(lambda v: read_back(v, 2)) == _names([2, 3, 0, 50, 1, 2])


# --- what lookups ignore ---


def test_an_incoming_packs_chunks_are_shared_with_nobody(active):
    build(active, layout(1, MANY, 9), stop_after=1)
    _append(active, 2, range(3))

    assert not active.read(lambda v: is_live(v, 9))
    assert {extent.pack for extent in active.read(lambda v: v.extents(2))} == {7}
    assert active.read(lambda v: v.chunk(name_of(0)).pack) == 7


def test_once_complete_they_are_shared(active):
    build(active, layout(1, MANY, 9))
    build(active, layout(2, [5], 0, offsets=[-1], pack_length=0))

    assert active.read(lambda v: v.extents(2)[0].pack) == 9


def test_a_dead_packs_chunks_are_ignored(active):
    build(active, layout(1, [1], 9))
    dead = Pack(PackState.DEAD, 10, 10).encode()
    write(active, lambda t: t.put("pack", keys.u64(9), dead))

    with pytest.raises(ChunkMissing):
        build(active, layout(2, [1], 0, offsets=[-1], pack_length=0))


def test_a_chunk_that_went_since_the_look_is_named_and_nothing_is_written(active):
    _append(active, 1, range(3))
    before = active.read(dump)

    with pytest.raises(ChunkMissing) as missing:
        build(active, layout(2, [0, 1, 30], 7, offsets=[-1, -1, -1], pack_length=9))

    assert missing.value.index == 2
    assert active.read(dump) == before


def test_two_builds_of_the_same_chunks_do_not_disturb_each_other(environment):
    build(environment, layout(1, MANY, 9), stop_after=1)
    build(environment, layout(2, MANY, 10))
    write(environment, lambda t: give_up_build(t, 1))
    dismantle(environment, 1)

    assert environment.read(lambda v: read_back(v, 2)) == _names(MANY)
    assert environment.read(references) == Counter(_names(MANY))
    assert environment.read(lambda v: v.pack(9)) is None
    assert environment.read(lambda v: {v.chunk(name).pack for name in _names(MANY)}) == {10}


# --- taking back ---


def mark_of(pack):
    """The row that says that a pack has lost bytes."""
    return keys.garbage(0, GarbageKind.PACK, keys.u64(pack))


@pytest.mark.parametrize("count", [1, 5, len(MANY), 3 * len(MANY)])
@pytest.mark.parametrize("stop_after", [1, 2, None])
def test_dismantling_leaves_everything_as_it_was(active, count, stop_after):
    _append(active, 1, range(0, 600, 3))
    before = active.read(dump)

    build(active, layout(2, range(count), 9), stop_after=stop_after)
    assert active.read(dump) != before
    dismantle(active, 2)

    after = active.read(dump)
    left = after["pack"].pop(keys.u64(9), None)
    marked = after["garbage"].pop(mark_of(9), None)
    assert after == before
    # A sealed pack stays for the collection, marked, as one without a live byte.
    assert (left is None) == (marked is None)
    assert left is None or Pack.decode(left).live == 0


def test_dismantling_an_appended_object_only_leaves_the_packs_length(active):
    _append(active, 1, range(50))
    before = active.read(dump)
    length = active.read(lambda v: v.pack(7).length)

    _append(active, 2, range(40, 400))
    dismantle(active, 2)

    after = active.read(dump)
    pack = Pack.decode(after["pack"][keys.u64(7)])
    assert pack.length > length
    assert after["garbage"].pop(mark_of(7)) == b""
    after["pack"][keys.u64(7)] = pack._replace(length=length).encode()
    assert after == before


def test_what_two_objects_share_goes_with_the_last(active):
    _append(active, 1, range(300))
    build(active, layout(2, range(300), 0, offsets=[-1] * 300, pack_length=0))
    dismantle(active, 1)

    assert active.read(lambda v: read_back(v, 2)) == _names(range(300))
    assert set(active.read(references).values()) == {1}

    dismantle(active, 2)

    assert active.read(lambda v: [v.entries(t) for t in ("chunk", "chunk_at", "extent")]) == [0] * 3
    assert active.read(lambda v: v.pack(7).live) == 0


def test_dismantling_again_changes_nothing(active):
    _append(active, 1, range(5))
    before = active.read(dump)

    assert dismantle(active, 99) == [0]
    assert active.read(dump) == before


# --- slices ---


def _check(written):
    assert max(written) <= ROWS
    assert min(written[:-1], default=ROWS) > ROWS - 8  # and each is as full as it can be


@pytest.mark.parametrize("count", [10, 169, 170, 171, 1000])
def test_slices_of_new_chunks_are_bounded(environment, count):
    _check(build(environment, layout(1, range(count), 9)))
    _check(dismantle(environment, 1))


def test_slices_of_scattered_chunks_are_bounded(active):
    _append(active, 1, range(600))
    chunks = list(range(0, 600, 2)) + list(range(1, 600, 2))

    _check(build(active, layout(2, chunks, 9)))
    _check(dismantle(active, 2))


def test_slices_over_as_many_packs_as_chunks_are_bounded(environment):
    def scatter(transaction):
        for number in range(300):
            made = layout(1000 + number, [number], 100 + number)
            place_slice(transaction, made, Cursor())
            end_build(transaction, made)

    write(environment, scatter)
    build(environment, layout(1, range(300), 9))
    write(environment, lambda t: [dismantle_slice(t, 1000 + number) for number in range(300)])

    # Each chunk's last reference goes, and with it a live byte count of another pack.
    _check(dismantle(environment, 1))


def test_a_pack_whose_chunks_are_all_known_still_gets_its_row_within_the_bound(active):
    _append(active, 1, range(600))
    chunks = list(range(0, 600, 2)) + list(range(1, 600, 2))

    _check(build(active, layout(2, chunks, 9)))
    assert active.read(lambda v: v.pack(9).live) == 0


def test_a_slice_run_again_writes_the_same(environment):
    made = layout(1, MANY, 9)
    with environment.begin() as raw:
        for _ in range(2):
            with environment.child(raw) as child:
                cursor = place_slice(environment.transaction(child), made, Cursor())
                child.abort()
        first = place_slice(environment.transaction(raw), made, Cursor())

    assert first == cursor
    assert environment.read(lambda v: read_back(v, 1)) == _names(range(first.index))


# --- work and packs ---


def test_work_stands_while_a_build_lasts(environment):
    build(environment, layout(1, MANY, 9), stop_after=1)

    assert environment.read(lambda v: [number for number, _ in v.iter_work()]) == [1]
    assert environment.read(lambda v: v.pack(9).state) is PackState.INCOMING

    dismantle(environment, 1)

    assert environment.read(lambda v: list(v.iter_work())) == []


def test_giving_up_turns_the_work_around_and_keeps_what_it_names(environment):
    work = Work(kind=WorkKind.BUILD, upload="abc", digest=b"d", object=1, pack=9, cursor=b"c")
    write(environment, lambda t: begin_build(t, 1, work))
    write(environment, lambda t: give_up_build(t, 1))
    write(environment, lambda t: give_up_build(t, 2))  # never begun: nothing to turn

    turned = Work(kind=WorkKind.DISMANTLE, upload="abc", digest=b"d", object=1, pack=9)
    assert environment.read(lambda v: list(v.iter_work())) == [(1, turned)]


def test_activating_a_pack_seals_the_one_before(active):
    _append(active, 1, range(3))
    write(active, lambda t: activate_pack(t, 8, 9))

    assert active.read(lambda v: [row.state for _, row in v.iter_packs()]) == [
        PackState.SEALED,
        PackState.ACTIVE,
    ]
    assert active.read(lambda v: v.get("meta", keys.META_ACTIVE)) == keys.u64(8)
    assert active.read(lambda v: v.get("meta", keys.META_NEXT)) == keys.u64(9)
    assert active.read(lambda v: is_live(v, 7) and is_live(v, 8))


def test_ending_a_build_leaves_an_active_pack_active(active):
    _append(active, 1, [1])
    write(active, lambda t: end_build(t, layout(1, [1], 7)))

    assert active.read(lambda v: v.pack(7).state) is PackState.ACTIVE


def test_an_empty_layout_is_placed_at_once(environment):
    def place(transaction):
        return place_slice(transaction, layout(1, [], 0), Cursor())

    assert write(environment, place) == Cursor()


def test_dismantling_a_damaged_index_comes_to_its_end(environment):
    build(environment, layout(1, range(20), 9))
    lost = sum(map(length_of, range(10)))
    write(environment, lambda t: t.delete("chunk_at", keys.place(9, lost)))

    dismantle(environment, 1)

    assert environment.read(lambda v: v.extents(1)) == []
    left = environment.read(lambda v: [row.name for _, row in v.iter_chunks(9)])
    assert left == _names(range(10))  # before the gap: to whom they belong nobody can tell
