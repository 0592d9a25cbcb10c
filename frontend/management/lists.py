"""Lists of what a repository holds: its packages, in any order, and its images."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Final, Literal, Protocol, TypeVar

import msgspec
import trio

from cas.digest import Digest
from cas.verbs import View
from frontend.domain.faults import RequestInvalid
from frontend.domain.signatures import is_signed
from frontend.domain.versions import version_keys
from frontend.management.problems import NotFound
from frontend.management.replies import time_text
from frontend.management.routing import Asked, OnRepository, Paging, Reply, Route, page_of
from frontend.registry.call import Registry
from index.changes import ImageName
from index.folders import Below, Branch, list_branches, list_images
from index.listed import whole
from index.names import Order
from index.packages import Package, Selection, list_packages
from index.records import Image

AT_ONCE: Final = 2  # pages under way: one that filters reads all names, and holds the interpreter
ORDERS: Final = {
    "name": Order.NAME,
    "version": Order.NAME,
    "pushed_at": Order.PUSHED,
    "size": Order.SIZE,
}
T = TypeVar("T")


class _Rows(Protocol):
    """A page of rows of a repository R, and how many there are."""

    def __call__(
        self, view: View, repository: int, *, start: int, stop: int
    ) -> tuple[int, Sequence[msgspec.Struct]]:
        """Read it."""


_Text = Annotated[str, msgspec.Meta(max_length=512)]


class PackageListing(Paging, frozen=True, kw_only=True):
    """Which packages: of one image, with text in `image:tag`, and in which order.

    `version` orders the tags of one image as people number them: v1.9, v1.10-rc1, v1.10.
    """

    image: _Text = ""  # empty: all
    q: _Text = ""  # looked for in `image:tag`, whatever the case
    sort: Literal["name", "version", "pushed_at", "size"] = "name"
    order: Literal["asc", "desc"] = "asc"


class PackageShown(msgspec.Struct, frozen=True, kw_only=True):
    """A tag, or a manifest without one; `size` in bytes, with config, layers, and manifests.

    `signed`: the image holds a signature of it, which nobody has checked.
    """

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
    signed: bool


class PackagePage(msgspec.Struct, frozen=True):
    """A page of packages."""

    page: int
    per_page: int
    total: int
    items: list[PackageShown]


class ImageListing(Paging, frozen=True, kw_only=True):
    """Which images: below a path, with text in what follows it, whatever the case; or just one."""

    image: _Text = ""
    under: _Text = ""  # empty: all
    q: _Text = ""


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


class FolderListing(Paging, frozen=True, kw_only=True):
    """What lies directly below a path."""

    under: _Text = ""  # empty: the top


class BranchShown(msgspec.Struct, frozen=True, kw_only=True):
    """A name below a path: `image` is the one of this name, if it is one; others lie below it."""

    name: str
    path: str
    image: ImageShown | None
    images_below: int


class FolderPage(msgspec.Struct, frozen=True):
    """A page of names below a path, in their order; `size` in bytes of all images below it.

    What several images hold counts for each of them.
    """

    page: int
    per_page: int
    total: int
    items: list[BranchShown]
    size: int


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
                query=ImageListing,
                answer=ImagePage,
            ),
            Route(
                method="GET",
                path="/api/v1/repositories/<storage>/<name>/folder",
                access=OnRepository("pull", "see"),
                handler=self.list_folder,
                summary="What lies directly below a path: images, and paths of more.",
                query=FolderListing,
                answer=FolderPage,
            ),
        )

    async def list_packages(self, asked: Asked) -> Reply:
        """List packages.

        Raises:
            NotFound: the repository went a moment ago.
            RequestInvalid
        """
        query: PackageListing = asked.query
        is_by_version = query.sort == "version"
        if is_by_version and not query.image:
            raise RequestInvalid("sort=version is for the tags of one image: say which")
        selection = Selection(
            ORDERS[query.sort],
            query.order == "desc",
            query.image or None,
            query.q,
            version_keys if is_by_version else None,
        )
        return await self._list(asked, partial(_packages, selection=selection))

    async def list_images(self, asked: Asked) -> Reply:
        """List images.

        Raises:
            NotFound: the repository went a moment ago.
        """
        query: ImageListing = asked.query
        if query.image:
            return await self._list(asked, partial(_one_image, path=query.image))
        return await self._list(
            asked, partial(_images, below=Below(query.under.strip("/"), query.q))
        )

    async def list_folder(self, asked: Asked) -> Reply:
        """List what lies below a path.

        Raises:
            NotFound: the repository went a moment ago.
        """
        look = partial(_folder, folder=asked.query.under.strip("/"), paging=asked.query)
        return Reply(await self._read(asked, look))

    async def _list(self, asked: Asked, rows: _Rows) -> Reply:
        paging: Paging = asked.query
        start, stop = paging.start, paging.start + paging.size
        total, items = await self._read(asked, partial(rows, start=start, stop=stop))
        return Reply(page_of(paging, items, total))

    async def _read(self, asked: Asked, look: Callable[[View, int], T]) -> T:
        """Read the repository whose number `look` is called with."""

        def read(view: View) -> T | None:
            record = view.repository(asked.repository)
            return None if record is None else look(view, record.id)

        found = await trio.to_thread.run_sync(self._store.read, read, limiter=self._limiter)
        if found is None:
            raise NotFound(f"no repository {asked.repository[:200]} that you may use")
        return found


def _packages(
    view: View, repository: int, start: int, stop: int, *, selection: Selection
) -> tuple[int, list[PackageShown]]:
    total, found = list_packages(view, repository, selection, start, stop)
    return total, [_shown(view, package) for package in found]


def _images(
    view: View, repository: int, start: int, stop: int, *, below: Below
) -> tuple[int, list[ImageShown]]:
    total, found = list_images(view, repository, start, stop, below)
    return total, [_image(path, row) for path, row in found]


def _one_image(
    view: View, repository: int, start: int, stop: int, *, path: str
) -> tuple[int, list[ImageShown]]:
    name = view.repository_name(repository)
    row = None if name is None else view.image(ImageName(name, path))
    found = [] if row is None or not (row.manifests or row.tags) else [_image(path, row)]
    return len(found), found[start:stop]


def _folder(view: View, repository: int, *, folder: str, paging: Paging) -> FolderPage:
    found = list_branches(view, repository, folder, paging.start, paging.start + paging.size)
    return FolderPage(
        page=paging.page,
        per_page=paging.size,
        total=found.total,
        items=[_branch(folder, each) for each in found.page],
        size=found.size,
    )


def _branch(above: str, branch: Branch) -> BranchShown:
    path = f"{above}/{branch.name}" if above else branch.name
    image = None if branch.image is None else _image(path, branch.image)
    return BranchShown(name=branch.name, path=path, image=image, images_below=branch.below)


def _image(path: str, row: Image) -> ImageShown:
    return ImageShown(
        image=path, tags=row.tags, size=row.size, updated_at=time_text(row.updated_at)
    )


def _shown(view: View, package: Package) -> PackageShown:
    digest = Digest(package.digest)
    signed = is_signed(
        digest,
        lambda tag: view.tag(package.image, tag) is not None,
        (row for _, row in view.iter_referrers(package.image, package.digest)),
    )
    record = package.record
    return PackageShown(
        image=package.path,
        tag=package.tag,
        digest=str(digest),
        media_type="" if record is None else record.media_type,
        artifact_type=None if record is None else record.artifact_type or None,
        size=0 if record is None else whole(record),
        platforms=[] if record is None else list(record.platforms),
        pushed_at=time_text(package.pushed_at),
        pushed_by=package.pushed_by,
        pulled_at=time_text(package.pulled_at) if package.pulled_at else None,
        signed=signed,
    )
