"""Fsck of a running store: what is in flight is no drift. `test_repair` plants every damage."""

import pytest

from cas import layout
from cas.checks import files
from cas.digest import Digest
from index import keys
from index.changes import Link, SetTag, Unlink
from index.placement import begin_build
from index.records import Pack, PackState, Work, WorkKind
from tests.cas.damage import OCI, descriptor, drop, put_manifest
from tests.cas.pushing import IMAGE, OTHER, check, drift, fill, noise, push


@pytest.fixture
async def full(store):
    """A store with a row in every table that fsck counts."""
    layer = await push(store, noise(300_000))
    loose = await push(store, b"nothing refers to it")
    config = await push(store, b"{}")
    entries = {"config": descriptor(config, 2), "layers": [descriptor(layer, 300_000)]}
    manifest = await put_manifest(store, IMAGE, {"mediaType": OCI, **entries})
    subject = descriptor(manifest, 1, OCI)
    await put_manifest(store, IMAGE, {"mediaType": OCI, **entries, "subject": subject})
    await store.commit([SetTag(IMAGE, "v1", manifest.key), Link(OTHER, layer.key, 60)])
    await store.commit([Unlink(IMAGE, loose.key)])
    assert await drift(store) == []
    return store


async def plant(store, change) -> None:
    """Run `change` past all rules."""
    await store._writer.write(change)


async def test_damage_is_named_while_the_store_runs(full):
    await plant(full, drop("link_by_digest"))

    named = await drift(full)

    assert any("has no row by digest" in each for each in named)


async def test_rows_that_cannot_be_read_are_named_and_nothing_else_is_tried(full):
    await plant(full, drop("link_by_digest"))
    await plant(full, lambda t: t.put("tag", keys.u64(1) + b"v1", b"\xc1"))

    assert await drift(full) == [f"tag {keys.u64(1).hex()}{b'v1'.hex()}: cannot be read"]


async def test_what_a_lost_pack_hurts_is_named_by_tag(full, tmp_path):
    (path,) = [p for p in (tmp_path / layout.PACKS).iterdir() if p.stat().st_size]
    path.unlink()

    missing, lost = await drift(full)

    assert missing == f"pack {path.name}: its file is missing"
    assert f"{Digest.of(noise(300_000))}: 300000 bytes are lost" in lost
    assert f"it hurts {IMAGE}:v1, {OTHER}@{Digest.of(noise(300_000))}" in lost


async def test_a_pack_that_collection_unlinks_meanwhile_is_no_drift(full, tmp_path, monkeypatch):
    """Its row goes after its file, and both after our snapshot."""
    await plant(full, lambda t: t.put("pack", keys.u64(5), Pack(PackState.SEALED, 0, 0).encode()))
    layout.pack_path(tmp_path, 5).touch()
    original = files._file

    def look(run, pack, row, **options):
        if pack == 5:
            dead = Pack(PackState.DEAD, 0, 0).encode()
            environment.write(lambda t: t.put("pack", keys.u64(5), dead))
            layout.pack_path(tmp_path, 5).unlink(missing_ok=True)
        return original(run, pack, row, **options)

    environment = full._environment
    monkeypatch.setattr(files, "_file", look)

    assert await drift(full) == []


async def test_what_is_being_built_is_no_drift(full):
    def build(transaction):
        work = Work(kind=WorkKind.BUILD, object=900, pack=9)
        begin_build(transaction, 900, work)
        transaction.put("inline", keys.u64(900), b"on its way")
        transaction.put("meta", keys.META_OBJECT, keys.u64(900))

    await plant(full, build)

    assert await drift(full) == []


async def test_a_pack_file_that_the_index_does_not_know_is_found(full, tmp_path):
    layout.pack_path(tmp_path, 5).touch()

    assert await drift(full) == ["pack 0000000000000005: a file that the index does not know"]


async def test_a_copy_that_collection_makes_is_no_drift(full, tmp_path):
    layout.pack_path(tmp_path, 5).with_suffix(".rewrite").touch()

    assert await drift(full) == []


async def test_a_file_that_was_given_up_while_fsck_runs_is_no_drift(full, monkeypatch):
    given_up = files.Listing(["0000000000000005"], ["ab" * 32])
    monkeypatch.setattr(files, "list_files", lambda root: given_up)

    assert await drift(full) == []


async def test_a_chunk_without_a_name_is_counted_and_no_drift(full):
    await plant(full, drop("chunk"))

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
    original = files.list_files

    def list_files(root):
        found = original(root)
        layout.pack_path(root, 5).touch()  # adopted after the listing
        return found

    monkeypatch.setattr(files, "list_files", list_files)

    assert await drift(full) == []
