"""Search over all that the caller may pull."""

from functools import partial
from typing import Annotated

import msgspec

from frontend.access.standing import iter_visible
from frontend.domain.search import MAX_LENGTH, parse_query
from frontend.management.routing import Asked, Paging, Reply, Route, Visitor
from frontend.registry.call import Registry
from frontend.search.answers import Results
from frontend.search.hits import MOST
from frontend.search.searcher import Found, Searcher, Wanted

_SUMMARY = (
    "Images, tags and manifests by parts of their names or by digests, in all that the caller may "
    "pull; without credentials, in what is public. All terms of `q` have to hold, whatever the "
    "case: a word is part of `storage/repository/path` or of a tag, or 6 or more digits of a "
    "digest; `repository:`, `storage:`, `image:`, `tag:`, `digest:` and `type:` (image, index, "
    "chart, signature, sbom, or part of a media or artifact type) ask for one thing. An image "
    "whose name is enough comes once, before all else; its tags only when a term is about them. "
    "With 12 digits and more of a digest, the images that hold such a blob come too. At most "
    f"{MOST} images and {MOST} of all else are kept: then `total` is a lower bound."
)


class Searched(Paging, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to look for, and which page of it."""

    q: Annotated[str, msgspec.Meta(max_length=MAX_LENGTH)]


class Searches:
    """The handler."""

    def __init__(self, registry: Registry) -> None:
        self._searcher = Searcher(registry.store)

    def routes(self) -> tuple[Route, ...]:
        """The call, and who may make it."""
        return (
            Route(
                method="GET",
                path="/api/v1/search",
                access=Visitor(),
                handler=self.search,
                summary=_SUMMARY,
                query=Searched,
                answer=Results,
            ),
        )

    async def search(self, asked: Asked) -> Reply:
        """Find what is asked for, as long as somebody waits for it."""
        who, wanted = asked.principal, asked.query
        search = Wanted(
            query=parse_query(wanted.q),
            visible=partial(iter_visible, principal=who),
            is_all=who.is_admin and who.scopes is None,
            start=wanted.start,
            size=wanted.size,
        )
        return Reply(_results(await self._searcher.search(search, asked.wait_gone), wanted))


def _results(found: Found, wanted: Paging) -> Results:
    return Results(
        page=wanted.page,
        per_page=wanted.size,
        total=found.total,
        total_is_lower_bound=found.is_cut,
        items=found.items,
    )
