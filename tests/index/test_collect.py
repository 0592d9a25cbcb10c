"""`index.collect` and what deletes packages: what each transaction takes, and what it leaves."""

import pytest

from index import keys
from index.apply import apply
from index.changes import DropPackage, EdgeKind, SetTag, Unlink
from index.collect import collect_slice, iter_due
from index.errors import TargetMissing
from index.ledger import Clock
from index.placement import ROWS, mark_pack, unmark_pack
from index.records import GarbageKind, Pack, PackState
from tests.index.tables import (
    CLOCK,
    IMAGE,
    PLACES,
    Counting,
    commit,
    digest_of,
    dump,
    manifest,
    put,
    write,
)

LATER = CLOCK.now + CLOCK.grace


@pytest.fixture
def index(environment):
    commit(environment, PLACES)
    return environment


def take(index, now=LATER, rows=ROWS):
    return write(index, lambda t: collect_slice(t, Clock(now, CLOCK.grace), rows))


def take_all(index, rows=ROWS) -> list[int]:
    """Collect until nothing waits, however long that is; the rows of each transaction."""
    written = []
    for step in range(1, 10):
        while not (taken := take(index, CLOCK.now + step * CLOCK.grace, rows)).is_over:
            written.append(taken.rows)
    return written


def garbage(index) -> list[GarbageKind]:
    rows = index.read(lambda v: [key for key, _ in v.scan("garbage")])
    return [GarbageKind(keys.split_garbage(key)[1]) for key in rows]


def is_linked(index, number) -> bool:
    def look(view):
        image = view.image(IMAGE)
        return image is not None and view.link(image.id, digest_of(number)) is not None

    return index.read(look)


# --- what is due ---


def test_nothing_is_taken_before_its_time(index):
    commit(index, put(1))
    before = index.read(dump)

    taken = take(index, LATER - 1)

    assert (taken.links, taken.blobs, taken.is_over) == (0, 0, True)
    assert index.read(dump) == before
    assert index.read(lambda v: list(iter_due(v, LATER - 1))) == []


def test_a_link_and_its_object_go_at_once(index):
    commit(index, put(1))

    taken = take(index)

    assert (taken.links, taken.blobs, taken.manifests, taken.is_over) == (1, 1, 0, True)
    empty = index.read(dump)
    assert all(not empty[table] for table in ("link", "object", "inline", "garbage", "image"))


@pytest.mark.parametrize("kind", [GarbageKind.LINK, GarbageKind.OBJECT])
def test_a_row_that_nothing_waits_for_takes_nothing(index, kind):
    """As a damaged index may have it: what is referred to stays."""
    commit(
        index,
        (*put(1), *put(2), manifest(2, ((1, EdgeKind.LAYER),)), SetTag(IMAGE, "v", digest_of(2))),
    )
    image = index.read(lambda v: v.image(IMAGE)).id
    name = image + digest_of(1) if kind is GarbageKind.LINK else digest_of(1)
    before = index.read(dump)
    write(index, lambda t: t.put("garbage", keys.garbage(5, kind, name)))

    taken = take(index)

    assert (taken.links, taken.blobs) == (0, 0)
    assert index.read(dump) == before


def test_a_slice_ends_at_its_rows_and_the_next_goes_on(index):
    for number in range(40):
        commit(index, put(number))
    counts = []
    while True:
        taken = take(index, rows=64)
        counts.append(taken.rows)
        if taken.is_over:
            break

    assert max(counts) <= 64
    assert len(counts) > 3
    assert garbage(index) == []


# --- marks of packs ---


def test_a_mark_stays_when_the_pack_lost_more_meanwhile(index):
    def prepare(transaction):
        transaction.put("pack", keys.u64(7), Pack(PackState.SEALED, 100, 60).encode())
        mark_pack(transaction, 7)

    write(index, prepare)

    assert not write(index, lambda t: unmark_pack(t, 7, 80))
    assert garbage(index) == [GarbageKind.PACK]
    assert write(index, lambda t: unmark_pack(t, 7, 60))
    assert garbage(index) == []


def test_marks_are_no_garbage_of_any_time(index):
    write(index, lambda t: mark_pack(t, 7))

    assert take(index).is_over
    assert garbage(index) == [GarbageKind.PACK]


# --- packages ---


def family(index, width: int, layers: int) -> None:
    """Index 1 with `width` children from 1000 on, each with layers of its own; tag v."""
    children = range(1000, 1000 + width)
    for child in children:
        blobs = [child * 1000 + each for each in range(layers)]
        for blob in blobs:
            commit(index, put(blob))
        edges = [(blob, EdgeKind.LAYER) for blob in blobs]
        commit(index, (*put(child), manifest(child, edges)))
    edges = [(child, EdgeKind.CHILD) for child in children]
    commit(index, (*put(1), manifest(1, edges), SetTag(IMAGE, "v", digest_of(1))))


def drop(index, tag="v"):
    """The rows that a package's deletion wrote."""
    with index.begin() as raw:
        counting = Counting(index.transaction(raw))
        apply(counting, [DropPackage(IMAGE, tag)], (), CLOCK)
        return counting.written


def test_a_package_takes_along_what_only_it_needed(index):
    family(index, width=3, layers=2)

    drop(index)

    assert [is_linked(index, number) for number in (1, 1000, 1001, 1002)] == [False, *[True] * 3]
    take(index)
    assert not any(is_linked(index, number) for number in (1000, 1001, 1002))
    assert is_linked(index, 1000 * 1000)  # its grace has begun
    take_all(index)
    assert index.read(lambda v: v.entries("object")) == 0


