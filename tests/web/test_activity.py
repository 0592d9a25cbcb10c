"""The journal in the browser: filters, pages, and who sees what of it."""

import re
from typing import get_args

from frontend.domain import deeds
from frontend.web import activity
from tests.frontend.people import person, repository

ROW = re.compile(r'<td data-label="What"><code>([a-z.]+)</code>')


def test_every_deed_can_be_chosen():
    groups = {value for value, _ in activity.ACTIONS}

    assert {each.partition(".")[0] for each in get_args(deeds.Action)} == groups - {""}


def test_entries_are_filtered_by_who_and_what(live, visitors):
    admin = visitors["admin"]
    admin.send("/admin/users", username="w-by-me", password=person(live).password, role="user")

    found = admin.get("/admin/activity", params={"actor": admin.who.name, "action": "user"})

    assert set(ROW.findall(found.text)) == {"user.create"}
    assert "w-by-me" in found.text
    none = admin.get("/admin/activity", params={"actor": admin.who.name, "action": "scrub"})
    assert ROW.findall(none.text) == []


def test_older_entries_are_on_the_next_page(live, visitors, monkeypatch):
    monkeypatch.setattr(activity, "PER_PAGE", 2)
    place, somebody = repository(live), person(live)
    for role in ("reader", "writer", "admin"):
        somebody.grant(place, role)
    admin, path = visitors["admin"], f"/admin/repositories/{place}/activity"

    first = admin.get(path)
    older = re.search(r'rel="next" href="([^"]+)"', first.text)[1].replace("&amp;", "&")
    second = admin.get(older)

    assert ROW.findall(first.text) == ["grant.set", "grant.set"]
    assert ROW.findall(second.text) == ["grant.set", "repository.create"]


def test_a_repositorys_admin_sees_what_happened_there_and_nothing_else(live, visitors, team):
    other = repository(live)

    page = visitors["owner"].get(f"/admin/repositories/{team}/activity")
    sneaky = visitors["owner"].get(
        f"/admin/repositories/{team}/activity", params={"repository": other}
    )

    assert "repository.create" in page.text
    assert other not in ROW.sub("", page.text)
    assert f"<bdi>{other}</bdi>" not in sneaky.text


def test_a_filter_is_text_and_nothing_else(visitors):
    answer = visitors["admin"].get("/admin/activity", params={"actor": '"><script>x</script>'})

    assert answer.status_code == 200
    assert "<script>x" not in answer.text
