"""`index.names`: entries as text, and needles in blocks that hold them."""

from hypothesis import given, strategies as st

from index import blocks, names
from index.changes import SetTag
from index.names import Entry, Order
from tests.index.tables import IMAGE, OTHER, PLACES, commit, digest_of, manifest, put

PATHS = st.sampled_from(["app", "app-1", "app/v1", "lib/a", "z"])
TAGS = st.text("aAvV1.-_", min_size=1, max_size=6)
DIGESTS = st.binary(min_size=32, max_size=32).map(b"\x01".__add__) | st.binary(
    min_size=64, max_size=64
).map(b"\x02".__add__)
LINES = TAGS.map(names.tag_line) | DIGESTS.map(names.manifest_line)
PACKAGES = st.sets(st.tuples(PATHS, LINES), min_size=1, max_size=40)
NEEDLES = st.text("aApPvV1.:-/", max_size=4)


def block_of(packages):
    entries = sorted(names.name_entry(path, line) for path, line in packages)
    is_mixed = any(map(names.is_mixed, entries))
    (block,) = blocks.pack(entries, 1 << 20, blocks.MIXED if is_mixed else blocks.LOWER)
    return block.encode()


@given(st.lists(DIGESTS, min_size=2, max_size=2))
def test_letters_sort_as_what_they_stand_for_and_read_back(digests):
    left, right = map(names.letters, digests)

    assert (left < right) == (digests[0] < digests[1])
    assert [names.from_letters(left), names.from_letters(right)] == digests


@given(PACKAGES)
def test_a_block_reads_back_by_path_then_tags_then_manifests(packages):
    found = list(names.iter_entries(block_of(packages)))

    assert len(found) == len(packages)
    assert found == sorted(
        found, key=lambda e: (e.path, e.tag is None, e.tag or "", e.digest or b"")
    )


@given(PACKAGES, NEEDLES)
def test_no_block_with_a_match_is_passed_over(packages, needle):
    block = block_of(packages)
    is_match = names.matching(needle)

    if any(is_match(entry) for entry in names.iter_entries(block)):
        assert names.holding(needle)(block)


def test_a_needle_is_found_in_path_and_tag_and_across_both_whatever_its_case():
    package = Entry("lib/app", "V1-rc", None)

    found = [
        n
        for n in ("b/A", "v1-R", "app:v1", ":", "p:", ":v1", "v1:", "x:v1")
        if names.matching(n)(package)
    ]

    assert found == ["b/A", "v1-R", "app:v1", ":", "p:", ":v1"]


def test_a_letter_whose_lower_case_is_of_ascii_is_that():
    block, needle = block_of({("k8s", names.tag_line("v1"))}), "\N{KELVIN SIGN}8S"

    assert all(map(names.matching(needle), names.iter_entries(block)))
    assert names.holding(needle)(block)


def test_blocks_that_cannot_match_are_told_by_their_bytes():
    lower, mixed = (
        block_of({("app", names.tag_line(tag)), ("lib", names.tag_line("x"))})
        for tag in ("v1", "V1")
    )

    for block in (lower, mixed):
        assert names.holding("v1")(block)
        assert names.holding("APP:V1")(block)
        assert not names.holding("v2")(block)
        assert not names.holding("app:v1:v1")(block)
        assert not names.holding("é")(block)


def test_a_repository_is_read_in_order_and_no_other_with_it(environment):
    commit(environment, [*PLACES, *put(1), *put(2), *put(3), *put(1, OTHER)])
    commit(environment, [manifest(1), manifest(2), manifest(1, image=OTHER)])

    commit(environment, [SetTag(IMAGE, "v1", digest_of(1)), SetTag(IMAGE, "A", digest_of(3))])

    def look(view):
        number = view.repository(IMAGE.repository).id
        return [e for b in names.iter_blocks(view, number) for e in names.iter_entries(b)]

    assert environment.read(look) == [
        Entry("app", "A", None),
        Entry("app", "v1", None),
        Entry("app", None, digest_of(2)),
        Entry("other", None, digest_of(1)),
    ]


def test_the_count_of_a_block_is_read_from_its_key():
    start = names.prefix(7, Order.NAME)
    key = names.block_key(start, b"app\0v1", 300)

    assert (names.count_of(key), names.first_of(key)) == (300, b"app\0v1")
    assert key < names.beyond(start, b"app\0v1") < names.block_key(start, b"app\0v1.1", 1)
