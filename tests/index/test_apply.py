"""`index.apply` and `index.ledger`: every count of invariant 3, change by change."""

import pytest

from index import keys
from index.apply import apply
from index.changes import (
    EdgeKind,
    ImageName,
    Link,
    PlaceObject,
    PutManifest,
    PutRecord,
    PutRepository,
    SetTag,
    Unlink,
)
from index.errors import TargetMissing
from index.ledger import Clock
from index.records import GarbageKind, Manifest, Repository, Usage
from tests.index.tables import (
    CLOCK,
    ELSEWHERE,
    IMAGE,
    OTHER,
    PLACES,
    Counting,
    commit,
    digest_of,
    dump,
    manifest,
    put,
    write,
)

ONE, TWO, THREE = map(digest_of, (1, 2, 3))


@pytest.fixture
def index(environment):
    commit(environment, PLACES)
    return environment


def _link(index, digest, image=IMAGE):
    return index.read(lambda v: v.link(v.image(image).id, digest))


def _references(index, *digests, image=IMAGE):
    return [_link(index, digest, image).references for digest in digests]


def _garbage(index):
    return index.read(lambda v: [keys.split_garbage(key)[:2] for key, _ in v.scan("garbage")])


# --- links and objects ---


def test_a_link_lets_the_image_serve_the_object(index):
    commit(index, put(1, lease=60))

    row = index.read(lambda v: v.object(ONE))
    assert (row.size, row.references, row.not_before) == (32, 1, 0)
    assert index.read(lambda v: v.inline(row.id)) == (1).to_bytes(32)
    assert _link(index, ONE)[:3] == (CLOCK.now, CLOCK.now + 60, 0)


def test_the_same_bytes_are_kept_once_and_linked_twice(index):
    commit(index, put(1))
    commit(index, put(1, OTHER))

    assert index.read(lambda v: (v.object(ONE).references, v.entries("inline"))) == (2, 1)


def test_linking_again_keeps_the_age_and_only_lengthens_the_lease(index):
    commit(index, put(1, lease=100))
    commit(index, [Link(IMAGE, ONE, 10)], clock=Clock(CLOCK.now + 5, 0))

    assert _link(index, ONE)[:2] == (CLOCK.now, CLOCK.now + 100)

    commit(index, [Link(IMAGE, ONE, 200)], clock=Clock(CLOCK.now + 5, 0))

    assert _link(index, ONE)[:2] == (CLOCK.now, CLOCK.now + 205)


def test_a_link_to_nothing_is_refused_and_nothing_changes(index):
    before = index.read(dump)

    with pytest.raises(TargetMissing, match="object"):
        commit(index, [*put(1), Link(IMAGE, TWO)])

    assert index.read(dump) == before


@pytest.mark.parametrize(
    "changes",
    [
        [*put(1, ImageName("local/absent", "app"))],
        [Unlink(IMAGE, ONE)],
        [Unlink(ImageName("local/images", "absent"), ONE)],
        [SetTag(IMAGE, "v1", TWO)],
        [SetTag(IMAGE, "v1", None)],
        [manifest(2)],
        [PutRepository("absent/images", Repository())],
        [PutRecord("link", b"key", b"value")],
        [*put(1), Unlink(IMAGE, ONE), Unlink(IMAGE, ONE)],
    ],
)
def test_a_change_of_what_is_not_there_is_refused_and_nothing_changes(index, changes):
    commit(index, put(3))
    before = index.read(dump)

    with pytest.raises(TargetMissing):
        commit(index, [PutRecord("user", b"ada", b"hash"), *changes])

    assert index.read(dump) == before


def test_unlinking_leaves_the_object_to_the_other_image(index):
    commit(index, [*put(1), *put(1, OTHER)])
    commit(index, [Unlink(IMAGE, ONE)])

    assert index.read(lambda v: v.image(IMAGE)) is None
    assert index.read(lambda v: v.object(ONE).references) == 1
    assert _garbage(index) == [(CLOCK.now + CLOCK.grace, GarbageKind.LINK)]


