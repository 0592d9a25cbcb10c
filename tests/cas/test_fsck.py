"""Fsck finds every kind of planted damage, and says what it is."""

import pytest

from cas import fsck, layout
from cas.digest import Digest
from index import keys
from index.changes import EdgeKind, Link, PutManifest, PutObject, SetTag, Unlink
from index.records import (
    ChunkAt,
    Extent,
    Image,
    Link as LinkRow,
    Manifest,
    Object,
    Pack,
    PackState,
    Tag,
)
from tests.cas.pushing import IMAGE, OTHER, check, drift, fill, noise, push

TYPE = "application/vnd.oci.image.manifest.v1+json"


async def put_manifest(store, content: bytes, children, subject: bytes = b"") -> Digest:
    digest = Digest.of(content)
    record = Manifest(media_type=TYPE, size=len(content), subject=subject)
    edges = tuple((child.key, EdgeKind.LAYER) for child in children)
    await store.commit(
        [
            PutObject(digest.key, content),
            Link(IMAGE, digest.key),
            PutManifest(IMAGE, digest.key, record, edges, b"{}" if subject else b""),
        ]
    )
    return digest


@pytest.fixture
async def full(store):
    """A store with a row in every table that fsck counts."""
    layer = await push(store, noise(300_000))
    loose = await push(store, b"nothing refers to it")
    manifest = await put_manifest(store, b"manifest", [layer])
    await put_manifest(store, b"signature", [], subject=manifest.key)
    await store.commit([SetTag(IMAGE, "v1", manifest.key), Link(OTHER, layer.key, 60)])
    await store.commit([Unlink(IMAGE, loose.key)])
    assert await drift(store) == []
    return store


def plant(store, change) -> None:
    """Run `change` on a write transaction, past all rules."""
    with store._environment.begin() as raw:
        change(store._environment.transaction(raw))


def first(transaction, table: str) -> tuple[bytes, bytes]:
    return next(iter(transaction.scan(table)))


def drop(table: str):
    def change(transaction) -> None:
        transaction.delete(table, first(transaction, table)[0])

    return change


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


ABSENT = Digest.of(b"absent").key
NOWHERE = keys.u32(1) + keys.u32(99)

