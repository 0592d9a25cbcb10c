"""`index.damage`: what a mark takes away, what clearing it gives back, and what asking costs."""

import pytest

from index.damage import (
    Lost,
    clear_chunk,
    clear_hurt,
    is_hurt,
    iter_bad,
    iter_hurt,
    iter_lost,
    mark_chunk,
    mark_hurt,
)
from index.placement import activate_pack
from index.records import Damage, Object, Place
from index.view import View
from tests.index.chunks import build, dismantle, layout, length_of, name_of
from tests.index.tables import PLACES, Counting, commit, digest_of, dump, put, write

NOW = 1_000_000
STARTS = [sum(map(length_of, range(number))) for number in range(8)]
PACK, ACTIVE = 9, 7


@pytest.fixture
def index(environment):
    """Object 1: chunks 0 to 5, side by side in pack 9."""
    build(environment, layout(1, range(6), PACK))
    return environment


def mark(index, *places, why="flipped", now=NOW):
    return [write(index, lambda t, p=place: mark_chunk(t, Place(*p), now, why)) for place in places]


def clear(index, place):
    return write(index, lambda t: clear_chunk(t, Place(*place)))


def row_of(size, number=1):
    return Object(number, size, 0, 0)


def lost(index, number) -> list[Lost]:
    return index.read(lambda view: list(iter_lost(view, number)))


def hurt(index, row) -> bool:
    return index.read(lambda view: is_hurt(view, row))


# --- marking ---


def test_a_marked_chunk_is_shared_no_more_and_says_what_it_was(index):
    place = (PACK, STARTS[2])

    assert mark(index, place) == [True]

    expected = Damage(length=length_of(2), name=name_of(2), found_at=NOW, why="flipped")
    assert index.read(lambda v: list(v.iter_damage(PACK))) == [(STARTS[2], expected)]
    assert index.read(lambda v: v.chunk(name_of(2))) is None
    assert index.read(lambda v: v.chunk_at(*place)).name == name_of(2)  # objects still need it


def test_the_first_mark_stays(index):
    mark(index, (PACK, 0), (PACK, 0))
    before = index.read(dump)

    assert mark(index, (PACK, 0), why="later", now=NOW + 9) == [True]

    assert index.read(dump) == before


@pytest.mark.parametrize("place", [(PACK, 1), (PACK, 10_000), (8, 0)])
def test_where_there_is_no_chunk_nothing_is_marked(index, place):
    before = index.read(dump)

    assert mark(index, place) == [False]

    assert index.read(dump) == before


def test_a_chunk_that_is_shared_from_elsewhere_stays_shared(index):
    """The same bytes were stored a second time: the sound copy is what later pushes find."""
    mark(index, (PACK, 0))
    build(index, layout(2, [0], 10))
    assert index.read(lambda v: v.chunk(name_of(0))) == (10, 0)

    mark(index, (PACK, 0))
    assert index.read(lambda v: v.chunk(name_of(0))) == (10, 0)
    clear(index, (PACK, 0))
    assert index.read(lambda v: v.chunk(name_of(0))) == (10, 0)


def test_clearing_brings_back_what_was_before(index):
    before = index.read(dump)
    mark(index, (PACK, STARTS[3]))

    assert clear(index, (PACK, STARTS[3]))

    assert index.read(dump) == before
    assert not clear(index, (PACK, STARTS[3]))
    assert index.read(dump) == before


def test_each_of_both_writes_two_rows(index):
    """Whoever marks a step in one transaction counts on it (`cas.maintenance.rehash.CHUNKS`)."""

    def counted(change) -> int:
        with index.begin() as raw:
            counting = Counting(index.transaction(raw))
            change(counting)
            return counting.written

    place = Place(PACK, 0)

    assert counted(lambda t: mark_chunk(t, place, NOW, "x")) == 2
    assert counted(lambda t: clear_chunk(t, place)) == 2


def test_the_mark_goes_with_its_chunk(index):
    before = index.read(dump)
    build(index, layout(2, range(6, 8), 10))
    mark(index, (10, 0))

    dismantle(index, 2)

    assert index.read(lambda v: v.entries("damage")) == 0
    after = index.read(dump)
    assert {name: after[name] for name in ("chunk", "chunk_at", "extent")} == {
        name: before[name] for name in ("chunk", "chunk_at", "extent")
    }


# --- objects ---


@pytest.fixture
def small(environment):
    """Two objects in the index; their rows."""
    commit(environment, [*PLACES, *put(1), *put(2)])
    return [environment.read(lambda v, n=n: v.object(digest_of(n))) for n in (1, 2)]


def mark_object(index, number, object_id, now=NOW, why="flipped"):
    return write(index, lambda t: mark_hurt(t, digest_of(number), object_id, now, why))


def test_a_hurt_object_is_marked_and_cleared_by_its_id(environment, small):
    row, other = small
    before = environment.read(dump)

    assert mark_object(environment, 1, row.id)

    expected = Damage(length=32, name=digest_of(1), found_at=NOW, why="flipped")
    assert environment.read(lambda v: list(iter_hurt(v))) == [(row.id, expected)]
    assert environment.read(lambda v: list(iter_bad(v))) == []  # it is no chunk
    assert [hurt(environment, each) for each in small] == [True, False]
    assert lost(environment, row.id) == []

    assert write(environment, lambda t: clear_hurt(t, row.id))
    assert not write(environment, lambda t: clear_hurt(t, row.id))
    assert environment.read(dump) == before
    assert other.id != row.id