def test_everything_unlinked_leaves_only_the_object_and_its_garbage_row(index):
    commit(index, [*put(1), *put(2), manifest(1, [(2, EdgeKind.LAYER)])])
    commit(index, [SetTag(IMAGE, "v1", ONE), Unlink(IMAGE, ONE), Unlink(IMAGE, TWO)])

    left = {table for table, rows in index.read(dump).items() if rows}
    assert left == {
        *("meta", "storage", "repository", "repository_by_id", "usage"),
        *("object", "inline", "garbage"),
    }
    assert _garbage(index) == [(CLOCK.now + CLOCK.grace, GarbageKind.OBJECT)] * 2


def test_unlinking_and_linking_in_one_commit_is_a_fresh_link(index):
    commit(index, [*put(1), *put(2), manifest(1, [(2, EdgeKind.LAYER)])])
    identity = index.read(lambda v: v.image(IMAGE).id)
    commit(index, [Unlink(IMAGE, TWO), Link(IMAGE, TWO)], clock=Clock(CLOCK.now + 9, 0))

    assert _link(index, TWO)[:3] == (CLOCK.now + 9, 0, 1)
    assert index.read(lambda v: v.image(IMAGE).id) == identity


def test_a_placed_object_has_no_inline_row(index):
    commit(index, [PlaceObject(ONE, 77, 5), Link(IMAGE, ONE)])

    row = index.read(lambda v: v.object(ONE))
    assert (row.id, row.size, row.references) == (77, 5, 1)
    assert index.read(lambda v: v.inline(77)) is None


def test_an_empty_commit_still_has_a_revision(index):
    assert commit(index, []) == index.read(lambda v: v.revision()) == 2


# --- references ---


def test_references_are_edges_and_tags_and_being_a_manifest(index):
    commit(index, [*put(1), *put(2), *put(3)])
    commit(index, [manifest(1, [(3, EdgeKind.LAYER)]), manifest(2, [(3, EdgeKind.LAYER)])])
    commit(index, [SetTag(IMAGE, tag, ONE) for tag in "abc"])

    assert _references(index, ONE, TWO, THREE) == [4, 1, 2]


def test_a_subject_adds_no_reference(index):
    commit(index, [*put(1), *put(2), manifest(2, subject=ONE)])

    assert _references(index, ONE, TWO) == [0, 1]


def test_an_edge_to_an_absent_child_is_counted_by_its_later_link(index):
    commit(index, [*put(1), manifest(1, [(2, EdgeKind.LAYER)])])
    commit(index, put(2))

    assert _references(index, TWO) == [1]
    assert _link(index, TWO).not_before == 0


def test_a_child_named_twice_is_one_edge(index):
    twice = [(2, EdgeKind.CONFIG), (2, EdgeKind.LAYER)]
    commit(index, [*put(1), *put(2), manifest(1, twice)])

    assert _references(index, TWO) == [1]

    commit(index, [Unlink(IMAGE, ONE)])

    assert _references(index, TWO) == [0]


def test_edges_count_in_their_own_image_only(index):
    commit(index, [*put(1), *put(2), *put(2, OTHER), manifest(1, [(2, EdgeKind.LAYER)])])

    assert _references(index, TWO) == [1]
    assert _references(index, TWO, image=OTHER) == [0]


def test_putting_a_manifest_again_changes_nothing_but_the_revision(index):
    changes = [*put(1), *put(2), manifest(1, [(2, EdgeKind.LAYER)], subject=THREE)]
    commit(index, changes)
    before = index.read(lambda v: dump(v, [keys.META_REVISION]))
    again = Manifest(media_type="m", size=1, pushed_at=9)
    commit(index, [PutManifest(IMAGE, ONE, again, ((THREE, EdgeKind.LAYER),), b"[]")])

    assert index.read(lambda v: dump(v, [keys.META_REVISION])) == before


