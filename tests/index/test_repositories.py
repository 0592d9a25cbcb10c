"""`index.repositories` and `index.clearing`: what is public, deletion to its end, and quotas."""

import pytest

from index import keys
from index.apply import apply
from index.changes import (
    CreateStorage,
    DeleteRepository,
    DeleteStorage,
    EdgeKind,
    ImageName,
    Link,
    PutManifest,
    PutRepository,
    SetTag,
)
from index.clearing import clear_slice
from index.errors import ExpectationsFailed, TargetMissing
from index.expectations import (
    RepositoryEmpty,
    RepositoryRevision,
    StorageEmpty,
    WithinQuota,
)
from index.placement import ROWS
from index.records import Manifest, Repository
from index.repositories import is_linked_in, iter_leaving
from tests.index.tables import CLOCK, IMAGE, PLACES, commit, digest_of, dump, manifest, put, write

NAME = IMAGE.repository
ELSEWHERE = ImageName("local/more", "app")


@pytest.fixture
def index(environment):
    commit(environment, PLACES)
    return environment


def clear(index, rows=ROWS) -> list[int]:
    """Take apart whatever is leaving; the rows of each transaction."""
    written = []
    while not (cleared := write(index, lambda t: clear_slice(t, CLOCK, rows))).is_over:
        written.append(cleared.rows)
        assert len(written) < 10_000
    return written


def set_repository(index, name=NAME, **fields):
    commit(index, [PutRepository(name, Repository(**fields))])


def record(index, name=NAME):
    return index.read(lambda v: v.repository(name))


# --- settings ---


def test_every_setting_is_kept_as_it_was_given(index):
    given = Repository(
        kind="other",
        visibility="public",
        description="d",
        immutable_tags=("v*", "x"),
        quota_bytes=7,
    )
    commit(index, [PutRepository(NAME, given)])

    found = record(index)
    kept = [field for field in found.__struct_fields__ if field not in {"id", "revision"}]
    assert [getattr(found, each) for each in kept if each != "created_at"] == [
        getattr(given, each) for each in kept if each != "created_at"
    ]


def test_public_repositories_are_listed_without_looking_at_private_ones(index):
    for number in range(100):
        visibility = "public" if number % 50 == 7 else "private"
        set_repository(index, f"local/r{number:03}", visibility=visibility)

    def look(view):
        before = view.steps
        names = [name for name, _ in view.iter_public("local/r006")]
        return names, view.steps - before

    names, steps = index.read(look)
    assert names == ["local/r007", "local/r057"]
    assert steps <= len(names) + 2


def test_a_repository_is_listed_as_public_while_it_is(index):
    def public():
        return index.read(lambda v: [name for name, _ in v.iter_public()])

    set_repository(index, visibility="public")
    assert public() == [NAME]
    set_repository(index, visibility="private")
    assert public() == []
    set_repository(index, visibility="public")
    commit(index, [DeleteRepository(NAME)])
    assert public() == []


# --- deletion ---


def test_a_deleted_repository_is_missing_at_once_with_all_it_holds(index):
    commit(index, [*put(1), manifest(1), SetTag(IMAGE, "v1", digest_of(1))])
    image = index.read(lambda v: v.image(IMAGE).id)

    commit(index, [DeleteRepository(NAME)])

    def look(view):
        names = [name for name, _ in view.iter_repositories()]
        return names, view.repository(NAME), view.image(IMAGE), view.image_name(image)

    assert index.read(look) == (["local/more"], None, None, None)
    for change in (Link(IMAGE, digest_of(1)), SetTag(IMAGE, "v2", digest_of(1)),
                   DeleteRepository(NAME)):  # fmt: skip
        with pytest.raises(TargetMissing):
            commit(index, [change])


def test_its_name_can_be_taken_again_at_once_and_leads_to_nothing_of_it(index):
    commit(index, [*put(1), manifest(1), SetTag(IMAGE, "v1", digest_of(1))])
    before = record(index)

    commit(index, [DeleteRepository(NAME)])
    set_repository(index)
    commit(index, put(2))

    after = record(index)
    assert after.id != before.id
    assert index.read(lambda v: v.link(v.image(IMAGE).id, digest_of(1))) is None
    clear(index)
    assert record(index) == after
    assert index.read(lambda v: v.link(v.image(IMAGE).id, digest_of(2))) is not None
    assert index.read(lambda v: v.usage(after.id)) == (32, 1, 0)


def test_what_was_read_of_a_repository_holds_for_no_later_one_of_its_name(index):
    revision = record(index).revision

    commit(index, [DeleteRepository(NAME)])
    set_repository(index)

    with pytest.raises(ExpectationsFailed):
        commit(index, [], [RepositoryRevision(NAME, revision)])


