"""`index.view`: every question is one lookup or one cursor range."""

import pytest
from hypothesis import example, given, strategies as st

from index import keys
from index.changes import (
    CreateStorage,
    EdgeKind,
    ImageName,
    Link,
    PutRepository,
    SetTag,
)
from index.environment import open_environment
from index.records import ChunkAt, Repository, Usage
from tests.index.tables import (
    CLOCK,
    ELSEWHERE,
    IMAGE,
    OTHER,
    PLACES,
    commit,
    digest_of,
    manifest,
    put,
    write,
)

# Few different bytes: so most keys share a beginning, or stand just before or after another.
NAMES = st.lists(st.sampled_from([0, 1, 254, 255]), max_size=3).map(bytes)


def _page(pairs, count):
    """The first `count` of what an iterator yields, and no step beyond it."""
    return [pair for pair, _ in zip(pairs, range(count), strict=False)]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """An index for tests that abort what they write."""
    with open_environment(tmp_path_factory.mktemp("view") / "index") as opened:
        yield opened


@given(
    st.dictionaries(NAMES.filter(bool), st.binary(max_size=2), max_size=12),
    NAMES,
    st.none() | NAMES.filter(bool),
)
@example(rows={b"\1": b"", b"\2": b""}, prefix=b"\2", after=b"\0")
def test_a_scan_is_the_sorted_rows_with_the_prefix_beyond_after(shared, rows, prefix, after):
    expected = [
        (key, value)
        for key, value in sorted(rows.items())
        if key.startswith(prefix) and (after is None or key > after)
    ]
    raw = shared.begin()
    view = shared.transaction(raw)
    for key, value in rows.items():
        view.put("setting", key, value)

    found = list(view.scan("setting", prefix, after))

    steps = view.steps
    raw.abort()
    assert found == expected
    assert steps <= len(expected) + 2


@given(
    st.sets(NAMES.filter(bool), max_size=12),
    NAMES.filter(bool),
    NAMES,
)
def test_the_last_row_before_a_key_stays_within_the_prefix(shared, names, prefix, rest):
    key = prefix + rest
    expected = max((n for n in names if n <= key and n.startswith(prefix)), default=None)
    raw = shared.begin()
    view = shared.transaction(raw)
    for name in names:
        view.put("setting", name, b"v")

    found = view.last_before("setting", prefix, key)

    raw.abort()
    assert found == (None if expected is None else (expected, b"v"))


@pytest.fixture
def filled(environment):
    """Three images, an index with two children, a referrer of each of two types, and tags."""
    commit(environment, PLACES)
    children = [(2, EdgeKind.CHILD), (3, EdgeKind.CHILD)]
    subject = digest_of(1)
    commit(
        environment,
        [
            *(change for number in (1, 2, 3, 4, 5, 6) for change in put(number)),
            manifest(1, children),
            manifest(4, subject=subject, artifact_type="sbom"),
            manifest(5, subject=subject, artifact_type="signature"),
            manifest(6, subject=subject, artifact_type="sbom"),
            *(SetTag(IMAGE, tag, digest_of(1), "ada") for tag in ("v1", "latest", "V2")),
            *put(2, OTHER),
            *put(2, ELSEWHERE),
        ],
    )
    return environment


def _id(view, name=IMAGE):
    return view.image(name).id


def test_names_lead_to_ids_and_back(filled):
    def look(v):
        return [v.image_name(_id(v, name)) for name in (IMAGE, OTHER, ELSEWHERE)]

    assert filled.read(look) == [IMAGE, OTHER, ELSEWHERE]


def test_what_is_not_there_is_none(filled):
    absent = ImageName("local/absent", "app")

    def look(v):
        image = _id(v)
        return (
            v.storage("absent"),
            v.repository("local/absent"),
            v.image(absent),
            v.image(ImageName("local/images", "absent")),
            v.image_name(bytes(8)),
            v.tag(image, "absent"),
            v.link(image, digest_of(99)),
            v.manifest(image, digest_of(2)),
            v.object(digest_of(99)),
            v.inline(99),
            v.chunk(bytes(32)),
            v.chunk_at(1, 0),
            v.pack(1),
            v.record("user", b"absent"),
        )

    assert set(filled.read(look)) == {None}


def test_an_empty_name_is_just_absent(filled):
    def look(v):
        return v.storage(""), v.repository(""), v.record("user", b"")

    assert filled.read(look) == (None, None, None)


def test_tags_come_in_byte_order_from_beyond_any_name(filled):
    def names(after):
        return filled.read(lambda v: [name for name, _ in v.iter_tags(_id(v), after)])

    assert names("") == ["V2", "latest", "v1"]
    assert names("V2") == ["latest", "v1"]
    assert names("a") == ["latest", "v1"]
    assert names("zzz") == []


def test_tags_of_a_digest_are_found_from_its_side(filled):
    def look(v):
        return [list(v.iter_tags_of(_id(v), digest_of(n))) for n in (1, 2)]

    assert filled.read(look) == [["V2", "latest", "v1"], []]


def test_images_and_repositories_page_from_beyond_a_name(filled):
    def look(v):
        repository = v.repository("local/images").id
        return (
            [path for path, _ in v.iter_images(repository)],
            [path for path, _ in v.iter_images(repository, "app")],
            [name for name, _ in v.iter_repositories("local/images")],
            [name for name, _ in v.iter_storages()],
        )

    assert filled.read(look) == (["app", "other"], ["other"], ["local/more"], ["local"])


