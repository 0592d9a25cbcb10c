"""Rows that cannot be read at all: nothing else can be checked before they are gone.

What such a row said is found again, where it can be, from the rows that say the same from the
other side, and from the bytes themselves.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from struct import error as StructError  # noqa: N812 - an exception
from typing import Final

import msgspec

from cas.checks.drift import Drift, Run, drop
from index import blocks, keys, listed, names
from index.records import (
    ChunkAt,
    Damage,
    Entry,
    Extent,
    GarbageKind,
    Image,
    Link,
    Manifest,
    Object,
    Pack,
    Place,
    Repository,
    Run as RunRow,
    Storage,
    Tag,
    Usage,
    Work,
)

_UNREADABLE: Final = (StructError, ValueError, KeyError, IndexError, msgspec.MsgspecError)


def shapes(run: Run) -> Iterator[Drift]:
    """Every row has a key and a value that can be read."""
    for table, read in _READERS.items():
        for key, value in run.view.scan(table):
            try:
                read(key, value)
            except _UNREADABLE:
                yield Drift(f"{table} {key.hex()}: cannot be read", drop((table, key)))


def _digest(data: bytes) -> bytes:
    """Take a digest off the front; returns the rest."""
    digest, rest = keys.split_digest(data)
    if len(digest) != keys.DIGEST_SIZES[digest[0]]:
        raise ValueError(data)
    return rest


def _empty(data: bytes) -> None:
    if data:
        raise ValueError(data)


def _sized(key: bytes, size: int) -> None:
    if len(key) != size:
        raise ValueError(key)


def _after_image(key: bytes) -> bytes:
    if len(key) <= keys.IMAGE_SIZE:
        raise ValueError(key)
    return key[keys.IMAGE_SIZE :]


def _text(data: bytes) -> None:
    if not data.decode():
        raise ValueError(data)


def _positive(number: int) -> None:
    if number < 1:
        raise ValueError(number)


def _storage(key: bytes, value: bytes) -> None:
    _text(key)
    Storage.decode(value)


def _repository(key: bytes, value: bytes) -> None:
    _text(key)
    Repository.decode(value)


def _repository_by_id(key: bytes, value: bytes) -> None:
    _sized(key, 4)
    _text(value)


def _public(key: bytes, value: bytes) -> None:
    _text(key)
    _empty(value)


def _image(key: bytes, value: bytes) -> None:
    _text(key[4:])
    if Image.decode(value).id[:4] != key[:4]:
        raise ValueError(value)


def _image_by_id(key: bytes, value: bytes) -> None:
    _sized(key, keys.IMAGE_SIZE)
    _text(value)


def _tag(key: bytes, value: bytes) -> None:
    _text(_after_image(key))
    _empty(_digest(Tag.decode(value).digest))


def _tag_by_digest(key: bytes, value: bytes) -> None:
    _text(_digest(_after_image(key)))


def _manifest(key: bytes, value: bytes) -> None:
    _empty(_digest(_after_image(key)))
    subject = Manifest.decode(value).subject
    if subject:
        _empty(_digest(subject))


def _link(key: bytes, value: bytes) -> None:
    _empty(_digest(_after_image(key)))
    Link.decode(value)


def _link_by_digest(key: bytes, value: bytes) -> None:
    _sized(_digest(key), keys.IMAGE_SIZE)


def _edge(key: bytes, value: bytes) -> None:
    _empty(_digest(_digest(_after_image(key))))
    _sized(value, 1)


def _edge_by_child(key: bytes, value: bytes) -> None:
    _empty(_digest(_digest(_after_image(key))))


def _referrer(key: bytes, value: bytes) -> None:
    _empty(_digest(_digest(_after_image(key))[keys.TYPE_HASH_SIZE :]))


def _object(key: bytes, value: bytes) -> None:
    _empty(_digest(key))
    _positive(Object.decode(value).id)


def _inline(key: bytes, value: bytes) -> None:
    _sized(key, 8)


def _extent(key: bytes, value: bytes) -> None:
    keys.split_place(key)
    extent = Extent.decode(value)
    _positive(extent.length)
    if extent.offset + extent.length >= 1 << 63:
        raise ValueError(value)  # no file is that long


def _chunk(key: bytes, value: bytes) -> None:
    _sized(key, 32)
    Place.decode(value)


def _chunk_at(key: bytes, value: bytes) -> None:
    keys.split_place(key)
    _positive(ChunkAt.decode(value).length)


def _pack(key: bytes, value: bytes) -> None:
    _sized(key, 8)
    Pack.decode(value)


def _work(key: bytes, value: bytes) -> None:
    _sized(key, 8)
    Work.decode(value)


def _usage(key: bytes, value: bytes) -> None:
    _sized(key, 4)
    Usage.decode(value)


def _garbage(key: bytes, value: bytes) -> None:
    _, kind, name = keys.split_garbage(key)
    match GarbageKind(kind):
        case GarbageKind.LINK | GarbageKind.MANIFEST:
            _empty(_digest(_after_image(name)))
        case GarbageKind.OBJECT:
            _empty(_digest(name))
        case GarbageKind.PACK:
            _sized(name, 8)


def _names(key: bytes, value: bytes) -> None:
    order = names.Order(key[4])
    entries = list(blocks.iter_entries(value))
    is_sorted = all(left < right for left, right in pairwise(entries))
    if not is_sorted or names.first_of(key) != entries[0] or names.count_of(key) != len(entries):
        raise ValueError(key)
    if value[:1] not in (blocks.LOWER, blocks.MIXED) or len(value) > blocks.MAX_BLOCK:
        raise ValueError(value)
    if value[:1] == blocks.LOWER and any(map(names.is_mixed, entries)):
        raise ValueError(value)
    for entry in entries:
        _package(order, entry)


def _package(order: names.Order, entry: bytes) -> None:
    """Read an entry; raises as the others do."""
    if order is names.Order.NAME:
        path, line = blocks.split_entry(entry)
        _text(path)
        is_same = names.name_entry(path.decode(), line) == entry
    else:
        letters, line = listed.split_value_entry(entry)
        image = bytes(4) + listed.image_number(letters)
        is_same = listed.value_entry(listed.value_of(entry), image, line) == entry
    if not is_same or _line(line) != line:
        raise ValueError(entry)


def _line(line: bytes) -> bytes:
    """Read a line, and write it again."""
    _, tag, digest = names.named("", line)
    if tag is not None:
        _text(line)
        return names.tag_line(tag)
    _empty(_digest(digest or b""))
    return names.manifest_line(digest or b"")


def _pulled(key: bytes, value: bytes) -> None:
    _empty(_digest(_after_image(key)))
    _sized(value, 8)


def _run(key: bytes, value: bytes) -> None:
    _sized(key, 8)
    RunRow.decode(value)


def _damage(key: bytes, value: bytes) -> None:
    keys.split_place(key)
    _positive(Damage.decode(value).length)


def _journal(key: bytes, value: bytes) -> None:
    if key[0]:
        _sized(key, 13)
        _sized(value, 8)
    else:
        _sized(key, 9)
        Entry.decode(value)


_READERS: Final[Mapping[str, Callable[[bytes, bytes], None]]] = {
    "storage": _storage,
    "repository": _repository,
    "repository_by_id": _repository_by_id,
    "public": _public,
    "image": _image,
    "image_by_id": _image_by_id,
    "tag": _tag,
    "tag_by_digest": _tag_by_digest,
    "manifest": _manifest,
    "link": _link,
    "link_by_digest": _link_by_digest,
    "edge": _edge,
    "edge_by_child": _edge_by_child,
    "referrer": _referrer,
    "object": _object,
    "inline": _inline,
    "extent": _extent,
    "chunk": _chunk,
    "chunk_at": _chunk_at,
    "pack": _pack,
    "work": _work,
    "usage": _usage,
    "garbage": _garbage,
    "names": _names,
    "pulled": _pulled,
    "run": _run,
    "damage": _damage,
    "journal": _journal,
}
