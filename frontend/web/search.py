"""The search page: what is found in all that the visitor may pull, and how to ask for it."""

from typing import Annotated, Final

import msgspec

from frontend.domain.artifacts import KINDS
from frontend.domain.search import MAX_LENGTH
from frontend.domain.search_faults import SearchInvalid, SearchTooBroad
from frontend.management.routing import Paging, Visitor
from frontend.search.answers import Item, Results
from frontend.web.links import image_link, manifest_link
from frontend.web.page import Page, Shown, Visit

PER_PAGE: Final = 50
FILTERS: Final = (
    ("word", "in a path or a tag; several words have to hold together"),
    ("storage:local", "in storages whose name has this"),
    ("repository:team", "in repositories whose name has this"),
    ("image:nginx", "in the path below the repository"),
    ("tag:1.2", "in tags"),
    ("digest:sha256:4f1b…", "the beginning of a digest, from 6 digits on"),
    ("type:sbom", f"of a kind: {', '.join(KINDS)}; or part of a media type"),
    ('"two words"', "as it stands between quotes"),
)


class SearchQuery(Paging, frozen=True, kw_only=True):
    """What to look for: longer texts than the search takes come back with the page."""

    q: Annotated[str, msgspec.Meta(max_length=10 * MAX_LENGTH)] = ""


class SearchPages:
    """The handlers."""

    def pages(self) -> tuple[Page, ...]:
        """The page, and who may see it."""
        return (
            Page(
                method="GET",
                path="/search",
                access=Visitor(),
                handler=self.show,
                again=self.explain,
                query=SearchQuery,
            ),
        )

    async def show(self, visit: Visit) -> Shown:
        """Show what is found; without a question, what can be asked.

        A question that cannot be read is no error of the page: it is what one is typing.
        """
        query: SearchQuery = visit.query
        if not query.q.strip():
            return _shown()
        try:
            found: Results = await visit.calls.get(
                "/api/v1/search", q=query.q, page=query.page, per_page=PER_PAGE
            )
        except (SearchInvalid, SearchTooBroad) as fault:
            return _shown(why=str(fault))
        return _shown(found)

    async def explain(self, visit: Visit) -> Shown:
        """Show the box, and why it is refused."""
        return _shown(why="" if visit.refusal is None else visit.refusal.text)


def _shown(found: Results | None = None, why: str = "") -> Shown:
    rows = [] if found is None else [(item, _link(item)) for item in found.items]
    values = {"found": found, "rows": rows, "filters": FILTERS, "why": why}
    return Shown("search.html", values)


def _link(item: Item) -> str:
    """Where an item is seen; of a blob, where the image is that holds it."""
    if item.kind in ("image", "blob") or item.digest is None:
        return image_link(item.repository, item.image)
    return manifest_link(item.repository, item.image, item.tag, item.digest)
