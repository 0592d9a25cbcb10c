"""What readers do, with scripts and without: sign in, walk, filter, copy, look after an account."""

import re

import pytest
from playwright.sync_api import expect

SCRIPTS = pytest.mark.parametrize("has_scripts", [True, False], ids=["scripts", "no scripts"])


@SCRIPTS
def test_somebody_signs_in_and_out(site, visit, has_scripts):
    who = site.people["writer"]
    page = visit("/r/local/team", has_scripts=has_scripts)  # private: it leads to the form
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")

    page.get_by_label("User name").fill(who.name)
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_have_text("wrong user name or password")
    expect(page.get_by_label("User name")).to_have_value(who.name)
    expect(page.get_by_label("Password")).to_have_value("")
    page.get_by_label("Password").fill(who.password)
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", level=1)).to_have_text("team")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("link", name="Sign in", exact=True)).to_be_visible()
    page.goto("/r/local/team")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


@SCRIPTS
def test_a_reader_walks_from_the_repositories_to_a_tag(visit, has_scripts):
    page = visit("/", "writer", has_scripts=has_scripts)

    page.get_by_role("link", name="team").click()
    page.get_by_role("link", name="tools/").click()
    expect(page.get_by_role("link", name="build", exact=True)).to_be_visible()
    page.get_by_role("link", name="build/").click()
    page.get_by_role("link", name="gcc").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("tools/build/gcc")
    expect(page.get_by_role("row").filter(has_text="v1")).to_contain_text("linux/amd64")

    page.get_by_label("Where you are").get_by_role("link", name="build").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("tools/build/")
    page.get_by_label("Where you are").get_by_role("link", name="local").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Repositories")


@SCRIPTS
def test_tags_are_filtered_ordered_and_paged(visit, has_scripts):
    page = visit("/r/local/public/alpine", has_scripts=has_scripts)
    first = page.locator("tbody th a").first

    page.get_by_role("link", name="Version").click()
    expect(first).to_have_text("v1.59.2")
    page.get_by_role("link", name="Next").click()
    expect(first).to_have_text("v1.9.0")
    page.get_by_label("Filter tags").fill("v1.3")
    page.get_by_role("button", name="Filter").click()
    expect(first).to_have_text("v1.39.0")
    expect(page.locator("tbody tr")).to_have_count(11)
    page.get_by_role("link", name="Show all").click()
    expect(first).to_have_text("v1.59.2")


def test_tags_are_filtered_as_one_types(visit):
    page = visit("/r/local/public/alpine?sort=version&page=2")

    page.get_by_label("Filter tags").press_sequentially("v1.58")

    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("#live")).to_contain_text("1 tag with")
    expect(page).to_have_url(re.compile(r"\?sort=version&q=v1\.58$"))
    page.reload()
    expect(page.get_by_label("Filter tags")).to_have_value("v1.58")


def test_a_slash_goes_to_the_search_but_not_while_one_types(visit):
    page = visit("/r/local/public/alpine")
    search = page.get_by_label("Search images, tags and digests")

    page.keyboard.press("/")
    expect(search).to_be_focused()
    page.keyboard.type("a/b")
    expect(search).to_have_value("a/b")


def test_what_is_found_appears_below_the_box_as_one_types(visit):
    page = visit("/r/local/public/alpine", "writer")
    search = page.get_by_label("Search images, tags and digests")

    search.press_sequentially("gcc")
    found = page.locator(".found")
    expect(found.get_by_role("link", name=re.compile("gcc")).first).to_be_visible()
    expect(page.locator("#live")).to_contain_text("result")
    page.keyboard.press("Escape")
    expect(found).to_be_hidden()
    search.fill("no such thing")
    expect(found).to_contain_text("Nothing that you may see matches")
    search.fill("alpine")
    expect(found.locator("li").first).to_contain_text("alpine")
    found.get_by_role("link", name=re.compile("all of them")).click()
    expect(page).to_have_url(re.compile(r"/search\?q=alpine$"))


def test_a_line_is_copied(visit):
    page = visit("/r/local/public/alpine")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])

    page.get_by_role("button", name="Copy", exact=True).first.click()

    expect(page.locator("#live")).to_have_text("Copied")
    copied = page.evaluate("() => navigator.clipboard.readText()")
    assert copied == page.locator(".copy code").first.inner_text()


@SCRIPTS
def test_a_token_is_made_shown_once_and_revoked(visit, has_scripts):
    name = f"ci {'with' if has_scripts else 'without'}"
    page = visit("/account", "writer", has_scripts=has_scripts)
    form = page.locator("details", has_text="New token")
    if form.get_attribute("open") is None:
        page.get_by_text("New token").click()

    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("It may").select_option("pull and push")
    page.get_by_label("Only in these repositories").fill("local/team")
    page.get_by_role("button", name="Make token").click()
    expect(page.get_by_text("it is not shown again")).to_be_visible()
    secret = page.locator(".notice code").first.inner_text()
    assert secret.startswith("orlop_")
    page.goto("/account")
    assert secret not in page.content()
    row = page.get_by_role("row").filter(has_text=name)
    expect(row).to_contain_text("pull, push in local/team")

    row.get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("status")).to_have_text("The token was revoked.")
    expect(page.get_by_role("row").filter(has_text=name)).to_have_count(0)


@SCRIPTS
def test_a_form_that_is_refused_says_so_and_keeps_what_was_typed(visit, has_scripts):
    page = visit("/account", "writer", has_scripts=has_scripts)
    if page.locator("details", has_text="New token").get_attribute("open") is None:
        page.get_by_text("New token").click()

    page.get_by_label("Name", exact=True).fill("ci")
    page.get_by_label("Only in these repositories").fill("nonsense")
    page.get_by_role("button", name="Make token").click()

    expect(page.get_by_role("alert")).to_contain_text("nonsense")
    expect(page.get_by_label("Name", exact=True)).to_have_value("ci")


def test_words_of_strangers_run_nowhere_and_lead_nowhere(visit):
    page = visit("/r/local/public")
    asked = []
    page.on("dialog", lambda dialog: asked.append(dialog.message))

    expect(page.locator(".told")).to_contain_text('<img src=x onerror="alert(1)">')
    page.goto("/r/local/public/alpine:latest")
    assert page.locator('a[href^="javascript:"]').count() == 0
    assert asked == []
