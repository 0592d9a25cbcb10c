"""What is stored and what that saves; for a thread.

`logical` counts every live object once; `stored` is what their chunks and inline bytes take; `disk`
what the file system says. `linked` counts an object once in each repository that links it.
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import trio

from cas import layout
from cas.errors import from_system
from index.environment import Environment
from index.records import Object
from index.view import View


@dataclass(frozen=True, slots=True)
class RepositoryStats:
    """One repository; sizes in bytes, each distinct digest once."""

    name: str
    linked: int
    images: int
    manifests: int


@dataclass(frozen=True, slots=True)
class Stats:
    """The whole store; sizes in bytes."""

    logical: int  # Σ size of live objects
    stored: int  # live chunk bytes in packs + inline bytes
    disk: int  # blocks of packs, uploads and index
    objects: int
    extents: int
    chunks: int
    packs: int
    uploads: int
    repositories: tuple[RepositoryStats, ...]

    @property
    def dedup_ratio(self) -> float:
        """Logical / stored; 1.0 for an empty store."""
        return self.logical / self.stored if self.stored else 1.0


async def count(environment: Environment, root: Path) -> Stats:
    """Count in a thread.

    Raises:
        CasError: the data directory cannot be read.
    """
    try:
        return await trio.to_thread.run_sync(stats, environment, root)
    except OSError as error:
        raise from_system(error, "the data directory") from error


def stats(environment: Environment, root: Path) -> Stats:
    """Count; blocks for a time that grows with the number of objects and packs.

    A million objects take some 0.5 s. Inline bytes are of a moment later than the rest.
    """
    found = environment.read(partial(_count, root=root))
    return replace(found, stored=found.stored + environment.value_bytes("inline"))


def _count(view: View, root: Path) -> Stats:
    """All but inline bytes."""
    uploads = list((root / layout.UPLOADS).iterdir())
    with view.walk("object") as walk:
        logical = sum(Object.decode(value).size for value in walk.values())
    return Stats(
        logical=logical,
        stored=sum(pack.live for _, pack in view.iter_packs()),
        disk=sum(_blocks(path) for folder in _FOLDERS for path in (root / folder).iterdir()),
        objects=view.entries("object"),
        extents=view.entries("extent"),
        chunks=view.entries("chunk_at"),
        packs=view.entries("pack"),
        uploads=len(uploads),
        repositories=tuple(_repositories(view)),
    )


_FOLDERS = (layout.PACKS, layout.UPLOADS, layout.INDEX)


def _repositories(view: View) -> list[RepositoryStats]:
    rows = []
    for name, repository in view.iter_repositories():
        usage = view.usage(repository.id)
        rows.append(RepositoryStats(name, usage.linked, usage.images, usage.manifests))
    return rows


def _blocks(path: Path) -> int:
    try:
        status = path.stat()
    except FileNotFoundError:
        return 0  # ended meanwhile
    return status.st_blocks * 512 // status.st_nlink
