"""A repository's page, what lies below a path in it, and the page of an image with its tags."""

from typing import Annotated, Final, Literal

import msgspec

from frontend.management.lists import FolderPage, ImagePage, PackagePage
from frontend.management.problems import NotFound
from frontend.management.repository_shapes import RepositoryWhole
from frontend.management.routing import OnRepository, Paging
from frontend.web.links import folder_link, image_link, repository_link
from frontend.web.page import Page, Shown, Visit

R: Final = "/r/<storage>/<name>"
API: Final = "/api/v1/repositories/<storage>/<name>"
PER_PAGE: Final = 50
_Text = Annotated[str, msgspec.Meta(max_length=512)]
Crumbs = list[tuple[str, str]]


class Walk(Paging, frozen=True, kw_only=True):
    """A page of a folder; or, with text to look for, of all that lies below it."""

    q: _Text = ""


class Tags(Paging, frozen=True, kw_only=True):
    """Which tags of an image, and in which order."""

    q: _Text = ""
    sort: Literal["name", "version", "pushed_at", "size"] = "pushed_at"
    order: Literal["asc", "desc"] = "desc"


class ImagePages:
    """The handlers."""

    def pages(self) -> tuple[Page, ...]:
        """The pages, and who may see them."""
        see = OnRepository("pull", "see")
        return (
            Page(method="GET", path=R, access=see, handler=self.show_folder, query=Walk),
            Page(
                method="GET",
                path=f"{R}/<folder:folder>",
                access=see,
                handler=self.show_folder,
                query=Walk,
            ),
            Page(
                method="GET",
                path=f"{R}/<image:image>",
                access=see,
                handler=self.show_image,
                query=Tags,
            ),
        )

    async def show_folder(self, visit: Visit) -> Shown:
        """Show a repository, or what lies below a path of it."""
        folder = visit.place.get("folder", "")
        storage, name = visit.place["storage"], visit.place["name"]
        repository: RepositoryWhole = await visit.calls.get(API, storage=storage, name=name)
        asked = {"under": folder, "page": visit.query.page, "per_page": PER_PAGE}
        asked |= {"storage": storage, "name": name}
        found: FolderPage = await visit.calls.get(f"{API}/folder", **asked)
        matching: ImagePage | None = None
        if visit.query.q:
            matching = await visit.calls.get(f"{API}/images", q=visit.query.q, **asked)
        if folder and not found.total:
            raise NotFound(f"{visit.repository} has no image below {folder[:200]}")
        return Shown(
            "repository.html",
            {
                "repository": repository,
                "folder": folder,
                "found": found,
                "matching": matching,
                "crumbs": crumbs(visit, folder),
            },
        )

    async def show_image(self, visit: Visit) -> Shown:
        """Show an image and its tags.

        Raises:
            NotFound: it holds nothing.
        """
        image, query = visit.place["image"], visit.query
        place = {"storage": visit.place["storage"], "name": visit.place["name"]}
        one: ImagePage = await visit.calls.get(f"{API}/images", image=image, **place)
        below: ImagePage = await visit.calls.get(f"{API}/images", under=image, per_page=1, **place)
        if not one.items:
            raise NotFound(f"{visit.repository} has no image {image[:200]}")
        tags: PackagePage = await visit.calls.get(
            f"{API}/packages",
            image=image,
            q=query.q,
            sort=query.sort,
            order=query.order,
            page=query.page,
            per_page=PER_PAGE,
            **place,
        )
        return Shown(
            "image.html",
            {
                "image": one.items[0],
                "tags": tags,
                "below": below.total,
                "reference": f"{visit.host}/{visit.repository}/{image}",
                "crumbs": crumbs(visit, image),
            },
        )


def crumbs(visit: Visit, path: str = "") -> Crumbs:
    """The way to a path of an image or of more, in the repository of the visit."""
    storage, name = visit.place["storage"], visit.place["name"]
    found = [(storage, f"/?storage={storage}"), (name, repository_link(storage, name))]
    parts = path.split("/") if path else []
    for number, part in enumerate(parts, 1):
        found.append((part, folder_link(visit.repository, "/".join(parts[:number]))))
    if path and not visit.place.get("folder"):
        found[-1] = (parts[-1], image_link(visit.repository, path))
    return found