def test_needs_are_seen_from_both_sides(filled):
    def look(v):
        image = _id(v)
        return (
            list(v.iter_children(image, digest_of(1))),
            list(v.iter_parents(image, digest_of(3))),
            [digest for digest, _ in v.iter_manifests(image)],
        )

    assert filled.read(look) == (
        [(digest_of(2), EdgeKind.CHILD), (digest_of(3), EdgeKind.CHILD)],
        [digest_of(1)],
        [digest_of(number) for number in (1, 4, 5, 6)],
    )


def test_images_that_link_a_digest_are_found_from_its_side(filled):
    def look(v):
        return {v.image_name(image) for image in v.iter_images_linking(digest_of(2))}

    assert filled.read(look) == {IMAGE, OTHER, ELSEWHERE}


def test_referrers_are_filtered_by_type_and_paged_by_cursor(filled):
    def cursors(*args):
        return filled.read(
            lambda v: [cursor for cursor, _ in v.iter_referrers(_id(v), digest_of(1), *args)]
        )

    everything = cursors()

    assert {cursor[keys.TYPE_HASH_SIZE :] for cursor in everything} == {
        digest_of(number) for number in (4, 5, 6)
    }
    assert cursors("sbom") == [keys.type_hash("sbom") + digest_of(n) for n in (4, 6)]
    assert cursors("nothing") == []
    for position, cursor in enumerate(everything):
        assert cursors(None, cursor) == everything[position + 1 :]
    assert cursors("sbom", cursors("sbom")[0]) == cursors("sbom")[1:]


def test_usage_counts_a_digest_once_per_repository(filled):
    def look(v):
        return [v.usage(v.repository(name).id) for name in ("local/images", "local/more")]

    assert filled.read(look) == [Usage(6 * 32, 2, 4), Usage(32, 1, 0)]


def test_a_page_of_tags_costs_the_page(filled):
    tags = [SetTag(IMAGE, f"t{number:04}", digest_of(1)) for number in range(1000)]
    commit(filled, tags)

    def look(v):
        image = _id(v)
        v.steps = 0
        names = _page(v.iter_tags(image, "t0500"), 100)
        return len(names), v.steps

    assert filled.read(look) == (100, 102)


@pytest.mark.slow
def test_a_page_of_a_hundred_thousand_tags_costs_the_page(environment):
    commit(environment, [*PLACES, *put(1)])
    tags = [SetTag(IMAGE, f"t{number:06}", digest_of(1)) for number in range(100_000)]
    commit(environment, tags)

    def look(v):
        image = _id(v)
        v.steps = 0
        names = _page(v.iter_tags(image, "t050000"), 100)
        return names[0][0], names[-1][0], v.steps <= 102, v.image(IMAGE).tags

    assert environment.read(look) == ("t050001", "t050100", True, 100_000)


def test_rows_are_counted_without_a_walk(filled):
    def look(v):
        before = v.steps
        return v.entries("tag"), v.entries("link"), v.steps - before

    assert filled.read(look) == (3, 8, 0)


@pytest.mark.parametrize("most", [1, 2, 3, 4, 9])
def test_a_walk_takes_up_its_rows_where_it_left_them_until_there_is_none(environment, most):
    numbers = [bytes((number,)) for number in range(2, 11)]

    def look(view):
        found = []
        with view.walk("inline") as walk:
            walk.seek(b"\3")
            while some := walk.keys(most):
                found.append(some)
        with view.walk("inline") as walk:
            walk.seek(b"\3")
            items = [*walk.items(most), *walk.items(most)]
        with view.walk("inline") as walk:
            nothing = walk.seek(b"\xff"), walk.keys(most), walk.items(most)
        return found, items, nothing

    write(environment, lambda t: [t.put("inline", number, number) for number in numbers])
    found, items, nothing = environment.read(look)

    assert [key for some in found for key in some] == numbers[1:]
    assert {len(some) for some in found[:-1]} <= {most}
    assert items == [(number, number) for number in numbers[1:]][: 2 * most]
    assert nothing == (b"", [], [])


def test_a_repository_of_many_images_is_one_prefix(environment):
    others = [ImageName("local/more", f"i{number}") for number in range(3)]
    commit(environment, [CreateStorage("local"), PutRepository("local/images", Repository())])
    commit(environment, [PutRepository("local/more", Repository())])
    commit(environment, [c for image in (IMAGE, *others) for c in put(1, image)], clock=CLOCK)

    def look(v):
        return [
            sum(1 for _ in v.scan("link", keys.u32(v.repository(name).id)))
            for name in ("local/images", "local/more")
        ]

    assert environment.read(look) == [1, 3]


def test_chunks_of_a_pack_are_walked_both_ways_within_the_pack(environment):
    def fill(transaction):
        for pack, offset in ((1, 0), (2, 0), (2, 10), (2, 20), (3, 0)):
            row = ChunkAt(10, bytes(32), 1).encode()
            transaction.put("chunk_at", keys.place(pack, offset), row)

    def look(v):
        return (
            [offset for offset, _ in v.iter_chunks(2)],
            [offset for offset, _ in v.iter_chunks(2, 5)],
            [offset for offset, _ in v.iter_chunks_back(2, 20)],
            [offset for offset, _ in v.iter_chunks_back(2, 0)],
        )

    write(environment, fill)

    assert environment.read(look) == ([0, 10, 20], [10, 20], [10, 0], [])


def test_linking_again_finds_the_image_by_its_links(filled):
    commit(filled, [Link(OTHER, digest_of(1))])

    assert filled.read(lambda v: v.image(OTHER).links) == 2
