"""A store with a row in every table, what it serves, and every way to damage one of its rows.

Damage is made in LMDB itself, past all rules.
"""

import json
from pathlib import Path

from msgspec.structs import replace

from cas import layout, placing
from cas.digest import Digest
from cas.errors import Damaged
from cas.local import open_store
from frontend.repairing import describe
from index import keys
from index.changes import Link, PutManifest, PutObject, SetTag, Unlink
from index.environment import open_environment
from index.journal import entry_key, place_key
from index.records import (
    ChunkAt,
    Damage,
    Entry,
    Extent,
    GarbageKind,
    Image,
    Link as LinkRow,
    Manifest,
    Object,
    Pack,
    PackState,
    Repository,
    Tag,
    Usage,
    Work,
    WorkKind,
)
from tests.cas.pushing import IMAGE, OTHER, drift, noise, prepare, pull, push

OCI = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
MEBI = 1 << 20
BIG = noise(MEBI + 5000, "big")  # adopted


# --- a store with everything ---


def descriptor(digest: Digest, size: int, media_type: str = "application/x") -> dict:
    return {"mediaType": media_type, "digest": str(digest), "size": size}


async def put_manifest(store, image, document: dict, *tags: str) -> Digest:
    """Put a manifest as the front end does."""
    content = json.dumps({"schemaVersion": 2, **document}).encode()
    digest = Digest.of(content)
    described = describe(digest, content)
    assert described is not None
    edges = tuple(described.edges.items())
    await store.commit(
        [
            PutObject(digest.key, content),
            Link(image, digest.key),
            PutManifest(image, digest.key, described.record, edges, described.referrer),
            *(SetTag(image, tag, digest.key) for tag in tags),
        ]
    )
    return digest


async def populate(root: Path) -> None:
    """Two images with layers that share chunks, an index, a referrer; and garbage."""
    threshold, placing.ADOPT_BYTES = placing.ADOPT_BYTES, MEBI
    try:
        async with open_store(root) as store:
            await prepare(store)
            await _fill(store)
            assert await drift(store) == []
    finally:
        placing.ADOPT_BYTES = threshold


async def _fill(store) -> None:
    shared = noise(400_000)
    layers = [shared, noise(50_000, "a") + shared + noise(90_000, "b"), BIG]
    config = b'{"architecture": "amd64"}'
    digests = [await push(store, content) for content in (config, *layers)]
    await store.commit([Link(OTHER, digest.key, 3600) for digest in digests[:2]])
    sizes = [len(config), *map(len, layers)]
    described = list(map(descriptor, digests, sizes))
    image = await put_manifest(
        store,
        IMAGE,
        {"mediaType": OCI, "config": described[0], "layers": described[1:]},
        "v1",
        "latest",
    )
    other = {"mediaType": OCI, "config": described[0], "layers": described[1:2]}
    await put_manifest(store, OTHER, other, "v2")
    entry = descriptor(image, 1000, OCI)
    await put_manifest(store, IMAGE, {"mediaType": OCI_INDEX, "manifests": [entry]}, "all")
    signed = {"mediaType": OCI, "config": described[0], "layers": [], "subject": entry}
    await put_manifest(store, IMAGE, signed)
    loose = await push(store, b"nothing refers to it")
    await push(store, noise(70_000, "linked, and no more"))
    await store.commit([Unlink(IMAGE, loose.key)])


def served(store) -> dict:
    """Everything that a client can see: every link, manifest, tag, referrer, and all bytes.

    When things were pushed is not part of it: a row that was made again does not know. What
    cannot be pulled is left out.
    """

    def look(view) -> dict:
        found = {}
        for key, _ in view.scan("link"):
            image, digest = view.image_name(key[:8]), Digest(key[8:])
            record = view.manifest(key[:8], key[8:])
            found[str(image), str(digest)] = record and (record.media_type, record.subject)
        for key, value in view.scan("tag"):
            name = view.image_name(key[:8]), key[8:].decode()
            found[str(name[0]), "tag", name[1]] = Digest(Tag.decode(value).digest)
        return found | dict(view.scan("referrer"))

    found = store.read(look)
    contents = {name[1]: _content(store, name[1]) for name in found if len(name) == 2}
    return found | {text: content for text, content in contents.items() if content is not None}


def _content(store, text: str) -> bytes | None:
    """The bytes under a digest; None when they are not those."""
    try:
        content = pull(store, Digest.parse(text))
    except Damaged:
        return None
    return content if Digest.of(content) == Digest.parse(text) else None