def test_the_first_mark_of_an_object_stays(environment, small):
    row, _ = small
    mark_object(environment, 1, row.id)
    before = environment.read(dump)

    assert not mark_object(environment, 1, row.id, NOW + 9, "again")

    assert environment.read(dump) == before


def test_an_object_that_was_laid_out_anew_or_went_is_not_marked(environment, small):
    """Between the look that found it hurt and the mark."""
    row, other = small
    before = environment.read(dump)

    assert not mark_object(environment, 1, other.id)
    assert not mark_object(environment, 3, row.id)

    assert environment.read(dump) == before


def test_chunks_and_objects_are_told_apart_up_to_the_last_id(index):
    last = (1 << 64) - 1
    write(index, lambda t: t.put("object", digest_of(1), row_of(5, last).encode()))
    mark(index, (PACK, 0), (PACK, STARTS[1]))

    assert mark_object(index, 1, last)

    assert [number for number, _ in index.read(lambda v: list(iter_hurt(v)))] == [last]
    places = [place for place, _ in index.read(lambda v: list(iter_bad(v)))]
    assert places == [(PACK, 0), (PACK, STARTS[1])]


def test_an_object_that_comes_again_has_another_id_and_no_mark(environment, small):
    row, _ = small
    mark_object(environment, 1, row.id)

    commit(environment, put(1))

    new = environment.read(lambda v: v.object(digest_of(1)))
    assert new.id != row.id
    assert (new.size, new.references) == (row.size, row.references)
    assert environment.read(lambda v: v.inline(row.id)) is None
    assert environment.read(lambda v: v.inline(new.id)) == (1).to_bytes(32)
    assert environment.read(lambda v: v.entries("damage")) == 0


# --- asking ---


@pytest.fixture
def mixed(environment):
    """Object 1 has chunks 3 1 3 2 3, of a pack that has them as 1 2 3: four extents; 2 has 4 5."""
    write(environment, lambda t: activate_pack(t, ACTIVE, ACTIVE + 1))
    places: dict[int, int] = {}
    end = 0
    for number in (1, 2, 3):
        places[number], end = end, end + length_of(number)
    chunks = [3, 1, 3, 2, 3]
    offsets = [places[number] for number in chunks]
    build(environment, layout(1, chunks, ACTIVE, offsets=offsets, pack_length=end))
    build(environment, layout(2, [4, 5], PACK))
    return environment, places


def test_damage_is_told_in_the_order_of_the_object_as_often_as_it_has_the_chunk(mixed):
    index, places = mixed
    mark(index, (ACTIVE, places[1]), (ACTIVE, places[3]))

    found = lost(index, 1)

    assert [each.damage.name for each in found] == [name_of(n) for n in (3, 1, 3, 3)]
    assert [each.place for each in found] == [(ACTIVE, places[n]) for n in (3, 1, 3, 3)]
    three, one, two = length_of(3), length_of(1), length_of(2)
    assert [each.logical for each in found] == [
        0,
        three,
        three + one,
        three + one + three + two,
    ]


def test_damage_beside_an_object_is_not_its_own(environment):
    """Three objects side by side in one pack, of which the middle one is damaged."""
    write(environment, lambda t: activate_pack(t, ACTIVE, ACTIVE + 1))
    for number in range(3):
        start = STARTS[number]
        made = layout(number + 1, [number], ACTIVE, offsets=[start], pack_length=STARTS[number + 1])
        build(environment, made)

    mark(environment, (ACTIVE, STARTS[1]))

    assert [len(lost(environment, number)) for number in (1, 2, 3)] == [0, 1, 0]


def test_an_object_without_bytes_has_lost_none(index):
    mark(index, (PACK, 0))

    assert lost(index, 5) == []


@pytest.fixture
def asked(monkeypatch):
    """Which questions of the index were asked."""
    found: list[str] = []

    def spy(name):
        original = getattr(View, name)

        def asking(self, *args, **named):
            found.append(name)
            return original(self, *args, **named)

        monkeypatch.setattr(View, name, asking)

    for name in ("entries", "get", "last_before", "scan", "iter_damage"):
        spy(name)
    return found


@pytest.mark.parametrize("question", [is_hurt, lambda v, row: list(iter_lost(v, row.id))])
def test_while_nothing_is_damaged_a_question_is_one_look_at_a_tables_size(mixed, asked, question):
    index, _ = mixed

    def look(view):
        return bool(question(view, row_of(62))), view.steps

    assert index.read(look) == (False, 0)
    assert asked == ["entries"]


def test_afterwards_whether_it_is_hurt_is_one_row_however_many_extents_it_has(mixed, asked):
    index, places = mixed
    mark(index, (ACTIVE, places[1]))
    asked.clear()

    def look(view):
        return is_hurt(view, row_of(62)), view.steps

    assert index.read(look) == (False, 0)  # nobody has marked the object yet
    assert asked == ["entries", "get"]


def test_what_it_lost_is_one_question_for_each_extent(mixed, asked):
    index, _ = mixed
    mark(index, (PACK, 0))  # of another object
    asked.clear()

    def look(view):
        return list(iter_lost(view, 1)), view.steps

    found, steps = index.read(look)

    assert found == []
    assert asked.count("iter_damage") == 4
    assert steps <= 2 * 4 + 1
