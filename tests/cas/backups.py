"""What tests of backups share. Stores are opened for the moment: LMDB opens an index but once."""

import os
import shutil
import signal
from contextlib import AbstractContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

import trio

from cas import appender, layout, placing
from cas.backup.back_up import BackupReport, back_up
from cas.backup.restore import restore
from cas.digest import Digest
from cas.local import open_store
from index import placement
from index.changes import EdgeKind, Link, PutManifest, PutObject, SetTag, Unlink
from index.environment import open_environment
from index.records import Manifest
from tests.anomaly import replaced
from tests.cas import collecting
from tests.cas.collecting import AT_ONCE
from tests.cas.pushing import IMAGE, drift, noise, prepare, pull, push

TYPE = "application/vnd.oci.image.manifest.v1+json"
KIB = 1 << 10
# What a backup does to files.
KILLABLE = ("open", "pwrite", "fsync", "ftruncate", "rename", "unlink", "mkdir")


def shrink(monkeypatch) -> None:
    """Let small blobs go every way that large ones go."""
    monkeypatch.setattr(placing, "ADOPT_BYTES", 400 * KIB)
    monkeypatch.setattr(placement, "ROWS", 24)
    monkeypatch.setattr(appender, "SEAL_SIZE", 300 * KIB)


class Site:
    """A data directory, a folder for its backup, and what was pushed."""

    def __init__(self, tmp_path: Path, name: str = "data") -> None:
        self.tmp_path = tmp_path
        self.data = tmp_path / name
        self.folder = tmp_path / "backup"
        self.kept: dict[Digest, bytes] = {}
        self._restored = 0

    async def push(self, *contents: bytes, tag: str = "") -> list[Digest]:
        """Push blobs, and with a tag a manifest that needs them."""
        async with open_store(self.data) as store:
            await prepare(store)
            digests = [await push(store, content) for content in contents]
            if tag:
                await put_manifest(store, tag, digests)
        self.kept |= dict(zip(digests, contents, strict=True))
        return digests

    async def fill(self) -> None:
        """Blobs of every kind: inline, appended to several packs, and adopted."""
        await self.push(b"inline", noise(100 * KIB, "a"), noise(500 * KIB, "b"), tag="first")
        await self.push(*(noise(120 * KIB, seed) for seed in range(4)), tag="second")

    def new_place(self) -> Path:
        """Somewhere to restore to."""
        self._restored += 1
        return self.tmp_path / f"restored-{self._restored}"

    def files(self) -> dict[str, bytes]:
        """All files of the backup."""
        found = (path for path in self.folder.rglob("*") if path.is_file())
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in found}

    def packs(self) -> list[Path]:
        return sorted((self.data / layout.PACKS).iterdir())


async def put_manifest(store, tag: str, children) -> Digest:
    content = f"manifest {tag}".encode()
    digest = Digest.of(content)
    record = Manifest(media_type=TYPE, size=len(content))
    edges = tuple((child.key, EdgeKind.LAYER) for child in children)
    await store.commit(
        [
            PutObject(digest.key, content),
            Link(IMAGE, digest.key),
            PutManifest(IMAGE, digest.key, record, edges, b""),
            SetTag(IMAGE, tag, digest.key),
        ]
    )
    return digest


async def restored(folder: Path, place: Path, **options):
    """Restore in a thread: it runs trio itself."""
    return await trio.to_thread.run_sync(partial(restore, folder, place, **options))


@asynccontextmanager
async def opened(place: Path):
    """A store that must be sound, before and after the block."""
    async with open_store(place) as store:
        assert await drift(store) == []
        yield store
        assert await drift(store) == []


async def assert_serves(place: Path, kept: dict[Digest, bytes]) -> None:
    """All of `kept` is there, the store is sound, and takes more."""
    async with opened(place) as store:
        for digest, content in kept.items():
            assert pull(store, digest) == content
        more = noise(150 * KIB, place.name)
        assert pull(store, await push(store, more)) == more


def back(site: Site, **options) -> BackupReport:
    return back_up(site.data, site.folder, **options)


async def assert_whole(site: Site, kept=None) -> None:
    """What the folder holds can be restored, and has all of `kept`."""
    place = site.new_place()
    await restored(site.folder, place)
    await assert_serves(place, site.kept if kept is None else kept)
    shutil.rmtree(place)


def pack_of(site: Site, digest: Digest) -> str:
    with open_environment(site.data / layout.INDEX) as environment:
        return environment.read(
            lambda view: f"{view.extents(view.object(digest.key).id)[0].pack:016x}"
        )


def damage(path: Path, offset: int) -> None:
    """Flip a bit."""
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes((byte ^ 1,)))


def killing_at(number: int, names: tuple[str, ...]) -> AbstractContextManager[None]:
    """For a block, the process kills itself at its `number`th call of functions of `os`."""
    left = number

    def wrap(name, call):
        def counting(*args, **kwargs):
            nonlocal left
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **kwargs)

        return counting

    return replaced(names, wrap)


def killed_at(site: Site, number: int) -> bool:
    """Back up in a process that kills itself at its `number`th system call; whether it did."""
    child = os.fork()
    if child == 0:
        with killing_at(number, KILLABLE):
            back(site)
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


async def collect(root: Path, digest: Digest) -> None:
    """Delete a blob and give its bytes back, down to the pack; nobody serves the store."""
    async with open_store(root, AT_ONCE) as store:
        await store.commit([Unlink(IMAGE, digest.key)])
        await collecting.collect(store)
