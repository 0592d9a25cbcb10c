"""Lists of what a repository holds: its packages, in any order, and its images."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Final, Literal

import msgspec
import trio

from cas.digest import Digest
from cas.verbs import View
from frontend.management.problems import NotFound
from frontend.management.replies import time_text
from frontend.management.routing import Asked, OnRepository, Paging, Reply, Route, page_of
from frontend.registry.call import Registry
from index.listed import whole
from index.names import Order
from index.packages import Package, Selection, list_images, list_packages

AT_ONCE: Final = 2  # pages under way: one that filters reads all names, and holds the interpreter
ORDERS: Final = {"name": Order.NAME, "pushed_at": Order.PUSHED, "size": Order.SIZE}
_Rows = Callable[[View, int, int, int], tuple[int, Sequence[msgspec.Struct]]]  # R, from, to
_Text = Annotated[str, msgspec.Meta(max_length=512)]


class PackageListing(Paging, frozen=True, kw_only=True):
    """Which packages: of one image, with text in `image:tag`, and in which order."""

    image: _Text = ""  # empty: all
    q: _Text = ""  # looked for in `image:tag`, whatever the case
    sort: Literal["name", "pushed_at", "size"] = "name"
    order: Literal["asc", "desc"] = "asc"


class PackageShown(msgspec.Struct, frozen=True, kw_only=True):
    """A tag, or a manifest without one; `size` in bytes, with config, layers, and manifests."""

    image: str
    tag: str | None
    digest: str
    media_type: str
    artifact_type: str | None
    size: int
    platforms: list[str]
    pushed_at: str
    pushed_by: str
    pulled_at: str | None


class PackagePage(msgspec.Struct, frozen=True):
    """A page of packages."""

    page: int
    per_page: int
    total: int
    items: list[PackageShown]


class ImageShown(msgspec.Struct, frozen=True, kw_only=True):
    """An image; `size` in bytes of all that it holds, each digest once."""

    image: str
    tags: int
    size: int
    updated_at: str


class ImagePage(msgspec.Struct, frozen=True):
    """A page of images, in the order of their names."""

    page: int
    per_page: int
    total: int
    items: list[ImageShown]


class Lists:
    """The handlers. Each reads one snapshot in a thread."""

    def __init__(self, registry: Registry) -> None:
        self._store = registry.store
        self._limiter = trio.CapacityLimiter(AT_ONCE)

    def routes(self) -> tuple[Route, ...]:
        """The calls, and who may make them."""
        return (
            Route(
                method="GET",
                path="/api/v1/repositories/<storage>/<name>/packages",
                access=OnRepository("pull", "see"),
                handler=self.list_packages,
                summary="Tags, and manifests that have none.",
                query=PackageListing,
                answer=PackagePage,
            ),
            Route(
                method="GET",
                path="/api/v1/repositories/<storage>/<name>/images",
                access=OnRepository("pull", "see"),
                handler=self.list_images,
                summary="Images by name, each with how much it holds.",
                query=Paging,
                answer=ImagePage,
            ),
        )

    async def list_packages(self, asked: Asked) -> Reply:
        """List packages.

        Raises:
            NotFound: the repository went a moment ago.
        """
        query: PackageListing = asked.query
        selection = Selection(
            ORDERS[query.sort], query.order == "desc", query.image or None, query.q
        )
        return await self._list(asked, partial(_packages, selection=selection))

    async def list_images(self, asked: Asked) -> Reply:
        """List images.

        Raises:
            NotFound: the repository went a moment ago.
        """
        return await self._list(asked, _images)

    async def _list(self, asked: Asked, rows: _Rows) -> Reply:
        look = partial(_look, name=asked.repository, paging=asked.query, rows=rows)
        found = await trio.to_thread.run_sync(self._store.read, look, limiter=self._limiter)
        if found is None:
            raise NotFound(f"no repository {asked.repository[:200]} that you may use")
        total, items = found
        return Reply(page_of(asked.query, items, total))


def _look(
    view: View, name: str, paging: Paging, rows: _Rows
) -> tuple[int, Sequence[msgspec.Struct]] | None:
    record = view.repository(name)
    if record is None:
        return None
    return rows(view, record.id, paging.start, paging.start + paging.size)


def _packages(
    view: View, repository: int, start: int, stop: int, *, selection: Selection
) -> tuple[int, list[PackageShown]]:
    total, found = list_packages(view, repository, selection, start, stop)
    return total, list(map(_shown, found))


def _images(view: View, repository: int, start: int, stop: int) -> tuple[int, list[ImageShown]]:
    total, found = list_images(view, repository, start, stop)
    return total, [
        ImageShown(image=path, tags=row.tags, size=row.size, updated_at=time_text(row.updated_at))
        for path, row in found
    ]


def _shown(package: Package) -> PackageShown:
    record = package.record
    return PackageShown(
        image=package.path,
        tag=package.tag,
        digest=str(Digest(package.digest)),
        media_type="" if record is None else record.media_type,
        artifact_type=None if record is None else record.artifact_type or None,
        size=0 if record is None else whole(record),
        platforms=[] if record is None else list(record.platforms),
        pushed_at=time_text(package.pushed_at),
        pushed_by=package.pushed_by,
        pulled_at=time_text(package.pulled_at) if package.pulled_at else None,
    )
