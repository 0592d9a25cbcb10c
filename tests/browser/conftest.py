"""A server with something to see, and a real browser: Debian's chromium, driven by playwright.

ORLOP_SCREENSHOTS=DIR keeps a picture of every page, in both themes, narrow and wide.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.world import Site, seeded
from tests.e2e.programs import need
from tests.frontend.live import running

TEST_SECONDS = 120
# Its sandbox needs rights that a container does not give; it only meets pages of ours.
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage"]


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything below this folder."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(TEST_SECONDS))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    need("chromium", "chromium")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=ARGUMENTS
        )
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory, browser) -> Iterator[Site]:
    with running(tmp_path_factory.mktemp("site") / "data") as live:
        yield seeded(live, browser)


@pytest.fixture
def visit(site):
    """Open a page as somebody; at the end nothing must have gone wrong in it.

    visit("/account", "admin", theme="dark", width=360, has_scripts=False)
    """
    opened = []

    def open_page(path, who="", **looks):
        window = site.window(who, **looks)
        opened.append(window)
        window.page.goto(path)
        return window.page

    yield open_page
    for window in opened:
        window.close()
    assert [fault for window in opened for fault in window.faults] == []
