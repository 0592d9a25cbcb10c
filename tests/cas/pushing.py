"""What tests of stores share; written against `cas.verbs.Store`, so any implementation will do."""

import hashlib
from contextlib import closing
from pathlib import Path

from cas.digest import Digest
from cas.verbs import Adopt, Fsck, Owner, Report, Store, Upload
from index.changes import CreateStorage, ImageName, Link, PutRepository
from index.records import Repository

REPOSITORY = "local/images"
IMAGE = ImageName(REPOSITORY, "a")
OTHER = ImageName(REPOSITORY, "b")
OWNER = Owner(IMAGE, "admin")
GZIP = b"\x1f\x8b\x08\x00"
STEP = 1 << 20


def noise(size: int, seed: int | str = 0) -> bytes:
    """Bytes that do not repeat and do not compress; the same ones every time."""
    return hashlib.shake_256(f"{seed}".encode()).digest(size)


async def prepare(store: Store) -> None:
    """Create the repository that images are pushed to."""
    await store.commit([CreateStorage("local"), PutRepository(REPOSITORY, Repository())])


async def fill(store: Store, content: bytes, owner: Owner = OWNER, step: int = STEP) -> Upload:
    """A new upload that holds `content`."""
    upload, _ = await store.stage(owner)
    return await more(upload, content, step)


async def more(upload: Upload, content: bytes, step: int = STEP) -> Upload:
    """Append `content` to what `upload` holds."""
    for start in range(0, len(content), step):
        await upload.append(upload.size, content[start : start + step])
    return upload


def changes_for(upload: Upload, digest: Digest, owner: Owner = OWNER):
    """What a blob PUT commits."""
    return [Adopt(upload.id, digest, upload.owner), Link(owner.image, digest.key, 3600)]


async def push(store: Store, content: bytes, owner: Owner = OWNER) -> Digest:
    """Push `content` to its end; returns its digest."""
    upload = await fill(store, content, owner)
    digest = Digest.of(content, owner.algorithm)
    await store.commit(changes_for(upload, digest, owner))
    return digest


def pull(store: Store, digest: Digest) -> bytes:
    """Everything stored under `digest`."""
    with closing(store.read(lambda view: view.open(digest))) as blob:
        return blob.read(0, blob.size)


def extents(store: Store, digest: Digest) -> int:
    """How many runs of bytes an object is made of."""
    with closing(store.read(lambda view: view.open(digest))) as blob:
        return blob.extents


def has(store: Store, digest: Digest) -> bool:
    """Whether anything live has this digest."""
    return store.read(lambda view: view.object(digest.key)) is not None


def is_linked(store: Store, image: ImageName, digest: Digest) -> bool:
    """Whether `image` may serve `digest`."""

    def look(view) -> bool:
        row = view.image(image)
        return row is not None and view.link(row.id, digest.key) is not None

    return store.read(look)


async def check(store: Store) -> Report:
    """The report of a whole fsck."""
    found = [each async for each in store.maintain(Fsck())]
    assert isinstance(found[-1], Report)
    return found[-1]


async def drift(store: Store) -> list[str]:
    """What fsck complains about."""
    return (await check(store)).drift


def files(folder: Path) -> list[str]:
    """Names in a folder, sorted."""
    return sorted(path.name for path in folder.iterdir())
