"""The store: what it holds and saves, how it grew, its runs of maintenance; how proxies do."""

from datetime import datetime
from typing import Any, Final

from cas.verbs import Scrubbed
from frontend.domain.faults import RequestInvalid
from frontend.management.maintenance import Rehearsed, Runs, Scrubs
from frontend.management.proxies import ProxyPage
from frontend.management.routes import GrowthShown, StatsShown
from frontend.management.routing import Admin, Paging
from frontend.management.storages import StoragePage
from frontend.web.page import Page, Redirect, Shown, Visit
from frontend.web.plot import Plot, Point, plot
from frontend.web.words import plural, size_text

HERE: Final = "/admin/storage"
STORAGES: Final = "/admin/storages"
ALL: Final = 1000  # as many as the API gives at once
PROXIES: Final = 100  # of a page
LARGEST: Final = 20  # repositories that the page lists
_FIELDS: Final = (("not a ", "name"), ("storage ", "name"))  # what the API's words are about
DUE: Final = 200  # things that a rehearsal lists


class AdminStoragePages:
    """The handlers."""

    def pages(self) -> tuple[Page, ...]:
        """The pages, and who may see them."""
        access = Admin("look after the store")

        def form(path: str, handler: Any) -> Page:  # noqa: ANN401 - a handler
            return Page(method="POST", path=path, access=access, handler=handler, again=self.show)

        return (
            Page(method="GET", path=HERE, access=access, handler=self.show),
            form(f"{HERE}/collect", self.collect),
            form(f"{HERE}/scrub", self.scrub),
            form(f"{HERE}/check", self.check),
            form(STORAGES, self.create),
            form(f"{STORAGES}/<storage>/delete", self.delete),
            Page(
                method="GET",
                path="/admin/proxies",
                access=access,
                handler=self.show_proxies,
                query=Paging,
            ),
        )

    async def show(self, visit: Visit, **told: Any) -> Shown:  # noqa: ANN401 - reports
        """Show it, with what a rehearsal or a check has just told."""
        stats: StatsShown = await visit.calls.get("/api/v1/stats")
        growth: GrowthShown = await visit.calls.get("/api/v1/stats/growth")
        collections: Runs = await visit.calls.get("/api/v1/gc")
        scrubs: Scrubs = await visit.calls.get("/api/v1/scrub")
        storages: StoragePage = await visit.calls.get("/api/v1/storages", per_page=ALL)
        largest = sorted(stats.repositories, key=lambda each: -each.linked)[:LARGEST]
        values = {
            "stats": stats,
            "plot": _plot(growth),
            "largest": largest,
            "collections": collections,
            "scrubs": scrubs,
            "storages": storages,
            "rehearsed": None,
            "checked": None,
            "shown_due": DUE,
            "making": visit.placed(_FIELDS).typed(STORAGES),
        }
        return Shown("admin_storage.html", values | told)

    async def collect(self, visit: Visit) -> Shown | Redirect:
        """Run a collection when told so; else say what one would take."""
        is_run = visit.form["what"] == "run"
        found: Rehearsed = await visit.calls.post("/api/v1/gc", {"dry_run": not is_run})
        if not is_run:
            return await self.show(visit, rehearsed=found)
        parts = (
            plural(found.manifests, "manifest"),
            plural(found.blobs, "blob"),
            plural(found.chunks, "chunk"),
            plural(found.uploads_expired, "upload"),
        )
        said = f"The collection freed {size_text(found.bytes_freed)}: {', '.join(parts)}."
        return Redirect(HERE, said)

    async def scrub(self, visit: Visit) -> Redirect:
        """Hash all that is stored."""
        found: Scrubbed = await visit.calls.post("/api/v1/scrub")
        read = f"{size_text(found.bytes)} of {plural(found.packs, 'pack')}"
        damage = (
            plural(found.standing, "place is", "places are") if found.standing else "nothing is"
        )
        return Redirect(HERE, f"The scrub read {read}: {damage} damaged.")

    async def check(self, visit: Visit) -> Shown:
        """Recount everything, which changes nothing."""
        return await self.show(visit, checked=await visit.calls.post("/api/v1/fsck"))

    async def create(self, visit: Visit) -> Redirect:
        """Make a storage.

        Raises:
            RequestInvalid: without a name.
        """
        name = visit.form.stripped("name")
        if not name:
            raise RequestInvalid("a storage needs a name - at `$.name`")
        await visit.calls.post("/api/v1/storages", {"name": name})
        return Redirect(HERE, f"Storage {name} was made.")

    async def delete(self, visit: Visit) -> Redirect:
        """Delete an empty storage."""
        name = visit.place["storage"]
        await visit.calls.delete("/api/v1/storages/<storage>", storage=name)
        return Redirect(HERE, f"Storage {name} was deleted.")

    async def show_proxies(self, visit: Visit) -> Shown:
        """Show how the registries behind proxy repositories are doing."""
        found: ProxyPage = await visit.calls.get(
            "/api/v1/proxies", page=visit.query.page, per_page=PROXIES
        )
        return Shown("admin_proxies.html", {"found": found})


def _plot(growth: GrowthShown) -> Plot | None:
    points = [
        Point(datetime.fromisoformat(each.at).timestamp(), each.logical, each.stored, each.disk)
        for each in growth.growth
    ]
    return plot(points)