def test_a_wide_one_goes_in_bounded_transactions(index):
    family(index, width=40, layers=8)

    assert drop(index) <= ROWS
    assert garbage(index).count(GarbageKind.MANIFEST) == 40
    rows = take_all(index)

    assert max(rows) <= ROWS
    assert index.read(lambda v: v.entries("manifest")) == 0
    assert garbage(index) == []


def test_one_manifest_of_many_edges_is_a_transaction_of_its_own(index):
    blobs = range(5000, 5200)
    for blob in blobs:
        commit(index, put(blob))
    edges = [(blob, EdgeKind.LAYER) for blob in blobs]
    commit(index, (*put(2), *put(3), manifest(2, edges), manifest(3)))
    parents = [(2, EdgeKind.CHILD), (3, EdgeKind.CHILD)]
    commit(index, (*put(1), manifest(1, parents), SetTag(IMAGE, "v", digest_of(1))))
    for number in range(10, 20):
        commit(index, put(number))
    drop(index)

    rows = take_all(index)

    assert sum(count > ROWS for count in rows) == 1
    assert index.read(lambda v: v.entries("object")) == 0


def test_what_is_pushed_again_is_asked_about_no_more(index):
    family(index, width=2, layers=1)
    drop(index)

    commit(index, (*put(1000), manifest(1000, [(1000 * 1000, EdgeKind.LAYER)])))
    take_all(index)

    assert is_linked(index, 1000)
    assert is_linked(index, 1000 * 1000)
    assert not is_linked(index, 1001)
    assert garbage(index) == []


def test_who_needs_a_child_again_keeps_it(index):
    family(index, width=2, layers=1)
    drop(index)

    again = manifest(7, [(1001, EdgeKind.CHILD)])
    commit(index, (*put(7), again, SetTag(IMAGE, "w", digest_of(7))))
    take_all(index)

    assert [is_linked(index, number) for number in (1000, 1001)] == [False, True]


def test_a_lease_is_longer_than_the_question(index):
    family(index, width=1, layers=1)
    commit(index, put(1000, lease=3 * CLOCK.grace))
    drop(index)

    take(index, CLOCK.now + 2 * CLOCK.grace)
    assert is_linked(index, 1000)
    take(index, CLOCK.now + 3 * CLOCK.grace)
    assert not is_linked(index, 1000)


def test_a_subject_that_is_pushed_again_keeps_its_referrers(index):
    commit(index, (*put(1), *put(2)))
    commit(index, (manifest(1), SetTag(IMAGE, "v", digest_of(1))))
    commit(index, (manifest(2, subject=digest_of(1)),))
    drop(index)
    assert GarbageKind.MANIFEST in garbage(index)

    commit(index, (*put(1), manifest(1), SetTag(IMAGE, "v", digest_of(1))))
    take_all(index)

    assert is_linked(index, 2)


def test_a_child_that_refers_to_what_lives_stays(index):
    commit(index, (*put(5), manifest(5), SetTag(IMAGE, "live", digest_of(5))))
    commit(index, (*put(2), manifest(2, subject=digest_of(5))))
    parents = [(2, EdgeKind.CHILD)]
    commit(index, (*put(1), manifest(1, parents), SetTag(IMAGE, "v", digest_of(1))))
    drop(index)

    take_all(index)

    assert is_linked(index, 2)


def test_a_question_about_what_is_needed_is_answered_by_no(index):
    family(index, width=1, layers=1)
    image = index.read(lambda v: v.image(IMAGE)).id
    before = index.read(dump)
    question = keys.garbage(5, GarbageKind.MANIFEST, image + digest_of(1000))
    write(index, lambda t: t.put("garbage", question))

    take(index, CLOCK.now)

    assert index.read(dump) == before


def test_a_manifest_that_refers_to_itself_or_in_a_circle_goes(index):
    commit(index, (*put(1), *put(2), *put(3)))
    commit(index, (manifest(1, subject=digest_of(1)), SetTag(IMAGE, "self", digest_of(1))))
    commit(index, (manifest(2, subject=digest_of(3)), manifest(3, subject=digest_of(2))))
    commit(index, (SetTag(IMAGE, "circle", digest_of(2)),))

    drop(index, "self")
    drop(index, "circle")
    take_all(index)

    assert not any(is_linked(index, number) for number in (1, 2, 3))


def test_a_tag_that_is_not_there_is_told(index):
    commit(index, put(1))

    with pytest.raises(TargetMissing):
        commit(index, [DropPackage(IMAGE, "absent")])


def test_a_tagged_referrer_stays_and_so_does_what_it_needs(index):
    commit(index, (*put(1), *put(2), *put(3)))
    commit(index, (manifest(1), SetTag(IMAGE, "v", digest_of(1))))
    commit(index, (manifest(2, ((3, EdgeKind.LAYER),), subject=digest_of(1)),))
    commit(index, (SetTag(IMAGE, "signature", digest_of(2)),))

    drop(index)
    take(index)

    assert [is_linked(index, number) for number in (1, 2, 3)] == [False, True, True]


def test_after_an_unlink_nothing_is_swept(index):
    family(index, width=2, layers=1)

    commit(index, [Unlink(IMAGE, digest_of(1))])

    assert is_linked(index, 1000)
    assert GarbageKind.MANIFEST not in garbage(index)