def test_after_it_is_taken_apart_nothing_is_left_but_what_others_have(index):
    empty = index.read(lambda v: {t: rows for t, rows in dump(v).items() if t != "meta"})
    commit(index, [*put(5, ELSEWHERE)])
    shared = index.read(lambda v: dump(v)["object"])
    commit(
        index,
        [
            *put(1), *put(2), *put(3), Link(IMAGE, digest_of(5), 60), *put(9),
            manifest(1, [(2, EdgeKind.LAYER), (5, EdgeKind.LAYER), (8, EdgeKind.LAYER)]),
            manifest(3, [(1, EdgeKind.CHILD)], subject=digest_of(1)),
            SetTag(IMAGE, "v1", digest_of(1)), SetTag(IMAGE, "v2", digest_of(3)),
        ],
    )  # fmt: skip

    commit(index, [DeleteRepository(NAME)])
    clear(index)

    def of_images(view):
        tables = ("tag", "tag_by_digest", "manifest", "edge", "edge_by_child", "referrer")
        return [table for table in tables if next(view.scan(table), None)]

    after = index.read(dump)
    assert index.read(of_images) == []
    assert len(after["link"]) == len(after["link_by_digest"]) == len(after["image"]) == 1
    assert {k: v for k, v in after["object"].items() if k == digest_of(5)} == shared
    del empty["repository"][NAME.encode()]
    assert after["repository"] == empty["repository"]
    assert set(after["repository_by_id"]) == {keys.u32(2)}
    assert set(after["usage"]) == {keys.u32(2)}
    waiting = {keys.split_garbage(key)[2] for key in after["garbage"]}
    assert waiting == {digest_of(number) for number in (1, 2, 3, 9)} | {
        key for key in after["link"] if key[8:] == digest_of(5)
    }


@pytest.mark.parametrize("rows", [64, ROWS])
def test_a_large_repository_is_taken_apart_in_bounded_transactions(index, rows):
    children = [(number, EdgeKind.LAYER) for number in range(1000, 2000)]
    commit(index, [*put(1), manifest(1, children)])
    for start in range(0, 3000, 100):
        tags = [f"t{number}" for number in range(start, start + 100)]
        commit(index, [SetTag(IMAGE, tag, digest_of(1)) for tag in tags])
    for start in range(0, 300, 100):
        commit(index, [c for number in range(start, start + 100) for c in put(1000 + number)])
    images = [ImageName(NAME, f"i{number}") for number in range(50)]
    commit(index, [change for image in images for change in put(1, image)])

    commit(index, [DeleteRepository(NAME)])
    written = clear(index, rows)

    assert max(written) <= rows
    assert sum(written) <= 3000 * 2 + 1000 * 3 + 350 * 8 + len(written) * 12
    # Room is used: orders of packages are not kept for what goes.
    assert len(written) <= 2 * sum(written) / (rows - 24)
    assert index.read(lambda v: v.entries("tag") + v.entries("edge") + v.entries("link")) == 0


def test_a_deletion_goes_on_where_the_last_transaction_ended(index):
    commit(index, [*put(1), manifest(1)])
    commit(index, [SetTag(IMAGE, f"t{number}", digest_of(1)) for number in range(100)])
    commit(index, [DeleteRepository(NAME)])

    write(index, lambda t: clear_slice(t, CLOCK, 64))

    left = index.read(lambda v: v.entries("tag"))
    assert 0 < left < 100
    (leaving,) = index.read(lambda v: list(iter_leaving(v)))
    assert leaving[1].description == NAME
    assert index.read(lambda v: v.image(ImageName(leaving[0], "app")).tags) == left
    assert clear(index, 64)
    assert index.read(lambda v: list(iter_leaving(v))) == []


def test_several_deleted_repositories_are_taken_apart_one_after_the_other(index):
    commit(index, [*put(1), *put(1, ELSEWHERE)])
    commit(index, [DeleteRepository(NAME), DeleteRepository("local/more")])

    clear(index)

    assert index.read(lambda v: [v.entries(t) for t in ("repository", "usage", "link")]) == [0] * 3
    assert index.read(lambda v: v.object(digest_of(1))).references == 0


def test_roles_in_a_repository_go_with_it_in_bounded_transactions(index):
    def rows(number, user):
        return (b"r" + keys.u32(number) + user, b"u" + user + b"\0" + keys.u32(number))

    users = [b"user%03d" % number for number in range(200)]
    mine = [row for user in users for row in rows(1, user)]
    others = [row for user in users[:2] for row in rows(2, user)]
    write(index, lambda t: [t.put("grant", row, b"reader") for row in (*mine, *others)])
    commit(index, [DeleteRepository(NAME)])

    assert max(clear(index, 100)) <= 100

    assert index.read(lambda v: {key for key, _ in v.scan("grant")}) == set(others)


