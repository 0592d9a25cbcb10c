"""`index.links`: who may serve what begins so, among those that may be told."""

import pytest
from hypothesis import given, strategies as st

from index import keys, links
from index.environment import open_environment
from index.links import FLOOR, iter_links
from index.records import Usage
from tests.index.tables import write

DIGESTS = [b"\x01" + bytes([first]) * 2 + bytes(30) for first in (0, 1, 2, 255)]
DIGESTS += [b"\x01\x01\x01\x01" + bytes(29), b"\x02\x01\x01" + bytes(62)]
IMAGES = [keys.u32(repository) + keys.u32(image) for repository, image in
          ((1, 1), (1, 5), (2, 2), (3, 3), (3, 9), (256, 4))]  # fmt: skip
REPOSITORIES = sorted({image[:4] for image in IMAGES})
RANGES = [
    ((b"\x01\x01\x01", b"\x01\x01\x01" + b"\xff" * 65), (b"\x02\x01\x01", b"\x02\x01\x01\xff")),
    ((b"\x01", b"\x01" + b"\xff" * 65),),
    ((b"\x01\x01\x00", b"\x01\x01\x0f" + b"\xff" * 65),),
    ((b"\x01\xff", b"\x01\xff\xff\xff" + b"\xff" * 65),),
    ((DIGESTS[0], DIGESTS[0] + b"\xff" * 9),),
]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with open_environment(tmp_path_factory.mktemp("links") / "index") as opened:
        yield opened


def put_links(transaction, some):
    for digest, image in some:
        transaction.put("link", image + digest, b"x")
        transaction.put("link_by_digest", digest + image)
    for image in {image for _, image in some}:
        transaction.put("image_by_id", image, b"p")
    for repository in REPOSITORIES:
        count = len({image for _, image in some if image[:4] == repository})
        transaction.put("usage", repository, Usage(0, count, 0).encode())


def find(view, ranges, repositories):
    return list(iter_links(view, ranges, repositories, lambda: None))


@pytest.mark.parametrize("many", [0, 1 << 30], ids=["by digest", "by image"])
@given(
    some=st.sets(st.tuples(st.sampled_from(DIGESTS), st.sampled_from(IMAGES))),
    allowed=st.none() | st.sets(st.sampled_from([*REPOSITORIES, keys.u32(7)])),
    ranges=st.sampled_from(RANGES),
)
def test_exactly_the_links_of_the_allowed_repositories_are_found(
    shared, many, some, allowed, ranges
):
    raw = shared.begin()
    view = shared.transaction(raw)
    put_links(view, some)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(links, "MANY_IMAGES", many - 1)
        found = find(view, ranges, None if allowed is None else sorted(allowed))

    raw.abort()
    assert sorted(found) == sorted(
        (digest, image)
        for digest, image in some
        if any(low <= digest <= high for low, high in ranges)
        and (allowed is None or image[:4] in allowed)
    )


HIDDEN, LAYER = 20_000, b"\x01" + b"\xab" * 32
LAYERS = ((LAYER[:4], LAYER[:4] + b"\xff" * 65),)


@pytest.fixture(scope="module")
def crowded(tmp_path_factory):
    """A layer that 20,000 hidden images have, in 200 repositories between 200 allowed ones."""
    with open_environment(tmp_path_factory.mktemp("crowded") / "index") as opened:

        def fill(transaction):
            for number in range(HIDDEN):
                image = keys.u32(2 * (number // 100) + 1) + keys.u32(number)
                transaction.put("link_by_digest", LAYER + image)
            for number in range(200):
                transaction.put("usage", keys.u32(2 * number), Usage(0, 1, 0).encode())

        write(opened, fill)
        yield opened


ALLOWED = [keys.u32(2 * number) for number in range(200)]


@pytest.mark.parametrize("images", [0, 1 << 30], ids=["by digest", "by image"])
def test_what_others_have_is_neither_counted_nor_waited_for(crowded, monkeypatch, images):
    monkeypatch.setattr(links, "MANY_IMAGES", images - 1)
    absent = ((b"\x01\xcd\xcd\xcd", b"\x01\xcd\xcd\xcd" + b"\xff" * 65),)

    def look(ranges):
        def counted(view):
            return find(view, ranges, ALLOWED), view.steps

        return crowded.read(counted)

    hidden, missing = look(LAYERS), look(absent)

    assert hidden == missing == ([], hidden[1])
    assert hidden[1] <= FLOOR + len(ALLOWED)


def test_others_cannot_make_a_search_endless(crowded, monkeypatch):
    monkeypatch.setattr(links, "MANY_IMAGES", -1)
    monkeypatch.setattr(links, "MOST", 100)
    rests = []

    def counted(view):
        found = list(iter_links(view, LAYERS, ALLOWED, lambda: rests.append(1)))
        return found, view.steps

    found, steps = crowded.read(counted)

    assert found == []
    assert steps < FLOOR
    assert rests
