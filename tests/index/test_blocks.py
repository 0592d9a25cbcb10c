"""`index.blocks`: sorted text, changed by splitting and joining it."""

from hypothesis import given, strategies as st

from index import blocks
from index.blocks import LOWER, MAX_BLOCK, MIXED, Block, pack

GROUPS = st.sampled_from([b"a", b"a-b", b"a/b", b"a.b", b"b", b"x" * 200])
LINES = st.text("a.-01~Z", min_size=1, max_size=12).map(str.encode)
ENTRIES = st.builds(lambda group, line: group + b"\0" + line, GROUPS, LINES)


def many(number, path="app"):
    return [b"%s\0v%06d" % (path.encode(), each) for each in range(number)]


@given(st.lists(st.tuples(st.booleans(), ENTRIES)))
def test_a_block_has_what_was_added_and_not_removed_in_byte_order(changes):
    block, model = Block.empty(), set()

    for is_added, entry in changes:
        (block.add if is_added else block.remove)(entry)
        (model.add if is_added else model.discard)(entry)

        encoded = block.encode()
        assert (block.count, block.size) == (len(model), len(encoded))
        if model:
            assert list(blocks.iter_entries(encoded)) == sorted(model)
            assert (block.first, block.last) == (min(model), max(model))
            assert blocks.count(encoded) == len(model)
            assert Block.decode(encoded).encode() == encoded


@given(st.sets(ENTRIES, min_size=1), st.integers(300, 600))
def test_packed_blocks_have_all_entries_in_order_and_are_no_bigger_than_asked(entries, size):
    packed = [each.encode() for each in pack(sorted(entries), size, MIXED)]

    assert [entry for block in packed for entry in blocks.iter_entries(block)] == sorted(entries)
    assert all(len(block) <= size and block[:1] == MIXED for block in packed)


def test_a_group_is_written_once_however_many_lines_it_has():
    (block,) = pack(many(100, "library/application"), MAX_BLOCK, LOWER)

    assert block.encode().count(b"library/application") == 1


def test_a_block_that_grew_at_its_end_is_cut_there_and_another_in_the_middle():
    def grown():
        block, entries = Block.empty(), iter(many(1000))
        while block.size <= MAX_BLOCK:
            block.add(next(entries))
        return block

    full = grown()
    first, second = grown().cut(at_end=True)
    left, right = grown().cut(at_end=False)

    assert (first.count, second.count) == (full.count - 1, 1)
    assert abs(left.count - right.count) <= 2
    assert left.flag == right.flag == LOWER


@given(st.sets(ENTRIES, min_size=2), st.data())
def test_joined_blocks_have_the_entries_of_both(entries, data):
    ordered = sorted(entries)
    at = data.draw(st.integers(1, len(ordered) - 1))
    (left,), (right,) = pack(ordered[:at], MAX_BLOCK, LOWER), pack(ordered[at:], MAX_BLOCK, MIXED)

    joined = left.join(right)

    assert list(blocks.iter_entries(joined.encode())) == ordered
    assert joined.flag == MIXED
