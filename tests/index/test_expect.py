"""`index.expect`: whether an expectation holds, on the state before the changes."""

import pytest

from index.changes import EdgeKind, ImageName, PutRecord, SetTag, Unlink
from index.errors import ExpectationsFailed
from index.expect import is_met
from index.expectations import (
    Linked,
    ManifestExists,
    NeededBy,
    NoParent,
    NoTagLike,
    RecordIs,
    RepositoryAbsent,
    RepositoryEmpty,
    RepositoryRevision,
    StorageAbsent,
    StorageEmpty,
    StorageExists,
    TagExists,
    TagIs,
    TagKept,
    TypeKept,
    Unreferenced,
)
from tests.index.tables import CLOCK, IMAGE, OTHER, PLACES, commit, digest_of, dump, manifest, put

ABSENT = ImageName("local/images", "absent")
NOWHERE = ImageName("local/nowhere", "app")


@pytest.fixture
def filled(environment):
    """`IMAGE` has the tagged manifest 1, which needs 2; 3 is linked and nothing needs it.

    The manifest 5 has nothing to do with others, 6 needs 7, and that needs nothing.
    """
    commit(environment, PLACES)
    commit(
        environment,
        [
            *put(1),
            *put(2),
            *put(3),
            manifest(1, [(2, EdgeKind.LAYER), (9, EdgeKind.LAYER)]),
            SetTag(IMAGE, "v1", digest_of(1)),
            *(change for number in (5, 6, 7) for change in put(number)),
            manifest(5),
            manifest(7),
            manifest(6, [(7, EdgeKind.CHILD)]),
            PutRecord("user", b"ada", b"hash"),
        ],
    )
    return environment


MET = [
    Linked(IMAGE, digest_of(1)),
    TagIs(IMAGE, "v1", digest_of(1)),
    TagIs(IMAGE, "v2", None),
    TagIs(ABSENT, "v1", None),
    TagIs(NOWHERE, "v1", None),
    TagExists(IMAGE, "v1"),
    TagKept(IMAGE, "v1", digest_of(1)),
    TagKept(IMAGE, "v2", digest_of(1)),
    TagKept(IMAGE, "v2", None),
    TagKept(ABSENT, "v1", None),
    NoTagLike(IMAGE, digest_of(1), ()),
    NoTagLike(IMAGE, digest_of(1), ("V*", "v", "w?")),
    NoTagLike(IMAGE, digest_of(2), ("*",)),
    NoTagLike(ABSENT, digest_of(1), ("*",)),
    ManifestExists(IMAGE, digest_of(1)),
    TypeKept(IMAGE, digest_of(1), "m"),
    TypeKept(IMAGE, digest_of(2), "n"),
    TypeKept(IMAGE, digest_of(5), "n"),
    TypeKept(ABSENT, digest_of(1), "n"),
    Unreferenced(IMAGE, digest_of(3)),
    Unreferenced(IMAGE, digest_of(4)),
    Unreferenced(ABSENT, digest_of(1)),
    NoParent(IMAGE, digest_of(1)),
    NoParent(ABSENT, digest_of(2)),
    NeededBy(IMAGE, digest_of(2), digest_of(1)),
    NeededBy(IMAGE, digest_of(3), digest_of(1)),
    NeededBy(ABSENT, digest_of(2), digest_of(1)),
    RepositoryRevision("local/images", 1),
    RepositoryAbsent("local/nowhere"),
    RepositoryEmpty("local/more"),
    StorageExists("local"),
    StorageAbsent("remote"),
    RecordIs("user", b"ada", b"hash"),
    RecordIs("user", b"eve", None),
]
UNMET = [
    Linked(IMAGE, digest_of(4)),
    Linked(OTHER, digest_of(1)),
    Linked(NOWHERE, digest_of(1)),
    TagIs(IMAGE, "v1", digest_of(2)),
    TagIs(IMAGE, "v1", None),
    TagIs(IMAGE, "v2", digest_of(1)),
    TagIs(ABSENT, "v1", digest_of(1)),
    TagExists(IMAGE, "v2"),
    TagExists(ABSENT, "v1"),
    TagKept(IMAGE, "v1", digest_of(2)),
    TagKept(IMAGE, "v1", None),
    NoTagLike(IMAGE, digest_of(1), ("x", "v*")),
    RepositoryEmpty("local/images"),
    StorageEmpty("local"),
    StorageEmpty("remote"),
    *(TypeKept(IMAGE, digest_of(number), "n") for number in (1, 6, 7)),
    ManifestExists(IMAGE, digest_of(2)),
    ManifestExists(ABSENT, digest_of(1)),
    Unreferenced(IMAGE, digest_of(1)),
    Unreferenced(IMAGE, digest_of(2)),
    NoParent(IMAGE, digest_of(2)),
    NoParent(IMAGE, digest_of(9)),
    NeededBy(IMAGE, digest_of(1), digest_of(2)),
    NeededBy(IMAGE, digest_of(2), digest_of(3)),
    RepositoryRevision("local/images", 2),
    RepositoryRevision("local/nowhere", 1),
    RepositoryAbsent("local/images"),
    StorageExists("remote"),
    StorageAbsent("local"),
    RecordIs("user", b"ada", b"other"),
    RecordIs("user", b"ada", None),
    RecordIs("user", b"eve", b"hash"),
]


def test_what_is_so_is_met(filled):
    assert filled.read(lambda v: [e for e in MET if not is_met(v, e)]) == []


def test_what_is_not_so_is_not_met(filled):
    assert filled.read(lambda v: [e for e in UNMET if is_met(v, e)]) == []


def test_all_that_failed_come_back_together_in_the_order_given_and_nothing_changes(filled):
    before = filled.read(dump)
    mixed = [e for pair in zip(MET, UNMET, strict=False) for e in pair]

    with pytest.raises(ExpectationsFailed) as failed:
        commit(filled, put(7), mixed)

    assert failed.value.failed == tuple(UNMET[: len(mixed) // 2])
    assert filled.read(dump) == before


def test_expectations_look_at_the_state_before_the_changes(filled):
    commit(filled, [Unlink(IMAGE, digest_of(3))], [Linked(IMAGE, digest_of(3))])

    with pytest.raises(ExpectationsFailed):
        commit(filled, put(3), [Linked(IMAGE, digest_of(3))], CLOCK)


def test_a_failure_names_no_secret(filled):
    secret = RecordIs("user", b"ada", b"secret")

    with pytest.raises(ExpectationsFailed) as failed:
        commit(filled, [], [secret])

    assert "secret" not in str(failed.value)


def test_something_else_is_no_expectation(filled):
    with pytest.raises(TypeError):
        filled.read(lambda v: is_met(v, "hope"))