PLANTS = [
    ("a link counts too much", alter("link", LinkRow, references=1), "references, "),
    ("a link waits for nothing", alter("link", LinkRow, not_before=5), "but not_before"),
    ("a link has no reverse row", drop("link_by_digest"), "has no row by digest"),
    ("a link has no object", drop("object"), "its object is missing"),
    ("a reverse row has no link", add("link_by_digest", ABSENT + NOWHERE), "there is no link"),
    ("a link went", drop("link"), "there is no link"),
    ("a garbage row went", drop("garbage"), "its garbage row is missing"),
    (
        "a garbage row waits for nothing",
        add("garbage", keys.garbage(5, 2, ABSENT)),
        "nothing waits for it",
    ),
    ("an edge has no reverse row", drop("edge_by_child"), "has no row by child"),
    ("a reverse row has no edge", drop("edge"), "there is no edge"),
    (
        "an edge has no manifest",
        add("edge", NOWHERE + ABSENT + ABSENT, b"\x01"),
        "its manifest is missing",
    ),
    ("a tag has no reverse row", drop("tag_by_digest"), "has no row by digest"),
    ("a reverse row has no tag", drop("tag"), "there is no such tag"),
    (
        "a tag names what is not linked",
        lambda t: t.put("tag", first(t, "tag")[0], Tag(digest=ABSENT).encode()),
        "what it names is not linked",
    ),
    (
        "a manifest is not linked",
        add("manifest", NOWHERE + ABSENT, Manifest(media_type=TYPE, size=1).encode()),
        "is not linked",
    ),
    ("a referrer row went", drop("referrer"), "but no referrer row"),
    (
        "a referrer has no manifest",
        add("referrer", NOWHERE + ABSENT + bytes(8) + ABSENT),
        "there is no such manifest",
    ),
    ("an image counts too much", alter("image", Image, links=1), "counts "),
    ("an image has no row by id", drop("image_by_id"), "its row by id differs"),
    (
        "an image holds nothing",
        add("image", keys.u32(1) + b"empty", Image(keys.u32(1) + keys.u32(9), 0, 0, 0).encode()),
        "image empty: holds nothing",
    ),
    ("a row by id has no image", add("image_by_id", NOWHERE, b"x"), "there is no such image"),
    (
        "a link has no image",
        add("link", NOWHERE + ABSENT, LinkRow(0, 0, 0, 1).encode()),
        "its image is missing",
    ),
    ("inline bytes are nobody's", add("inline", keys.u64(999), b"x"), "belongs to no object"),
    ("usage is wrong", drop("usage"), "usage (0, 0, 0)"),
    ("an object counts too much", alter("object", Object, references=1), " links"),
    ("an object has another size", alter("object", Object, size=1), " found"),
    ("inline bytes went", drop("inline"), "bytes, 0 found"),
    ("an extent went", drop("extent"), "bytes, 0 found"),
    ("an extent is short", alter("extent", Extent, length=-1), "its chunks end at"),
    ("an extent begins elsewhere", alter("extent", Extent, offset=1), "its chunks end at"),
    (
        "an extent belongs to nobody",
        add("extent", keys.place(999, 0), Extent(1, 0, 0).encode()),
        "belongs to no object",
    ),
    ("a chunk counts too much", alter("chunk_at", ChunkAt, references=1), "extents cover it"),
    ("a chunk went", drop("chunk_at"), "its chunks end at"),
    (
        "a chunk is not where its row says",
        lambda t: t.put("chunk", first(t, "chunk")[0], keys.place(1, 1)),
        "is not where its row says",
    ),
    ("a pack's live bytes are wrong", alter("pack", Pack, live=1), "live bytes"),
    ("a pack is longer than its file", alter("pack", Pack, length=1), "but its file has"),
    (
        "a pack has no file",
        add("pack", keys.u64(5), Pack(PackState.SEALED, 0, 0).encode()),
        "its file is missing",
    ),
]


@pytest.mark.parametrize(
    ("change", "sentence"), [pytest.param(*rest, id=name) for name, *rest in PLANTS]
)
async def test_damage_is_found_and_named(full, change, sentence):
    plant(full, change)

    assert any(sentence in found for found in await drift(full))


async def test_a_pack_that_nothing_builds_is_found(full, tmp_path):
    layout.pack_path(tmp_path, 5).touch()
    plant(full, add("pack", keys.u64(5), Pack(PackState.INCOMING, 0, 0).encode()))

    assert any("nothing builds it" in found for found in await drift(full))


async def test_a_pack_file_that_the_index_does_not_know_is_found(full, tmp_path):
    layout.pack_path(tmp_path, 5).touch()

    assert await drift(full) == ["pack 0000000000000005: a file that the index does not know"]


async def test_a_file_that_was_given_up_while_fsck_runs_is_no_drift(full, monkeypatch):
    monkeypatch.setattr(fsck, "_list_files", lambda root: ["0000000000000005"])

    assert await drift(full) == []


async def test_a_chunk_without_a_name_is_counted_and_no_drift(full):
    plant(full, drop("chunk"))

    report = await check(full)

    assert report.drift == []
    assert report.checked["unnamed chunks"] == 1


async def test_everything_is_counted(full):
    report = await check(full)

    for table in ("links", "tags", "manifests", "edges", "objects", "extents", "chunks", "packs"):
        assert report.checked[table] > 0


async def test_an_upload_that_is_being_adopted_is_no_drift(full, tmp_path):
    upload = await fill(full, noise(100_000, "new"))
    pack = layout.pack_path(tmp_path, layout.session_pack(upload.id))
    pack.hardlink_to(layout.upload_path(tmp_path, upload.id))

    assert await drift(full) == []


async def test_what_is_adopted_while_fsck_runs_is_no_drift(full, tmp_path, monkeypatch):
    original = fsck._list_files

    def list_files(root):
        found = original(root)
        layout.pack_path(root, 5).touch()  # adopted after the listing
        return found

    monkeypatch.setattr(fsck, "_list_files", list_files)

    assert await drift(full) == []
