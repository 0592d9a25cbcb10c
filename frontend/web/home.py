"""The first page, and the files that pages use."""

from typing import Final

from werkzeug.exceptions import NotFound

from frontend.management.repositories import RepositoryListing
from frontend.management.repository_shapes import RepositoryPage
from frontend.management.routing import Anybody, Visitor
from frontend.web.answers import FOREVER
from frontend.web.page import Page, Sent, Shown, Visit
from frontend.web.statics import by_hashed_name

PER_PAGE: Final = 50


class HomePages:
    """The handlers."""

    def pages(self) -> tuple[Page, ...]:
        """The pages, and who may see them."""
        return (
            Page(
                method="GET",
                path="/",
                access=Visitor(),
                handler=self.show,
                query=RepositoryListing,
            ),
            Page(method="GET", path="/static/<file>", access=Anybody(), handler=self.send),
        )

    async def show(self, visit: Visit) -> Shown:
        """Show the repositories that the visitor may see, by storage."""
        query: RepositoryListing = visit.query
        found: RepositoryPage = await visit.calls.get(
            "/api/v1/repositories",
            page=query.page,
            per_page=PER_PAGE,
            storage=query.storage,
            q=query.q,
        )
        is_filtered = bool(query.q or query.storage)
        return Shown("home.html", {"found": found, "is_filtered": is_filtered})

    async def send(self, visit: Visit) -> Sent:
        """Send a file.

        Raises:
            NotFound: of another version, or none of ours.
        """
        found = by_hashed_name().get(visit.place["file"])
        if found is None:
            raise NotFound
        return Sent(found.content, found.content_type, (FOREVER,))