def linked(found: dict) -> dict:
    """Of what is served, the links and the bytes: no damage to derived rows takes those."""
    return {name: found[name] for name in found if isinstance(name, str)} | {
        name: () for name in found if isinstance(name, tuple) and len(name) == 2
    }


def dump(root: Path) -> dict:
    """Every row of every table."""
    with open_environment(root / layout.INDEX) as environment:
        return environment.read(lambda view: {t: list(view.scan(t)) for t in keys.TABLES})


# --- ways to damage a row ---


def plant(root: Path, change) -> None:
    """Run `change` on a write transaction of a store that nobody serves."""
    with open_environment(root / layout.INDEX) as environment:
        environment.write(change)


def first(transaction, table: str) -> tuple[bytes, bytes]:
    return next(iter(transaction.scan(table)))


def drop(table: str):
    return lambda transaction: transaction.delete(table, first(transaction, table)[0])


def alter(table: str, kind, **fields):
    """Add to fields of a table's first row."""

    def change(transaction) -> None:
        key, value = first(transaction, table)
        row = kind.decode(value)
        more = {name: getattr(row, name) + number for name, number in fields.items()}
        transaction.put(table, key, row._replace(**more).encode())

    return change


def add(table: str, key: bytes, value: bytes = b""):
    return lambda transaction: transaction.put(table, key, value)


def spoil(table: str):
    return lambda transaction: transaction.put(table, first(transaction, table)[0], b"\xc1?")


def with_first(table: str, change):
    """`change(transaction, key, value)` of a table's first row."""
    return lambda transaction: change(transaction, *first(transaction, table))


def of_active(change):
    """`change(transaction, key, row)` of the pack that appends go to."""

    def run(transaction) -> None:
        key = transaction.get("meta", keys.META_ACTIVE)
        change(transaction, key, Pack.decode(transaction.get("pack", key)))

    return run


def set_pack(**fields):
    return of_active(lambda t, key, row: t.put("pack", key, row._replace(**fields).encode()))


def swap_image_ids(transaction) -> None:
    """Each of two images has the other's id."""
    (one, first_row), (two, second_row) = transaction.scan("image")
    transaction.put("image", one, second_row)
    transaction.put("image", two, first_row)


def unlink_the_first_tag(transaction) -> None:
    """Both rows of the link to what it names go."""
    key, value = first(transaction, "tag")
    image, digest = key[:8], Tag.decode(value).digest
    transaction.delete("link", image + digest)
    transaction.delete("link_by_digest", digest + image)


def work_on_a_live_object(transaction) -> None:
    row = Object.decode(
        next(v for _, v in transaction.scan("object") if Object.decode(v).size > MEBI)
    )
    work = Work(kind=WorkKind.BUILD, object=row.id, cursor=keys.place(1, 1))
    transaction.put("work", keys.u64(row.id), work.encode())


BIG_KEY = Digest.of(BIG).key
ABSENT = Digest.of(b"absent").key
NOWHERE = keys.u32(1) + keys.u32(99)

_ENTRY = Entry(at=1, action="x", repository=1, number=1)
_DAMAGE = Damage(length=1, name=bytes(32)).encode()


def share_damage(t) -> None:
    """Mark a chunk that pushes are told of."""
    name, place = first(t, "chunk")
    row = ChunkAt.decode(t.get("chunk_at", place))
    t.put("damage", place, Damage(length=row.length, name=name).encode())


