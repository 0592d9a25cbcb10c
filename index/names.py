"""The packages of a repository in order: every tag, and every manifest that has none.

Three orders of the same entries, each in blocks (`index.blocks`) under `R · order · first entry`:

    NAME     group: the image's path; line: the tag, or "~" and D in letters for an untagged
             manifest, which comes behind the tags
    PUSHED   group and line begin with the time of the push, then the image's id
    SIZE     the same with the size of the whole

The count of a block's entries ends its key, so whoever skips blocks does not read them.

For a search over all names of a repository:

    for block in names.iter_blocks(view, repository):       # bytes, in order; ≤ 4 KiB each
        if may_hold(block):                                 # names.holding("app:v1"), made once
            for entry in names.iter_entries(block): ...     # names.Entry(path, tag, digest)

`holding` never misses an entry that has the needle in `path:tag`; what it lets through is to be
looked at again, entry by entry (`matching`).
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from enum import IntEnum
from struct import Struct
from typing import Final, NamedTuple

from index import blocks, keys
from index.view import View

TABLE: Final = "names"
UNTAGGED: Final = b"~"  # begins the line of a manifest; sorts behind what a tag may begin with
_COUNT: Final = Struct(">H")
_END: Final = b"\0" + _COUNT.size * b"\xff"  # of a key, beyond every count
# Base64 whose letters are in the order of what they stand for, so that text sorts as digests do.
_USUAL: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_SORTED: Final = bytes(sorted(b"-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"))
_TO_SORTED: Final = bytes.maketrans(_USUAL, _SORTED)
_FROM_SORTED: Final = bytes.maketrans(_SORTED, _USUAL)
_UPPER: Final = re.compile(rb"[A-Z]")


class Order(IntEnum):
    """An order of a repository's packages; its number is in the key."""

    NAME = 1
    PUSHED = 2
    SIZE = 3


# Those of some lines of an image that are selected; each begins after so many bytes of its own.
Sift = Callable[[list[bytes], int], list[bytes]]


class Entry(NamedTuple):
    """A package by name: a tag of the image `path`, or (tag None) the manifest D without one."""

    path: str
    tag: str | None
    digest: bytes | None  # D; None for a tag, which names one


# --- lines and entries ---


def letters(data: bytes) -> bytes:
    """Bytes as text that sorts as they do (3 bytes are 4 letters)."""
    return b64encode(data).translate(_TO_SORTED)


def from_letters(text: bytes) -> bytes:
    """Read what `letters` wrote."""
    return b64decode(text.translate(_FROM_SORTED))


def tag_line(tag: str) -> bytes:
    """The line of a tag."""
    return tag.encode()


def manifest_line(digest: bytes) -> bytes:
    """The line of a manifest that has no tag."""
    return UNTAGGED + letters(digest)


def name_entry(path: str, line: bytes) -> bytes:
    """The entry of a line of an image in the order of names."""
    return path.encode() + b"\0" + line


def named(path: str, line: bytes) -> Entry:
    """What a line of an image says."""
    if line.startswith(UNTAGGED):
        return Entry(path, None, from_letters(line[1:]))
    return Entry(path, line.decode(), None)


def decode(entry: bytes) -> Entry:
    """What an entry of the order of names says."""
    group, line = blocks.split_entry(entry)
    return named(group.decode(), line)


def iter_entries(block: bytes) -> Iterator[Entry]:
    """The packages of a block of the order of names."""
    return map(decode, blocks.iter_entries(block))


# --- keys and blocks ---


def prefix(repository: int, order: Order) -> bytes:
    """What the keys of an order of a repository begin with: R · u8 order."""
    return keys.u32(repository) + bytes((order,))


def block_key(start: bytes, first: bytes, count: int) -> bytes:
    """Key of a block: R · u8 order · first entry · NUL · u16 count. `start` is from `prefix`."""
    return start + first + b"\0" + _COUNT.pack(count)


def count_of(key: bytes) -> int:
    """How many entries the block under a key has."""
    return (key[-2] << 8) + key[-1]


def first_of(key: bytes) -> bytes:
    """The first entry of the block under a key."""
    return key[5:-3]


def beyond(start: bytes, entry: bytes) -> bytes:
    """A key behind those of all blocks that begin with `entry` or before it."""
    return start + entry + _END


def iter_blocks(view: View, repository: int) -> Iterator[bytes]:
    """Every block of a repository's names, in order: one cursor that only goes forward.

    A million tags are about 4,000 blocks and 15 MiB. Each is at most 4 KiB and a copy, so the
    caller may stop, or let others run, between two of them.
    """
    for _, block in view.scan(TABLE, prefix(repository, Order.NAME)):
        yield block


# --- searching ---


def matching(needle: str) -> Callable[[Entry], bool]:
    """Whether a package has `needle` in `path:tag`, whatever the case of its letters.

    An untagged manifest is looked at by its path alone. Paths and tags are ASCII.
    """
    sift = sifting(needle)

    def is_match(entry: Entry) -> bool:
        line = UNTAGGED if entry.tag is None else entry.tag.encode()
        return bool(sift(entry.path)([line], 0))

    return is_match


def sifting(needle: str) -> Callable[[str], Sift]:
    """As `matching`, for many lines at once: path → lines of it → those with `needle`.

    Paths whose lines are to be looked at in the same way have the same sift.
    """
    folded = needle.lower()
    left, colon, right = folded.partition(":")
    part, beginning = folded.encode(), right.encode()

    def has_part(lines: list[bytes], at: int) -> list[bytes]:
        found = [line for line in lines if part in line[at:].lower()]
        return [line for line in found if not line.startswith(UNTAGGED, at)]

    def begins(lines: list[bytes], at: int) -> list[bytes]:
        found = [line for line in lines if line[at:].lower().startswith(beginning)]
        return [line for line in found if not line.startswith(UNTAGGED, at)]

    def of_path(path: str) -> Sift:
        if folded in path:
            return every
        if not colon:
            return has_part
        return begins if path.endswith(left) else none

    return of_path


def every(lines: list[bytes], _: int) -> list[bytes]:
    """A `Sift` that selects all."""
    return lines


def none(_: list[bytes], __: int) -> list[bytes]:
    """A `Sift` that selects nothing."""
    return []


def holding(needle: str) -> Callable[[bytes], bool]:
    """Whether a block may have an entry that `matching` would find; never a false no.

    Tags may have upper-case letters, and few have: a block whose flag says that none has is not
    folded. A needle with ":" lies across a path and a tag, which are not side by side in a block:
    then both parts have to be there. Letters of digests make a needle that is short seem to be.
    """
    folded = needle.lower()  # also what is not ASCII may be so now
    pieces = [piece for piece in folded.encode().split(b":") if piece]
    if folded.count(":") > 1 or not folded.isascii():
        return lambda _: False
    if not pieces:
        return lambda _: True
    if len(pieces) == 1:
        only = pieces[0]
        return lambda block: only in (block if block[:1] == blocks.LOWER else block.lower())
    left, right = pieces

    def has_both(block: bytes) -> bool:
        text = block if block[:1] == blocks.LOWER else block.lower()
        return left in text and right in text

    return has_both


def is_mixed(entry: bytes) -> bool:
    """Whether an entry of the order of names makes its block one to be folded."""
    line = blocks.split_entry(entry)[1]
    return not line.startswith(UNTAGGED) and _UPPER.search(line) is not None
