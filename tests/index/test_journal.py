"""`index.journal`: in the commit it tells of, bounded, and for each repository by itself."""

import pytest

from index import journal, keys
from index.changes import Note, PutRecord, PutRepository, SetTag, Unlink
from index.errors import ExpectationsFailed, TargetMissing
from index.expectations import StorageAbsent
from index.journal import entry_key, iter_entries, place_key
from index.records import Entry, Repository
from tests.index.tables import IMAGE, PLACES, Counting, commit, digest_of, dump, write


def entry(number, at=1000):
    return Entry(at=at, action="test", actor="ada", target=str(number), detail={"n": number})


def note(number, repository="", at=1000, rows=100, since=0):
    return Note(entry(number, at), repository, rows, since)


def listed(index, repository=0, **range_) -> list[tuple[int, str]]:
    """(number, target), in their order."""
    found = index.read(lambda view: list(iter_entries(view, repository, **range_)))
    return [(number, each.target) for number, each in found]


def rows(index) -> dict[bytes, bytes]:
    return index.read(lambda view: dump(view)["journal"])


@pytest.fixture
def index(environment):
    commit(environment, PLACES)
    return environment


def test_entries_come_newest_first_or_follow_in_their_order(index):
    for number in range(1, 6):
        commit(index, [note(number)])

    assert [number for number, _ in listed(index)] == [5, 4, 3, 2, 1]
    assert [number for number, _ in listed(index, before=4)] == [3, 2, 1]
    assert [number for number, _ in listed(index, after=3)] == [4, 5]
    assert [number for number, _ in listed(index, after=0)] == [1, 2, 3, 4, 5]
    assert listed(index, after=5) == listed(index, before=1) == listed(index, before=0) == []
    assert listed(index, after=2**64 - 1) == []


def test_an_entry_comes_out_as_it_went_in(index):
    commit(index, [note(7)])

    assert index.read(lambda view: list(iter_entries(view))) == [(1, entry(7))]


def test_a_repository_has_its_own_numbers_that_tell_nothing_of_others(index):
    for number in range(6):
        commit(index, [note(number, ("local/images", "local/more", "")[number % 3])])

    images, more = (
        index.read(lambda view, name=name: view.repository(name).id)
        for name in ("local/images", "local/more")
    )
    assert listed(index, images) == [(1001, "3"), (1000, "0")]
    assert listed(index, more) == [(1001, "4"), (1000, "1")]
    assert listed(index, more, after=1000) == [(1001, "4")]
    assert listed(index, more, before=1001) == [(1000, "1")]
    assert listed(index, 999) == []


def test_who_follows_a_repository_misses_nothing_when_its_entries_have_all_gone(index):
    number = index.read(lambda view: view.repository("local/images").id)
    for at in (1000, 1000, 1001):
        commit(index, [note(0, "local/images", at=at)])
    seen = listed(index, number)[0][0]
    for each in range(10):
        commit(index, [note(each, at=1002, rows=5)])
    assert listed(index, number) == []

    commit(index, [note(7, "local/images", at=1003, rows=5)])

    assert [target for _, target in listed(index, number, after=seen)] == ["7"]


def test_a_repository_created_in_the_same_commit_is_told_of(index):
    commit(index, [PutRepository("local/new", Repository()), note(1, "local/new")])

    number = index.read(lambda view: view.repository("local/new").id)
    assert listed(index, number) == [(1000, "1")]


def test_of_a_repository_that_is_not_there_administrators_are_told(index):
    commit(index, [note(1, "local/nowhere")])

    assert listed(index) == [(1, "1")]
    assert list(rows(index)) == [entry_key(1)]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([note(1), Unlink(IMAGE, digest_of(1))], TargetMissing),
        ([Unlink(IMAGE, digest_of(1)), note(1)], TargetMissing),
        ([note(1), SetTag(IMAGE, "v1", digest_of(9))], TargetMissing),
    ],
)
def test_a_commit_that_fails_writes_no_row(index, changes, expected):
    commit(index, [note(0)])
    before = rows(index)

    with pytest.raises(expected):
        commit(index, changes)

    assert rows(index) == before


def test_a_failed_expectation_writes_no_row(index):
    with pytest.raises(ExpectationsFailed):
        commit(index, [note(1)], [StorageAbsent("local")])

    assert rows(index) == {}


def test_the_journal_has_so_many_rows_and_no_more(index):
    for number in range(50):
        commit(index, [note(number, "local/images" if number % 2 else "", rows=10)])

    assert [target for _, target in listed(index)] == [str(number) for number in range(49, 39, -1)]
    assert len(rows(index)) == 10 + 5  # and the places of those about a repository


def test_what_is_too_old_goes_a_few_at_a_time(index):
    for number in range(20):
        commit(index, [note(number, at=1000 + number)])
    for number in range(20, 24):
        commit(index, [note(number, at=5000, since=1010)])

    assert [target for _, target in listed(index, after=0)] == [str(n) for n in range(10, 24)]


def test_a_smaller_bound_is_reached_soon_and_no_note_pays_much(index):
    for number in range(100):
        commit(index, [note(number)])

    written = write(index, lambda t: _count(t, note(100, "local/images", rows=10)))
    for number in range(101, 140):
        commit(index, [note(number, rows=10)])

    assert written <= 2 + 2 * journal.TRIM
    assert len(listed(index)) == 10


def _count(transaction, change):
    counting = Counting(transaction)
    journal.note(counting, change)
    return counting.written


def test_a_sequence_is_never_used_twice(index):
    for number in range(20):
        commit(index, [note(number, rows=1)])

    assert listed(index) == [(20, "19")]


def test_a_row_that_cannot_be_read_keeps_no_commit_from_its_way(index):
    commit(index, [note(1)])
    commit(index, [note(2)])
    write(index, lambda t: t.put("journal", entry_key(1), b"\xc1damaged"))

    assert listed(index) == [(2, "2")]
    commit(index, [note(3, rows=2)])

    assert [number for number, _ in listed(index, after=0)] == [2, 3]
    assert entry_key(1) not in rows(index)


def test_a_page_costs_the_page(index):
    for number in range(60):
        commit(index, [note(number, "local/images")])

    def steps(view):
        found = iter_entries(view, 1, before=1050)
        assert len([next(found) for _ in range(10)]) == 10
        return view.steps

    assert index.read(steps) <= 2 * 10 + 2


def test_opaque_rows_are_not_the_journals(index):
    with pytest.raises(TargetMissing):
        commit(index, [PutRecord("journal", entry_key(1), b"forged")])


def test_keys_are_as_documented():
    assert entry_key(258) == b"\0" + keys.u64(258)
    assert place_key(3, 258) == b"\1" + keys.u32(3) + keys.u64(258)