# --- storages ---


def test_only_an_empty_storage_goes(index):
    with pytest.raises(ExpectationsFailed):
        commit(index, [DeleteStorage("local")], [StorageEmpty("local")])

    commit(index, [DeleteRepository(NAME), DeleteRepository("local/more")])
    commit(index, [DeleteStorage("local")], [StorageEmpty("local")])

    assert index.read(lambda v: v.storage("local")) is None
    with pytest.raises(TargetMissing):
        commit(index, [DeleteStorage("local")])
    clear(index)


def test_a_storage_is_empty_whatever_lies_in_one_whose_name_goes_on(index):
    commit(index, [CreateStorage("loc"), CreateStorage("local-2")])
    set_repository(index, "local-2/r")

    commit(index, [DeleteStorage("loc")], [StorageEmpty("loc")])
    with pytest.raises(ExpectationsFailed):
        commit(index, [], [StorageEmpty("loc")])


def test_a_repository_is_empty_while_it_has_no_image(index):
    commit(index, [], [RepositoryEmpty(NAME)])
    commit(index, put(1))

    for name in (NAME, "local/nowhere"):
        with pytest.raises(ExpectationsFailed):
            commit(index, [], [RepositoryEmpty(name)])


# --- quota ---


def limited(index, quota):
    set_repository(index, quota_bytes=quota)
    return WithinQuota(NAME)


def test_what_fits_to_the_last_byte_is_taken_and_a_byte_more_is_not(index):
    within = limited(index, 64)  # an object of these tests has 32 bytes

    commit(index, put(1), [within])
    commit(index, put(2), [within])
    before = index.read(dump)
    with pytest.raises(ExpectationsFailed) as failed:
        commit(index, put(3), [within])

    assert failed.value.failed == (within,)
    assert index.read(dump) == before


def test_a_digest_counts_once_however_many_images_link_it(index):
    within = limited(index, 32)
    commit(index, put(1), [within])

    commit(index, put(1, ImageName(NAME, "b")), [within])
    commit(index, [Link(IMAGE, digest_of(1), 60)], [within])

    assert index.read(lambda v: v.usage(v.repository(NAME).id).linked) == 32


def test_a_mount_counts_as_a_push_does(index):
    within = limited(index, 32)
    commit(index, [*put(1, ELSEWHERE), *put(2, ELSEWHERE)])

    commit(index, [Link(IMAGE, digest_of(1))], [within])
    with pytest.raises(ExpectationsFailed):
        commit(index, [Link(IMAGE, digest_of(2))], [within])


def test_over_a_lowered_quota_nothing_grows_and_all_else_goes_on(index):
    commit(index, [*put(1), *put(2), manifest(1)])
    within = limited(index, 1)

    commit(index, [SetTag(IMAGE, "v1", digest_of(1)), *put(1)], [within])
    with pytest.raises(ExpectationsFailed):
        commit(index, put(3), [within])


def test_without_a_quota_all_fits_and_nothing_in_no_repository(index):
    commit(index, put(1), [limited(index, 0)])

    with pytest.raises(ExpectationsFailed):
        commit(index, [], [WithinQuota("local/nowhere")])


def test_other_expectations_are_told_before_a_quota(index):
    within = limited(index, 1)
    stale = RepositoryRevision(NAME, 1)

    with pytest.raises(ExpectationsFailed) as failed:
        commit(index, put(1), [within, stale])

    assert failed.value.failed == (stale,)


def test_a_refused_operation_leaves_others_of_its_group_alone(index):
    within = limited(index, 32)

    def group(environment):
        with environment.begin() as raw:
            for number in (1, 2, 3):
                try:
                    with environment.child(raw) as child:
                        transaction = environment.transaction(child)
                        apply(transaction, put(number), [within], CLOCK)
                except ExpectationsFailed as error:
                    yield number, error.failed

    assert list(group(index)) == [(2, (within,)), (3, (within,))]
    assert index.read(lambda v: v.usage(v.repository(NAME).id).linked) == 32


def test_a_digest_is_looked_for_in_all_images_of_one_repository(index):
    commit(index, [*put(1, ImageName(NAME, "z")), *put(2, ELSEWHERE)])

    def look(view):
        number = view.repository(NAME).id
        return [is_linked_in(view, number, digest_of(each)) for each in (1, 2, 3)]

    assert index.read(look) == [True, False, False]


def test_a_manifest_of_another_kind_is_no_reason_to_count_twice(index):
    within = limited(index, 32)
    commit(index, [*put(1), manifest(1)], [within])

    again = PutManifest(IMAGE, digest_of(1), Manifest(media_type="n", size=32))
    commit(index, [*put(1), again], [within])
