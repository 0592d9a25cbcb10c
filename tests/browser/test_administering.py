"""What administrators do, with scripts and without: make, change, find out, clean up."""

import json
import re
import secrets

import pytest
from playwright.sync_api import expect

from tests.frontend.test_lists import push

SCRIPTS = pytest.mark.parametrize("has_scripts", [True, False], ids=["scripts", "no scripts"])


def new_name(word: str) -> str:
    return f"{word}-{secrets.token_hex(3)}"


def unfold(page, summary):
    """Open a part of the page that is folded."""
    part = page.locator("details", has=page.get_by_text(summary, exact=True))
    if part.get_attribute("open") is None:
        part.locator("summary").click()


@SCRIPTS
def test_a_hosted_repository_is_made_changed_and_deleted(visit, has_scripts):
    name = new_name("made")
    page = visit("/", "admin", has_scripts=has_scripts)

    page.get_by_role("link", name="New repository").click()
    page.get_by_label("Name", exact=True).fill("No Good")
    page.get_by_label("Tags that never change").fill("v*\n1.?")
    page.get_by_role("button", name="Make repository").click()
    expect(page.get_by_label("Name", exact=True)).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_label("Tags that never change")).to_have_value("v*\n1.?")
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("button", name="Make repository").click()
    expect(page.get_by_role("status")).to_contain_text(name)

    page.goto(f"/admin/repositories/local/{name}")
    page.get_by_label("Who may pull").select_option("public")
    page.get_by_label("Quota, in GiB").fill("nonsense")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_label("Quota, in GiB")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Quota, in GiB").fill("2.5")
    page.get_by_label("Description").fill("for tests")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("of 2.5 GiB")).to_be_visible()
    page.goto(f"/r/local/{name}")
    expect(page.get_by_text("for tests")).to_be_visible()

    page.goto(f"/admin/repositories/local/{name}")
    unfold(page, "Delete this repository")
    page.get_by_label(f"Type local/{name} to confirm").fill(f"local/{name}")
    page.get_by_role("button", name="Delete repository").click()
    expect(page.get_by_role("status")).to_contain_text(name)
    page.goto(f"/r/local/{name}")
    expect(page.get_by_role("heading", level=1)).not_to_have_text(name)


@SCRIPTS
def test_a_proxy_is_made_and_never_shows_its_password(visit, has_scripts):
    name, password = new_name("hub"), secrets.token_urlsafe(12)
    page = visit("/admin/proxies", "admin", has_scripts=has_scripts)

    page.get_by_role("link", name="New proxy").click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Registry behind").fill("ftp://nowhere")
    page.get_by_role("button", name="Make repository").click()
    expect(page.get_by_label("Registry behind")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Registry behind").fill("https://registry.example.invalid/team")
    page.get_by_label("Account there").fill("robot")
    page.get_by_label("Its password or token").fill(password)
    page.get_by_role("button", name="Make repository").click()
    expect(page.get_by_role("status")).to_contain_text(name)

    page.goto("/admin/proxies")
    row = page.get_by_role("row").filter(has_text=name)
    expect(row).to_contain_text("as robot")
    page.goto(f"/admin/repositories/local/{name}")
    expect(page.get_by_label("Its password or token")).to_have_value("")
    assert password not in page.content()


@SCRIPTS
def test_a_user_is_made_given_a_role_and_disabled(visit, has_scripts):
    name = new_name("ann")
    page = visit("/admin/users", "admin", has_scripts=has_scripts)

    unfold(page, "New user")
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Password", exact=True).fill("short")
    page.get_by_role("button", name="Make user").click()
    expect(page.get_by_label("Password", exact=True)).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Password", exact=True).fill(secrets.token_urlsafe(12))
    page.get_by_role("button", name="Make user").click()
    expect(page.get_by_role("status")).to_contain_text(name)

    page.goto("/admin/repositories/local/team")
    unfold(page, "Give a role")
    page.get_by_label("User", exact=True).fill(name)
    page.locator("#f-role").select_option("writer")
    page.get_by_role("button", name="Give role").click()
    row = page.get_by_role("row").filter(has_text=name)
    expect(row).to_contain_text("writer")
    row.get_by_role("button", name="Take away").click()
    expect(page.get_by_role("row").filter(has_text=name)).to_have_count(0)

    page.goto(f"/admin/users/{name}")
    page.get_by_label(re.compile("^Disabled")).check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("row").filter(has_text=name)).to_contain_text("disabled")


