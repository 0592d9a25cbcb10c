"""What is on its way now: pushes, and downloads of proxy repositories."""

from frontend.management.routing import Admin
from frontend.management.transfers import TransferPage
from frontend.web.page import Page, Shown, Visit


class AdminTransferPages:
    """The handler."""

    def pages(self) -> tuple[Page, ...]:
        """The page, and who may see it."""
        access = Admin("see the uploads of all repositories")
        return (Page(method="GET", path="/admin/transfers", access=access, handler=self.show),)

    async def show(self, visit: Visit) -> Shown:
        """Show what grew last first."""
        found: TransferPage = await visit.calls.get("/api/v1/transfers")
        return Shown("admin_transfers.html", {"found": found})
