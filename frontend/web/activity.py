"""The journal in the browser: who did what, from where and when; all of it, or a repository's."""

from typing import Annotated, Final

import msgspec

from frontend.domain.names import MAX_NAME
from frontend.management.journal import JournalPage, Number
from frontend.management.routing import Admin, OnRepository
from frontend.web.page import Page, Shown, Visit

PER_PAGE: Final = 50
# What can be chosen; the API takes any beginning of a deed's name up to a dot.
ACTIONS: Final = (
    ("", "everything"),
    ("repository", "repositories"),
    ("storage", "storages"),
    ("grant", "roles"),
    ("user", "users"),
    ("token", "access tokens"),
    ("session", "sessions"),
    ("login", "sign-ins"),
    ("manifest", "manifests"),
    ("tag", "tags"),
    ("package", "images"),
    ("blob", "blobs"),
    ("gc", "collections"),
    ("scrub", "scrubs"),
)
Text = Annotated[str, msgspec.Meta(max_length=MAX_NAME)]


class Filter(msgspec.Struct, frozen=True):
    """Which entries, the newest first; of a long list those `before` a number."""

    before: Number | None = None
    actor: Text = ""
    action: Text = ""
    repository: Text = ""

    @property
    def is_all(self) -> bool:
        """Whether nothing is left out."""
        return not (self.actor or self.action or self.repository)


class ActivityPages:
    """The handlers."""

    def pages(self) -> tuple[Page, ...]:
        """The pages, and who may see them."""
        return (
            Page(
                method="GET",
                path="/admin/activity",
                access=Admin("see the whole journal"),
                handler=self.show,
                query=Filter,
            ),
            Page(
                method="GET",
                path="/admin/repositories/<storage>/<name>/activity",
                access=OnRepository("admin", "see the journal of"),
                handler=self.show,
                query=Filter,
            ),
        )

    async def show(self, visit: Visit) -> Shown:
        """Show some entries; of a path with a repository, that repository's."""
        query: Filter = visit.query
        is_one = "name" in visit.place
        found: JournalPage = await visit.calls.get(
            "/api/v1/journal",
            before=query.before,
            actor=query.actor.strip().lower(),
            action=query.action.strip(),
            repository=visit.repository if is_one else query.repository.strip(),
            per_page=PER_PAGE,
        )
        known = {value for value, _ in ACTIONS}
        actions = ACTIONS if query.action in known else (*ACTIONS, (query.action, query.action))
        return Shown("activity.html", {"found": found, "actions": actions, "is_one": is_one})
