"""All pages, of every room that has some."""

from frontend.registry.call import Registry
from frontend.web.account import AccountPages
from frontend.web.activity import ActivityPages
from frontend.web.admin_packages import AdminPackagePages
from frontend.web.admin_repositories import AdminRepositoryPages
from frontend.web.admin_storage import AdminStoragePages
from frontend.web.admin_transfers import AdminTransferPages
from frontend.web.admin_users import AdminUserPages
from frontend.web.connect import ConnectPages
from frontend.web.home import HomePages
from frontend.web.images import ImagePages
from frontend.web.manifests import ManifestPages
from frontend.web.page import Page
from frontend.web.search import SearchPages
from frontend.web.signing import SigningPages

ROOMS = (
    HomePages,
    ImagePages,
    SigningPages,
    AccountPages,
    SearchPages,
    ManifestPages,
    ConnectPages,
    AdminRepositoryPages,
    AdminPackagePages,
    AdminUserPages,
    ActivityPages,
    AdminStoragePages,
    AdminTransferPages,
)


def web_pages(registry: Registry) -> tuple[Page, ...]:
    """All pages. A room gets what it needs of the registry's settings, and never its store."""
    del registry
    return tuple(page for room in ROOMS for page in room().pages())
