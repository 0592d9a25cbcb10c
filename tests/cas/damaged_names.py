"""Every way to damage the orders of packages, in the store of `tests.cas.damage`."""

from msgspec.structs import replace

from index import blocks, keys, names, ordering
from index.listed import value_entry
from index.names import Order
from index.records import Image, Manifest, Tag
from tests.cas.damage import ABSENT, NOWHERE, add, alter, drop, first, spoil, with_first

BY_NAME, BY_PUSH = (names.prefix(1, order) for order in (Order.NAME, Order.PUSHED))


def list_block(start: bytes, entries: list[bytes], number: int | None = None):
    """A block that is added to an order."""
    (block,) = blocks.pack(entries, 4000, blocks.MIXED)
    key = names.block_key(start, entries[0], len(entries) if number is None else number)
    return add("names", key, block.encode())


def unlist_the_last_push(transaction) -> None:
    (_, block), *_ = reversed(list(transaction.scan("names", BY_PUSH)))
    ordering.edit(transaction, BY_PUSH, {list(blocks.iter_entries(block))[-1]: False})


def reverse_the_first_lines(transaction) -> None:
    key, block = first(transaction, "names")
    path, one, other, *rest = block.split(b"\n")
    transaction.put("names", key, b"\n".join((path, other, one, *rest)))


# name, damage, what fsck says of it; repair mends each of them, and nothing that was served goes
MENDABLE = [
    ("names of a repository went", drop("names"), "is not listed by name"),
    ("a package is not listed by its push", unlist_the_last_push, "is not listed by push"),
    ("a package is listed that is none",
     lambda t: ordering.edit(t, BY_NAME, {b"a\0nothing": True}), "which is no package"),
    ("a package of no image is listed",
     lambda t: ordering.edit(t, BY_NAME, {b"nowhere\0v1": True}), "which is no package"),
    ("a package was pushed at another time",
     with_first("tag", lambda t, key, value: t.put(
         "tag", key, replace(Tag.decode(value), pushed_at=5).encode())), "is not listed by push"),
    ("a package has another size",
     with_first("manifest", lambda t, key, value: t.put(
         "manifest", key, replace(Manifest.decode(value), total=5).encode())),
     "is not listed by size"),
    ("names cannot be read", spoil("names"), "cannot be read"),
    *(
        (f"a line of the order of pushes is {what}",
         list_block(BY_PUSH, [value_entry(1, NOWHERE, line)]), "cannot be read")
        for what, line in (
            ("no text", b"v\xff"), ("no tag", b""), ("no digest", b"~"),
            ("no letters", b"~a*b"), ("half a digest", b"~" + names.letters(b"\1abc")),
        )
    ),
    ("names are not in order", reverse_the_first_lines, "cannot be read"),
    ("names are miscounted", list_block(BY_NAME, [b"z\0v1"], 2), "cannot be read"),
    ("names overlap", list_block(BY_NAME, [b"a\0all0"]), "the block before it goes further"),
    ("names are of no repository", list_block(names.prefix(9, Order.NAME), [b"a\0v1"]),
     "there is no such repository"),
    ("what is no manifest was pulled", add("pulled", NOWHERE + ABSENT, keys.u64(5)),
     "there is no such manifest"),
    ("a pull cannot be read", add("pulled", NOWHERE + ABSENT, b"x"), "cannot be read"),
    ("an image is larger than what it links", alter("image", Image, size=1), "counts "),
]  # fmt: skip