@SCRIPTS
def test_packages_are_chosen_and_deleted_after_a_look(site, visit, has_scripts):
    name = new_name("many")
    site.live.create_repository(f"local/{name}")
    for tag in ("a", "b", "c", "d"):
        push(site.live, f"local/{name}/app", tag, layers=[tag.encode() * 5000])
    page = visit(
        f"/admin/repositories/local/{name}/packages?sort=name", "admin", has_scripts=has_scripts
    )

    page.get_by_label("app:b").check()
    if has_scripts:
        page.get_by_label("app:d").click(modifiers=["Shift"])
        expect(page.get_by_text("3 chosen")).to_have_count(2)  # beside the button, and aloud
    else:
        page.get_by_label("app:c").check()
        page.get_by_label("app:d").check()
    page.get_by_role("button", name="Delete…").click()
    asked = page.get_by_role("dialog", name="Delete 3 packages") if has_scripts else page
    expect(asked.get_by_role("heading", level=1)).to_contain_text("Delete 3 packages")
    expect(asked.get_by_role("row").filter(has_text="app:c")).to_contain_text("KiB")
    if has_scripts:
        asked.get_by_role("link", name="Keep them").click()
        expect(asked).to_have_count(0)
        page.get_by_role("button", name="Delete…").click()
    asked.get_by_role("button", name="Delete 3 packages").click()

    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody tr")).to_contain_text("app:a")
    if has_scripts:
        page.get_by_label("All on this page").check()
    else:
        page.get_by_role("link", name="Choose all on this page").click()
    expect(page.get_by_label("app:a")).to_be_checked()


def test_work_says_how_far_it_is_and_what_came_of_it(visit):
    page = visit("/admin/storage", "admin")
    for region, button, said in (
        ("#collecting", "Run now", "Done: "),
        ("#scrubbing", "Scrub now", "Done: "),
        ("#checking", "Check now", "All is as it must be."),
    ):
        section = page.locator(region)
        asked = []
        page.on("request", lambda each, asked=asked: asked.append((each.method, each.url)))
        section.get_by_role("button", name=button).click()

        expect(section.locator(".work")).to_contain_text(said)
        expect(section.get_by_role("button", name=button)).to_be_enabled()
        assert [url for method, url in asked if method == "POST" and "/api/v1/" in url]
    expect(page.locator("#collecting tbody tr").first).to_contain_text("somebody")


def test_work_that_fails_says_why(site, visit):
    page = visit("/admin/storage", "admin")
    page.route("**/api/v1/gc", lambda route: route.fulfill(
        status=503, json={"detail": "the storage daemon is away"}))  # fmt: skip

    page.locator("#collecting").get_by_role("button", name="Run now").click()

    expect(page.locator("#collecting .work")).to_contain_text("the storage daemon is away")
    expect(page.locator("#collecting .work")).to_have_class(re.compile("bad"))


def test_work_after_a_rehearsal_sends_no_form_again(visit):
    page = visit("/admin/storage", "admin")
    page.get_by_role("button", name="What would it free?").click()
    expect(page.get_by_text("A collection now would free")).to_be_visible()
    documents = []
    page.on(
        "request", lambda each: documents.append(each.method) if each.is_navigation_request() else 0
    )

    page.locator("#collecting").get_by_role("button", name="Run now").click()

    expect(page.locator("#collecting .work")).to_contain_text("Done: ")
    expect(page.locator("#collecting").get_by_role("button", name="Run now")).to_be_focused()
    assert documents == []


def telling(report):
    """What a page asks for is answered with this."""
    return lambda route: route.fulfill(body=json.dumps({"report": report}) + "\n")


def test_what_is_wrong_is_shown_as_such(visit):
    page = visit("/admin/storage", "admin")
    for region, path, report in (
        ("#checking", "fsck", {"checked": {}, "drift": ["<b>one</b>", "another"]}),
        ("#scrubbing", "scrub", {"packs": 3, "standing": 1, "damaged": ["<b>one</b>"]}),
    ):
        page.route(f"**/api/v1/{path}", telling(report))
        page.locator(region).locator("button", has_text="now").click()

        expect(page.locator(region).locator(".work")).to_contain_text("<b>one</b>")
        expect(page.locator(region).locator(".work")).to_have_class(re.compile("bad"))


def test_transfers_are_looked_at_again_when_the_server_is_back(site, visit):
    image = f"local/team/{new_name('back')}"
    page = visit("/admin/transfers", "admin")
    failed = []

    def away(route):
        failed.append(route.request.url)
        route.fulfill(status=503, body="<html><body>away</body></html>")

    page.route("**/admin/transfers", away)
    page.wait_for_timeout(3000)
    page.unroute("**/admin/transfers", away)
    place = site.live.begin(image)
    expect(page.get_by_role("row").filter(has_text=image)).to_be_visible()
    site.live.client.delete(place)
    assert failed


def test_work_goes_without_scripts(visit):
    page = visit("/admin/storage", "admin", has_scripts=False)
    for button, said in (
        ("Run now", "The collection freed"),
        ("Scrub now", "nothing is damaged"),
        ("Check now", "All is as it must be"),
        ("What would it free?", "A collection now would free"),
    ):
        page.get_by_role("button", name=button).click()
        expect(page.get_by_text(said)).to_be_visible()


def test_transfers_are_seen_while_they_come_and_go(site, visit):
    image = f"local/team/{new_name('coming')}"
    page = visit("/admin/transfers", "admin")

    place = site.live.begin(image)
    site.live.client.patch(place, content=b"x" * 50_000)
    expect(page.get_by_role("row").filter(has_text=image)).to_contain_text("48.8 KiB")
    site.live.client.delete(place)
    expect(page.get_by_role("row").filter(has_text=image)).to_have_count(0)