def test_the_same_bytes_under_another_type_are_read_anew(index):
    commit(index, [*put(1), *put(2), *put(3), manifest(1, [(2, EdgeKind.LAYER)], subject=THREE)])
    other = Manifest(media_type="other", size=32)
    commit(index, [PutManifest(IMAGE, ONE, other, ((THREE, EdgeKind.LAYER),))])

    assert index.read(lambda v: v.manifest(v.image(IMAGE).id, ONE)) == other
    assert _references(index, ONE, TWO, THREE) == [1, 0, 1]
    assert index.read(lambda v: (v.image(IMAGE).manifests, v.entries("referrer"))) == (1, 0)


def test_unlinking_a_manifest_takes_its_tags_edges_and_rows_along(index):
    commit(index, [*put(1), *put(2), manifest(1, [(2, EdgeKind.LAYER)], subject=TWO)])
    commit(index, [SetTag(IMAGE, tag, ONE) for tag in "ab"])
    commit(index, [Unlink(IMAGE, ONE)])

    tables = ("tag", "tag_by_digest", "manifest", "edge", "edge_by_child", "referrer")
    assert index.read(lambda v: [v.entries(table) for table in tables]) == [0] * 6
    assert _references(index, TWO) == [0]
    assert index.read(lambda v: v.image(IMAGE)[1:4]) == (1, 0, 0)


def test_a_moved_tag_takes_its_reference_along(index):
    commit(index, [*put(1), *put(2), SetTag(IMAGE, "v1", ONE)])
    commit(index, [SetTag(IMAGE, "v1", TWO, "ada")])

    assert _references(index, ONE, TWO) == [0, 1]
    assert index.read(lambda v: list(v.iter_tags_of(v.image(IMAGE).id, ONE))) == []
    assert index.read(lambda v: v.image(IMAGE).tags) == 1


def test_the_same_tag_again_only_notes_who_and_when(index):
    commit(index, [*put(1), SetTag(IMAGE, "v1", ONE, "ada")])
    commit(index, [SetTag(IMAGE, "v1", ONE, "eve")], clock=Clock(CLOCK.now + 9, 0))

    tag = index.read(lambda v: v.tag(v.image(IMAGE).id, "v1"))
    assert (tag.digest, tag.pushed_at, tag.pushed_by) == (ONE, CLOCK.now + 9, "eve")
    assert _references(index, ONE) == [1]


# --- not before ---


def test_what_nothing_refers_to_waits_for_the_grace_or_its_lease(index):
    commit(index, [*put(1), *put(2, lease=CLOCK.grace + 50)])

    assert _link(index, ONE).not_before == CLOCK.now + CLOCK.grace
    assert _link(index, TWO).not_before == CLOCK.now + CLOCK.grace + 50
    assert _garbage(index) == [
        (CLOCK.now + CLOCK.grace, GarbageKind.LINK),
        (CLOCK.now + CLOCK.grace + 50, GarbageKind.LINK),
    ]


def test_a_reference_revives_and_losing_it_starts_the_wait_anew(index):
    commit(index, put(1))
    commit(index, [SetTag(IMAGE, "v1", ONE)])

    assert (_link(index, ONE).not_before, _garbage(index)) == (0, [])

    commit(index, [SetTag(IMAGE, "v1", None)], clock=Clock(CLOCK.now + 100, 7))

    assert _link(index, ONE).not_before == CLOCK.now + 107
    assert _garbage(index) == [(CLOCK.now + 107, GarbageKind.LINK)]


def test_a_push_of_what_is_there_starts_the_wait_anew(index):
    commit(index, put(1))
    commit(index, put(1), clock=Clock(CLOCK.now + 100, CLOCK.grace))

    assert _garbage(index) == [(CLOCK.now + 100 + CLOCK.grace, GarbageKind.LINK)]


