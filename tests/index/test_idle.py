"""`index.idle`: what was pulled longest ago, and what goes with it."""

import pytest

from index.changes import EdgeKind, Link, SetTag, Touch, Unlink
from index.errors import ExpectationsFailed
from index.idle import list_idle, removal, root_of, wanted_at
from tests.index.tables import IMAGE, OTHER, PLACES, commit, digest_of, manifest, put

CONFIG, LAYER, CHILD = EdgeKind.CONFIG, EdgeKind.LAYER, EdgeKind.CHILD


@pytest.fixture
def filled(environment):
    """1 needs 11, 12 and has a tag; 2 needs 12; 3 is an index of 4, which needs 14; 15 is loose."""
    blobs = [change for number in (1, 2, 3, 4, 11, 12, 14, 15) for change in put(number)]
    pushed = [
        manifest(1, [(11, CONFIG), (12, LAYER)], pushed_at=10),
        manifest(2, [(12, LAYER)], pushed_at=20),
        manifest(4, [(14, LAYER)], pushed_at=30),
        manifest(3, [(4, CHILD), (5, CHILD)], pushed_at=5),
        SetTag(IMAGE, "v1", digest_of(1)),
    ]
    commit(environment, [*PLACES, *blobs, *pushed])
    return environment


def roots(environment, rows=100):
    repository = environment.read(lambda view: view.repository("local/images")).id
    found, after = [], None
    while True:
        page = environment.read(lambda view, after=after: list_idle(view, repository, after, rows))
        found += page.roots
        after = page.last
        if after is None:
            return sorted(found)


def numbers(found):
    return [int.from_bytes(each.digest[1:]) for each in found]


@pytest.mark.parametrize("rows", [1, 2, 3, 100])
def test_roots_come_by_the_time_they_were_wanted_last(filled, rows):
    assert [(each.at, int.from_bytes(each.digest[1:])) for each in roots(filled, rows)] == [
        (0, 15),
        (10, 1),
        (20, 2),
        (30, 3),  # its child was pushed later
    ]


@pytest.mark.parametrize("number", [1, 4])
def test_a_pull_of_it_or_of_its_child_makes_it_newer(filled, number):
    image = filled.read(lambda view: view.image(IMAGE)).id
    key = image + digest_of(number)

    commit(filled, [Touch("pulled", key, key, 2_000_000)])

    newest = roots(filled)[-1]
    assert (newest.at, newest.digest) == (2_000_000, digest_of({1: 1, 4: 3}[number]))


def remove(environment, number, **options):
    root = next(each for each in roots(environment) if each.digest == digest_of(number))
    changes, expected = environment.read(lambda view: removal(view, root, **options))
    return changes, expected


@pytest.mark.parametrize(("number", "gone"), [(1, [1, 11]), (2, [2]), (3, [3]), (15, [15])])
def test_what_only_it_needs_goes_with_it(filled, number, gone):
    changes, expected = remove(filled, number)

    commit(filled, changes, expected)

    assert changes == [Unlink(IMAGE, digest_of(each)) for each in gone]


def test_what_two_share_goes_with_the_second(filled):
    commit(filled, *remove(filled, 1))
    changes, expected = remove(filled, 2)
    commit(filled, changes, expected)

    assert changes == [Unlink(IMAGE, digest_of(2)), Unlink(IMAGE, digest_of(12))]
    assert filled.read(lambda view: view.usage(view.repository("local/images").id).linked) == 4 * 32


def test_another_image_keeps_its_own(filled):
    commit(filled, [Link(OTHER, digest_of(11))])
    commit(filled, *remove(filled, 1))

    other = filled.read(lambda view: view.image(OTHER)).id
    assert filled.read(lambda view: view.link(other, digest_of(11))) is not None


@pytest.mark.parametrize(
    "meanwhile",
    [
        [*put(6), manifest(6, [(11, CONFIG)])],
        [*put(6), manifest(6, [(1, CHILD)])],
        [SetTag(IMAGE, "blob", digest_of(11))],
    ],
    ids=["shares", "index", "tag"],
)
def test_what_somebody_needs_meanwhile_stays(filled, meanwhile):
    changes, expected = remove(filled, 1)
    commit(filled, meanwhile)

    with pytest.raises(ExpectationsFailed):
        commit(filled, changes, expected)


def test_a_child_with_a_tag_stays(filled):
    commit(filled, [SetTag(IMAGE, "arm", digest_of(4))])
    commit(filled, *remove(filled, 3))

    with pytest.raises(ExpectationsFailed):
        commit(filled, *remove(filled, 4, is_child=True))


@pytest.mark.parametrize(
    ("number", "root"), [(11, 1), (12, 2), (14, 3), (3, 3), (15, 15), (99, 99)]
)
def test_the_newest_root_of_what_is_needed_is_found(filled, number, root):
    image = filled.read(lambda view: view.image(IMAGE)).id

    found = filled.read(lambda view: root_of(view, image, digest_of(number)))

    assert found.digest == digest_of(root)


def test_a_root_says_when_it_was_wanted_and_nothing_else_does(filled):
    for root in roots(filled):
        assert filled.read(lambda view, root=root: wanted_at(view, root)) == root.at
    for number in (4, 11, 99):
        other = roots(filled)[0]._replace(digest=digest_of(number))
        assert filled.read(lambda view, other=other: wanted_at(view, other)) == -1
