"""What tests of collection share: stores whose garbage is due at once, and what the disk says."""

from pathlib import Path

from cas import layout
from cas.digest import Digest
from cas.local import StoreSettings
from cas.verbs import Adopt, Collect, Collected, Due, Store
from index.changes import EdgeKind, ImageName, Link, PutManifest, PutObject, SetTag
from index.records import Manifest
from tests.cas.pushing import IMAGE, OWNER, fill

AT_ONCE = StoreSettings(grace_seconds=0, lease_seconds=0, collection_seconds=0)


async def push_idle(store: Store, content: bytes) -> Digest:
    """Push without a lease: nothing keeps it, so it is due at once."""
    upload = await fill(store, content)
    digest = Digest.of(content)
    await store.commit([Adopt(upload.id, digest, OWNER), Link(IMAGE, digest.key)])
    return digest


async def push_manifest(
    store: Store,
    content: bytes,
    children: tuple[Digest, ...] = (),
    tags: tuple[str, ...] = (),
    *,
    kind: EdgeKind = EdgeKind.LAYER,
    subject: Digest | None = None,
    image: ImageName = IMAGE,
) -> Digest:
    """Push a manifest that needs `children`; returns its digest."""
    digest = Digest.of(content)
    record = Manifest(
        media_type="m", size=len(content), subject=b"" if subject is None else subject.key
    )
    edges = tuple((child.key, kind) for child in children)
    await store.commit(
        [
            PutObject(digest.key, content),
            Link(image, digest.key),
            PutManifest(image, digest.key, record, edges, b"{}"),
            *(SetTag(image, tag, digest.key) for tag in tags),
        ]
    )
    return digest


async def told_by(store: Store, **how: bool) -> tuple[list[Due], Collected]:
    """What a collection tells: what is due (of a dry run), and its report."""
    told = [each async for each in store.maintain(Collect(**how))]
    report = told[-1]
    assert isinstance(report, Collected)
    return [each for each in told if isinstance(each, Due)], report


async def collect(store: Store, **how: bool) -> Collected:
    """The report of a collection."""
    return (await told_by(store, **how))[1]


def blocks(root: Path) -> int:
    """Bytes that the packs take on disk."""
    return sum(path.stat().st_blocks * 512 for path in (root / layout.PACKS).iterdir())


def garbage(store: Store) -> int:
    """Rows that wait to be collected."""
    return store.read(lambda view: view.entries("garbage"))
