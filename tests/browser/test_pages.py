"""Every page in a browser: whole, readable and quiet, in both themes, narrow and wide."""

import os
import re
from pathlib import Path

import pytest

from frontend.web.pages import web_pages
from tests.browser.checking import broken_rules, evaluate, walk_by_keyboard
from tests.browser.seen import ERRORS, FILES, PAGES

FOLDER = os.environ.get("ORLOP_SCREENSHOTS", "")
THEMES, WIDTHS = ("light", "dark"), (360, 1440)
LOOKS = [(theme, width) for theme in THEMES for width in WIDTHS]
SEEN = [*(each for pages in PAGES.values() for each in pages), *ERRORS]


@pytest.fixture
def filled(site):
    def fill(path: str) -> str:
        return path.replace("{digest}", site.digest).replace("{writer}", site.people["writer"].name)

    return fill


def test_every_page_is_looked_at(site):
    pages = {page.name for page in web_pages(site.live.registry) if page.method == "GET"}

    assert pages - FILES == set(PAGES)


@pytest.mark.parametrize("look", LOOKS, ids=str)
@pytest.mark.parametrize(("who", "path"), SEEN)
def test_a_page_is_for_everybody(visit, filled, who, path, look):
    theme, width = look
    page = visit(filled(path), who, theme=theme, width=width)
    if FOLDER:
        name = re.sub("[^a-z0-9]+", "-", f"{path}-{who}").strip("-") or "first"
        Path(FOLDER).mkdir(parents=True, exist_ok=True)
        file = Path(FOLDER) / f"{name}-{theme}-{width}.png"
        page.screenshot(path=file, full_page=True, caret="initial")  # to hide it breaks our policy

    assert broken_rules(page) == []


@pytest.mark.parametrize(("who", "path"), SEEN)
def test_a_page_says_the_same_without_scripts(visit, filled, who, path):
    with_scripts = evaluate(visit(filled(path), who), "words")
    page = visit(filled(path), who, has_scripts=False)

    without = evaluate(page, "words")

    assert without == with_scripts != []
    assert page.locator("[data-copy]:visible").count() == 0  # a button that would do nothing


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("who", "path"), SEEN)
def test_all_of_a_page_is_reached_by_keyboard_and_seen_to_be(visit, filled, who, path, width):
    page = visit(filled(path), who, width=width)

    assert walk_by_keyboard(page) == []


@pytest.mark.parametrize("look", LOOKS, ids=str)
def test_what_a_plot_draws_is_said_and_in_numbers_too(visit, look):
    theme, width = look
    page = visit("/admin/storage", "admin", theme=theme, width=width)

    page.get_by_text("In numbers").click()

    drawn = page.get_by_role("img", name="what is stored from 0 bytes to 30.0 GiB")
    assert drawn.bounding_box()["width"] > width / 2
    assert page.get_by_role("cell", name="100 GiB").first.is_visible()
    assert broken_rules(page) == []


@pytest.mark.parametrize("theme", THEMES)
def test_a_theme_that_was_chosen_counts_more_than_that_of_the_system(visit, theme):
    other = "dark" if theme == "light" else "light"
    page = visit("/", theme=other)
    before = _ground(page)

    page.get_by_role("button", name=theme.title()).click()
    page.wait_for_url("/")

    assert _ground(page) != before
    assert page.get_by_role("button", name=theme.title()).get_attribute("aria-pressed") == "true"
    assert broken_rules(page) == []
    page.get_by_role("button", name="Auto").click()
    page.wait_for_url("/")
    assert _ground(page) == before


def _ground(page) -> str:
    return page.evaluate("() => getComputedStyle(document.body).backgroundColor")