# name, damage, what fsck says of it; repair mends each of them, and nothing that was served goes
MENDABLE = [
    ("a link counts too much", alter("link", LinkRow, references=1), "references, "),
    ("a link waits for nothing", alter("link", LinkRow, not_before=5), "but not_before"),
    ("a link has no reverse row", drop("link_by_digest"), "has no row by digest"),
    ("a link went", drop("link"), "there is no link"),
    ("the only link to a blob went",
     lambda t: t.delete("link", next(key for key, _ in t.scan("link") if key[8:] == BIG_KEY)),
     "there is no link"),
    ("a link cannot be read", spoil("link"), "cannot be read"),
    ("an object went", drop("object"), "its row is missing"),
    ("an object cannot be read", spoil("object"), "cannot be read"),
    ("an object counts too much", alter("object", Object, references=1), "references, "),
    ("an object has another size", alter("object", Object, size=1), " found"),
    ("an object has another id", alter("object", Object, id=1000), "its row is about other bytes"),
    ("a reverse row has no link", add("link_by_digest", ABSENT + NOWHERE), "there is no link"),
    ("a link has no object", add("link", NOWHERE + ABSENT, LinkRow(0, 0, 0, 1).encode()),
     "its object is missing"),
    ("a garbage row went", drop("garbage"), "its garbage row is missing"),
    ("a garbage row waits for nothing", add("garbage", keys.garbage(5, 2, ABSENT)),
     "nothing waits for it"),
    ("a garbage row of no pack", add("garbage", keys.garbage(0, GarbageKind.PACK, keys.u64(5))),
     "nothing waits for it"),
    ("a garbage row of no kind", add("garbage", keys.garbage(5, 9, b"x")), "cannot be read"),
    ("an edge has no reverse row", drop("edge_by_child"), "has no row by child"),
    ("a reverse row has no edge", drop("edge"), "there is no edge"),
    ("an edge cannot be read", spoil("edge"), "cannot be read"),
    ("an edge has no manifest", add("edge", NOWHERE + ABSENT + ABSENT, b"\x01"),
     "its manifest is missing"),
    ("a reverse edge has no manifest", add("edge_by_child", NOWHERE + ABSENT + ABSENT),
     "there is no edge"),
    ("a tag has no reverse row", drop("tag_by_digest"), "has no row by digest"),
    ("a reverse row has no tag", drop("tag"), "there is no such tag"),
    ("a tag cannot be read", spoil("tag"), "cannot be read"),
    ("a tag has a second reverse row",
     with_first("tag", lambda t, key, _: t.put("tag_by_digest", key[:8] + ABSENT + key[8:])),
     "there is no such tag"),
    ("a tag names what is not linked",
     lambda t: t.put("tag", first(t, "tag")[0], Tag(digest=ABSENT).encode()),
     "what it names is not linked"),
    ("a tag names what was unlinked", unlink_the_first_tag, "what it names is not linked"),
    ("a manifest went", drop("manifest"), "its manifest is missing"),
    ("a manifest cannot be read", spoil("manifest"), "cannot be read"),
    ("a manifest is not linked",
     add("manifest", NOWHERE + ABSENT, Manifest(media_type=OCI, size=1).encode()), "is not linked"),
    ("a referrer row went", drop("referrer"), "but no referrer row"),
    ("a referrer has no manifest", add("referrer", NOWHERE + ABSENT + bytes(8) + ABSENT),
     "there is no such manifest"),
    ("an image counts too much", alter("image", Image, links=1), "counts "),
    ("an image went", drop("image"), "there is no such image"),
    ("an image has no row by id", drop("image_by_id"), "its row by id differs"),
    ("two images have each other's id", swap_image_ids, "there is no such image"),
    ("an image has a second name",
     with_first("image", lambda t, key, value: t.put("image", key[:4] + b"alias", value)),
     "a second name"),
    ("an image holds nothing",
     add("image", keys.u32(1) + b"empty", Image(keys.u32(1) + keys.u32(9), 0, 0, 0).encode()),
     "image empty: holds nothing"),
    ("a row by id has no image", add("image_by_id", NOWHERE, b"x"), "there is no such image"),
    ("a repository has no row by id", drop("repository_by_id"), "its row by id differs"),
    ("a row by id names another repository", add("repository_by_id", keys.u32(1), b"local/other"),
     "its row by id differs"),
    ("a repository went", drop("repository"), "its row is missing"),
    ("a public repository is not listed",
     with_first("repository", lambda t, key, value: t.put(
         "repository", key, replace(Repository.decode(value), visibility="public").encode())),
     "is public, but not listed"),
    ("a private repository is listed as public", add("public", b"local/images"),
     "or it is private"),
    ("what is not there is listed as public", add("public", b"local/nowhere"),
     "there is no such repository"),
    ("a storage went", drop("storage"), "its storage is missing"),
    ("inline bytes are nobody's", add("inline", keys.u64(999), b"x"), "belongs to no object"),
    ("usage went", drop("usage"), "usage (0, 0, 0)"),
    ("usage is of nothing", add("usage", keys.u32(9), Usage(1, 1, 1).encode()),
     "there is no such repository"),
    ("an extent belongs to nobody", add("extent", keys.place(999, 0), Extent(1, 0, 7).encode()),
     "belongs to no object"),
    ("an extent lies beyond its object",
     with_first("extent", lambda t, key, value: t.put("extent", key[:8] + b"\x7f" * 8, value)),
     "an extent beyond its bytes"),
    ("a chunk counts too much", alter("chunk_at", ChunkAt, references=1), "extents cover it"),
    ("a chunk went", drop("chunk_at"), "its chunks end at"),
    ("a chunk cannot be read", spoil("chunk_at"), "cannot be read"),
    ("a chunk is too short", alter("chunk_at", ChunkAt, length=-1), "its chunks end at"),
    ("a chunk is too long", alter("chunk_at", ChunkAt, length=1), "its chunks end at"),
    ("a chunk is covered by nothing",
     of_active(lambda t, key, row: t.put(
         "chunk_at", key + keys.u64(row.length), ChunkAt(5, bytes(32), 1).encode())),
     "0 extents cover it"),
    ("a chunk within another",
     with_first("chunk_at", lambda t, key, value: t.put(
         "chunk_at", key[:8] + keys.u64(keys.split_place(key)[1] + 9), value)),
     "its chunks end at"),
    ("a chunk lost its name",
     with_first("chunk_at", lambda t, key, value: t.put(
         "chunk_at", key, ChunkAt.decode(value)._replace(name=bytes(32)).encode())),
     "is not where its row says"),
    ("a chunk is not where its row says",
     lambda t: t.put("chunk", first(t, "chunk")[0], keys.place(1, 1)), "is not where its row says"),
    ("a chunk's name leads nowhere", add("chunk", bytes(32), keys.place(1, 1)),
     "is not where its row says"),
    ("a pack went", drop("pack"), "but it has no row"),
    ("the active pack went", of_active(lambda t, key, _: t.delete("pack", key)),
     "but it has no row"),
    ("a pack's live bytes are wrong", alter("pack", Pack, live=1), "live bytes"),
    ("a pack is longer than its file", alter("pack", Pack, length=1), "but its file has"),
    ("the active pack is too short", set_pack(length=7), "but chunks lie up to"),
    ("the active pack is dead", set_pack(state=PackState.DEAD), "names no active pack"),
    ("a pack is dead", with_first("pack", lambda t, key, value: t.put(
        "pack", key, Pack.decode(value)._replace(state=PackState.DEAD).encode())), "dead, but"),
    ("a pack has no file", add("pack", keys.u64(5), Pack(PackState.SEALED, 0, 0).encode()),
     "its file is missing"),
    ("two packs are active", add("pack", keys.u64(5), Pack(PackState.ACTIVE, 0, 0).encode()),
     "active, but appends go elsewhere"),
    ("nothing builds a pack", add("pack", keys.u64(5), Pack(PackState.INCOMING, 0, 0).encode()),
     "nothing builds it"),
    ("a live object is being built", work_on_a_live_object, "its object is live"),
    ("no pack is active", lambda t: t.delete("meta", keys.META_ACTIVE), "names no active pack"),
    ("no pack is next", lambda t: t.delete("meta", keys.META_NEXT), "is missing"),
    ("object ids were taken", lambda t: t.delete("meta", keys.META_OBJECT), "is taken"),
    ("image ids were taken", lambda t: t.delete("meta", keys.META_IMAGE), "is taken"),
    ("repository ids were taken", lambda t: t.delete("meta", keys.META_REPOSITORY), "is taken"),
    ("damage of no chunk", add("damage", keys.place(5, 5), _DAMAGE), "is not there"),
    ("damage of no object", add("damage", keys.place(0, 999), _DAMAGE), "is not there"),
    ("damage of another chunk",
     with_first("chunk_at", lambda t, key, _: t.put("damage", key, _DAMAGE)), "is not there"),
    ("a damaged chunk is shared", share_damage, "would be shared"),
    ("damage cannot be read", add("damage", keys.place(5, 5), b"x"), "cannot be read"),
    ("a journal entry cannot be read", add("journal", entry_key(1), b"x"), "cannot be read"),
    ("a journal entry has no place", add("journal", entry_key(1), _ENTRY.encode()),
     "its repository does not have it"),
    ("a place has no journal entry", add("journal", place_key(1, 1), keys.u64(1)),
     "is not what a repository has"),
    ("a run cannot be read", add("run", keys.u64(5), b"x"), "cannot be read"),
    ("the secret went", lambda t: t.delete("meta", keys.META_SECRET), "meta secret: is missing"),
]  # fmt: skip

# Bytes that are nowhere else: repair says so, and keeps all that it has.
LOST = [
    ("inline bytes went", drop("inline"), "bytes, 0 found"),
    ("an extent went", drop("extent"), " found"),
    ("an extent is short", alter("extent", Extent, length=-1), "its chunks end at"),
    ("an extent begins elsewhere", alter("extent", Extent, offset=1), "its chunks end at"),
]
