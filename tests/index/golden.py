"""One of every key and every value, encoded; `python -m tests.index.golden` prints the file.

Run it only for a new format (`index.keys.FORMAT`), into a new file: an old one never changes.
"""

import json
import sys

from index import blocks, keys, names
from index.changes import EdgeKind
from index.journal import entry_key, place_key
from index.ledger import WAS_MANIFEST
from index.listed import value_entry
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
    PackState,
    Place,
    Repository,
    Run,
    Storage,
    Tag,
    Usage,
    Work,
    WorkKind,
)

D = b"\x01" + bytes(range(32))  # sha256
CHILD = b"\x02" + bytes(range(64))  # sha512
BLAKE3 = bytes(range(32, 64))
R = keys.u32(7)
I = R + keys.u32(0x0102)  # noqa: E741 - the design's word
O = keys.u64(0x1122334455667788)  # noqa: E741 - the design's word
PACK, OFFSET = 0xA1A2A3A4A5A6A7A8, 0x1000
TIME = 1_700_000_000

LINES = [names.tag_line("V1"), names.tag_line("v1"), names.manifest_line(D)]
NAMED = [names.name_entry(path, line) for path in ("a/b", "c") for line in LINES]
VALUED = sorted(
    value_entry(value, I, line) for value, line in zip((TIME, 70_000, 7), LINES, strict=True)
)


def block(order, entries):
    """The row of one block of an order of packages."""
    (made,) = blocks.pack(entries, blocks.MAX_BLOCK, blocks.MIXED)
    return names.block_key(names.prefix(7, order), made.first, made.count), made.encode()


ROWS = {
    "meta format": (keys.META_FORMAT, keys.u32(keys.FORMAT)),
    "meta store": (keys.META_STORE, bytes(range(16))),
    "meta secret": (keys.META_SECRET, bytes(range(32))),
    "meta clean": (keys.META_CLEAN, b"\x01"),
    "meta revision": (keys.META_REVISION, keys.u64(5)),
    "meta next:repository": (keys.META_REPOSITORY, keys.u32(7)),
    "meta next:image": (keys.META_IMAGE, keys.u32(0x0102)),
    "meta next:object": (keys.META_OBJECT, O),
    "meta pack:active": (keys.META_ACTIVE, keys.u64(PACK)),
    "meta pack:next": (keys.META_NEXT, keys.u64(PACK + 1)),
    "meta scrub": (keys.META_SCRUB, b"\x01" + keys.place(PACK, 65_536)),
    "storage": (b"local", Storage(created_at=TIME).encode()),
    "repository": (
        b"local/images",
        Repository(
            id=7,
            revision=2,
            visibility="public",
            description="é",
            created_at=TIME,
            immutable_tags=("v*", "release-?"),
            quota_bytes=1 << 40,
        ).encode(),
    ),
    "repository leaving": (
        keys.leaving(8).encode(),
        Repository(id=8, revision=3, description="local/old", created_at=TIME).encode(),
    ),
    "repository_by_id": (R, b"local/images"),
    "public": (b"local/images", b""),
    "image": (keys.image(R, "a/b"), Image(I, 4, 3, 2, 70_000, TIME).encode()),
    "image_by_id": (I, b"a/b"),
    "tag": (keys.tag(I, "v1"), Tag(digest=D, pushed_at=TIME, pushed_by="ada").encode()),
    "tag_by_digest": (I + D + b"v1", b""),
    "manifest": (
        I + D,
        Manifest(
            media_type="m",
            size=9,
            artifact_type="a",
            subject=CHILD,
            pushed_at=TIME,
            pushed_by="u",
            total=70_000,
            platforms=("linux/amd64", "linux/arm/v7"),
        ).encode(),
    ),
    "link": (I + D, Link(TIME, TIME + 3600, 3, 0).encode()),
    "link_by_digest": (D + I, b""),
    "edge": (I + D + CHILD, bytes((EdgeKind.LAYER,))),
    "edge_by_child": (I + CHILD + D, b""),
    "referrer": (I + CHILD + keys.type_hash("a") + D, b'{"digest":"sha256:00"}'),
    "object": (D, Object(0x1122334455667788, 70_000, 0, TIME).encode()),
    "inline": (O, b"bytes"),
    "extent": (O + keys.u64(4096), Extent(PACK, OFFSET, 65_904).encode()),
    "chunk": (BLAKE3, Place(PACK, OFFSET).encode()),
    "chunk_at": (keys.place(PACK, OFFSET), ChunkAt(65_536, BLAKE3, 2).encode()),
    "pack": (keys.u64(PACK), Pack(PackState.SEALED, 70_000, 65_536).encode()),
    "work": (
        O,
        Work(
            kind=WorkKind.BUILD,
            upload="ab",
            digest=D,
            object=0x1122334455667788,
            pack=PACK,
            cursor=keys.place(1, 65_536),
        ).encode(),
    ),
    "usage": (R, Usage(70_000, 2, 3).encode()),
    "garbage link": (keys.garbage(TIME, GarbageKind.LINK, I + D), b""),
    "garbage object": (keys.garbage(TIME, GarbageKind.OBJECT, D), WAS_MANIFEST),
    "garbage pack": (keys.garbage(0, GarbageKind.PACK, keys.u64(PACK)), b""),
    "garbage manifest": (keys.garbage(TIME, GarbageKind.MANIFEST, I + D), b""),
    "names by name": block(names.Order.NAME, NAMED),
    "names by push": block(names.Order.PUSHED, VALUED),
    "names by size": block(names.Order.SIZE, VALUED),
    "pulled": (I + D, keys.u64(TIME)),
    "run": (
        keys.u64(TIME * 1000),
        Run(is_asked=False, ended_at=TIME * 1000 + 5, error="no", figures={"blobs": 2}).encode(),
    ),
    "damage": (
        keys.place(PACK, OFFSET),
        Damage(length=65_536, name=BLAKE3, found_at=TIME, why="it is not what was stored").encode(),
    ),
    "journal": (
        entry_key(0x1234),
        Entry(
            at=TIME * 1000 + 5,
            actor="ada",
            via="password",
            address="192.0.2.1",
            action="manifest.push",
            target="local/images/a/b:v1",
            detail={"size": 9},
            repository=7,
            number=258,
        ).encode(),
    ),
    "journal of a repository": (place_key(7, 258), keys.u64(0x1234)),
}


def encode():
    """The golden file's text."""
    rows = {name: {"key": key.hex(), "value": value.hex()} for name, (key, value) in ROWS.items()}
    return json.dumps({"format": keys.FORMAT, "rows": rows}, indent=1) + "\n"


if __name__ == "__main__":
    sys.stdout.write(encode())
