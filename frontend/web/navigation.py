"""What stands at the head of every page."""

from frontend.web.page import Visit


def navigation(visit: Visit) -> list[tuple[str, str]]:
    """Labels and links, for whoever looks."""
    found = [("Repositories", "/"), ("Connect", "/connect")]
    if visit.is_administrator:
        found.append(("Admin", "/admin"))
    return found


def is_within(path: str, href: str) -> bool:
    """Whether a page belongs to a link of the navigation."""
    if href == "/":
        return path == "/" or path.startswith("/r/")
    return path == href or path.startswith(f"{href}/")
