"""The journal: who did what, from where, and when. All of it, or what a repository's admin may see.

Entries have numbers, and `before` or `after` one of them a page begins. With `repository` they are
the repository's own: they tell nothing of how much happens elsewhere.
"""

from functools import partial
from typing import Annotated, Final

import msgspec

from cas.verbs import View
from frontend.access.standing import find_place
from frontend.domain.message import Principal
from frontend.domain.rights import allowed
from frontend.management.problems import Forbidden, NotFound
from frontend.management.replies import fine_time_text
from frontend.management.routing import MAX_PER_PAGE, PER_PAGE, Account, Asked, Reply, Route
from frontend.registry.call import Registry
from index.journal import iter_entries
from index.records import Entry

SCANNED: Final = 5000  # entries that one call looks at, in some 20 ms: those left out count too

Number = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class JournalQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries. With `after` the oldest first, otherwise the newest first."""

    after: Number | None = None
    before: Number | None = None
    actor: str = ""
    action: str = ""  # "repository.create", or "repository" for all that begin with it and a dot
    repository: str = ""
    per_page: Annotated[int, msgspec.Meta(ge=1, le=1 << 31)] = PER_PAGE  # cut to MAX_PER_PAGE

    def wants(self, entry: Entry) -> bool:
        """Whether an entry is one of those asked for."""
        is_action = entry.action == self.action or entry.action.startswith(f"{self.action}.")
        return (not self.action or is_action) and self.actor in ("", entry.actor)


class EntryShown(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that somebody did. `number` rises, among all entries or among the repository's."""

    number: int
    time: str
    actor: str  # empty: nobody signed in
    via: str  # "password", "session:ID", "token:ID", "registry token", "socket", or nothing
    address: str  # "local": through a Unix socket
    action: str
    target: str
    detail: dict[str, str | int]


class JournalPage(msgspec.Struct, frozen=True):
    """Some entries. There may be less than a page of them and yet more to come.

    `next` is what to ask for next: `before` it, or null at the end; or, if this was asked `after`
    something, `after` it, also when there is nothing more for now.
    """

    items: list[EntryShown]
    next: int | None


class Journal:
    """The handlers."""

    def __init__(self, registry: Registry) -> None:
        self._store = registry.store

    def routes(self) -> tuple[Route, ...]:
        """The calls, and who may make them."""
        return (
            Route(
                method="GET",
                path="/api/v1/journal",
                access=Account(),
                handler=self.show,
                summary="Who did what: all for administrators; with `repository` for its admins.",
                query=JournalQuery,
                answer=JournalPage,
            ),
        )

    async def show(self, asked: Asked) -> Reply:
        """Show a page.

        Raises:
            NotFound, Forbidden: it is not for the caller to see.
        """
        query, principal = asked.query, asked.principal
        if not query.repository and not principal.is_administrator:
            raise Forbidden(
                "only an administrator may see the whole journal: ask with ?repository= for that "
                "of a repository which you administer"
            )
        return Reply(self._store.read(partial(_page, query=query, principal=principal)))


def _page(view: View, query: JournalQuery, principal: Principal) -> JournalPage:
    number = _repository(view, query.repository, principal) if query.repository else 0
    rows = iter_entries(view, number, after=query.after, before=query.before)
    items: list[EntryShown] = []
    last, size = query.after, min(query.per_page, MAX_PER_PAGE)
    for looked_at, (at, entry) in enumerate(rows, 1):
        last = at
        if query.wants(entry):
            items.append(_shown(at, entry))
        if len(items) == size or looked_at == SCANNED:
            return JournalPage(items, last)
    return JournalPage(items, None if query.after is None else last)


def _repository(view: View, name: str, principal: Principal) -> int:
    place = find_place(view, principal, name)
    if place.record is None or not allowed(principal, "pull", place):
        raise NotFound(f"no repository {name[:200]} that you may use")
    if not allowed(principal, "admin", place):
        raise Forbidden(f"you may not see the journal of {name}")
    return place.record.id


def _shown(number: int, entry: Entry) -> EntryShown:
    return EntryShown(
        number=number,
        time=fine_time_text(entry.at),
        actor=entry.actor,
        via=entry.via,
        address=entry.address,
        action=entry.action,
        target=entry.target,
        detail=entry.detail,
    )