def test_a_grace_of_nothing_never_overrides_a_lease(index):
    commit(index, put(1, lease=60), clock=Clock(CLOCK.now, 0))

    assert _garbage(index) == [(CLOCK.now + 60, GarbageKind.LINK)]


def test_a_link_revives_an_object_that_waits(index):
    commit(index, put(1))
    commit(index, [Unlink(IMAGE, ONE)])
    commit(index, [Link(OTHER, ONE)])

    row = index.read(lambda v: v.object(ONE))
    assert (row.references, row.not_before) == (1, 0)
    assert _garbage(index) == [(CLOCK.now + CLOCK.grace, GarbageKind.LINK)]


# --- usage, repositories, records ---


def _usage(index, name="local/images"):
    return index.read(lambda v: v.usage(v.repository(name).id))


def test_usage_counts_what_is_linked_once(index):
    commit(index, [*put(1), *put(1, OTHER), *put(2), *put(1, ELSEWHERE), manifest(1)])

    assert _usage(index) == Usage(64, 2, 1)
    assert _usage(index, "local/more") == Usage(32, 1, 0)

    commit(index, [Unlink(IMAGE, ONE)])

    assert _usage(index) == Usage(64, 2, 0)

    commit(index, [Unlink(OTHER, ONE)])

    assert _usage(index) == Usage(32, 1, 0)


def test_usage_sees_both_links_of_one_commit(index):
    commit(index, [*put(1), *put(1, OTHER), Unlink(IMAGE, ONE)])

    assert _usage(index) == Usage(32, 1, 0)

    commit(index, [Link(IMAGE, ONE), Unlink(OTHER, ONE), Unlink(IMAGE, ONE)])

    assert _usage(index) == Usage(0, 0, 0)


def test_a_link_costs_the_same_however_many_images_have_it(index):
    many = [ImageName("local/images", f"i{number}") for number in range(50)]
    commit(index, [change for image in many for change in put(1, image)])

    def steps(transaction):
        before = transaction.steps
        apply(transaction, [Link(IMAGE, ONE)], (), CLOCK)
        return transaction.steps - before

    assert write(index, steps) <= 4


def test_a_settings_update_keeps_identity_and_age_and_counts_up(index):
    before = index.read(lambda v: v.repository("local/images"))
    changed = Repository(id=99, revision=99, visibility="public", created_at=1)
    commit(index, [PutRepository("local/images", changed)], clock=Clock(CLOCK.now + 9, 0))

    after = index.read(lambda v: v.repository("local/images"))
    assert (after.id, after.created_at) == (before.id, before.created_at)
    assert (after.revision, after.visibility) == (before.revision + 1, "public")


def test_a_storage_created_again_keeps_its_age(index):
    commit(index, PLACES[:1], clock=Clock(CLOCK.now + 9, 0))

    assert index.read(lambda v: v.storage("local").created_at) == CLOCK.now


def test_opaque_rows_are_written_and_deleted(index):
    commit(index, [PutRecord("user", b"ada", b"hash"), PutRecord("user", b"eve", b"hash")])
    commit(index, [PutRecord("user", b"eve", None), PutRecord("user", b"absent", None)])

    assert index.read(lambda v: list(v.iter_records("user"))) == [(b"ada", b"hash")]


def test_something_else_is_no_change(index):
    with pytest.raises(TypeError):
        commit(index, ["hope"])


def test_each_touched_row_is_written_once(index):
    def count(transaction):
        counting = Counting(transaction)
        children = [(number, EdgeKind.LAYER) for number in range(100, 200)]
        apply(counting, [*put(1), manifest(1, children)], (), CLOCK)
        return counting.written

    commit(index, [change for number in range(100, 200) for change in put(number)])

    # 4 a child: two edge rows, its link, its garbage row; 13 for the manifest and the counters.
    assert write(index, count) <= 4 * 100 + 13
