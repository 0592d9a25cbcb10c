"""Deleting packages with a browser: choosing, confirming, and what became of each."""

import re
import secrets

import pytest

from tests.frontend import proxying
from tests.frontend.conftest import upstream  # noqa: F401 - the other registry
from tests.frontend.people import repository
from tests.frontend.test_lists import listed, names
from tests.frontend.test_manifest_api import push_image, push_index


@pytest.fixture
def place(live):
    return repository(live)


@pytest.fixture
def admin(visitors):
    return visitors["admin"]


def path(place, step=""):
    return f"/admin/repositories/{place}/packages{step}"


def chosen(text):
    """What is marked, or would be sent along."""
    return re.findall(r'name="package" value="([^"]+)"', text)


def freed(text):
    return re.search(r"About (.*?) that nothing else needs", text)[1]


def test_the_list_names_each_package_and_sorts(live, admin, place):
    push_image(live, f"{place}/app", "v1", layers=(b"large" * 100,))
    push_image(live, f"{place}/app", "v2", layers=(b"s",))
    untagged = push_image(live, f"{place}/team/app", config={"of": place})

    by_name = admin.get(path(place)).text
    by_size = admin.get(path(place), params={"sort": "size", "order": "desc"}).text

    assert chosen(by_name) == ["app:v1", "app:v2", f"team/app@{untagged['digest']}"]
    assert chosen(by_size)[0] == "app:v1"
    assert 'aria-sort="descending"' in by_size
    assert " checked" not in by_name


def test_without_scripts_a_link_chooses_all_of_the_page(live, admin, place):
    push_image(live, f"{place}/app", "v1", "v2")
    assert 'packages?select=page"' in admin.get(path(place)).text

    found = admin.get(path(place), params={"select": "page"}).text

    assert len(re.findall(r'name="package"[^>]* checked>', found)) == 2


def test_what_is_confirmed_is_named_and_nothing_is_deleted_yet(live, admin, place):
    push_image(live, f"{place}/app", "v1", "v2", layers=(place.encode(),), config={"of": place})

    one = admin.send(path(place, "/confirm"), package="app:v1").text
    both = admin.send(path(place, "/confirm"), package=["app:v1", "app:v2"]).text

    assert chosen(one) == ["app:v1"]
    assert "<bdi>the tag v2</bdi> needs it" in one
    assert "About 0 bytes" in one
    assert chosen(both) == ["app:v1", "app:v2"]
    assert "the tag" not in both
    assert "About 0 bytes" not in both
    assert len(names(listed(live, place))) == 2


def test_what_was_confirmed_goes_and_the_list_says_so(live, admin, place):
    push_image(live, f"{place}/app", "v1", "v2", "v3")
    back = path(place) + "?sort=size"

    answer = admin.send(path(place, "/delete"), package=["app:v1", "app:v2"], back=back)

    assert (answer.status_code, answer.headers["Location"]) == (303, back)
    assert "2 packages deleted." in admin.get(back).text
    assert names(listed(live, place)) == [("app", "v3")]


def test_each_package_that_stays_has_its_reason(live, admin, place):
    child = push_image(live, f"{place}/app", config={"of": place})
    push_index(live, f"{place}/app", "v1", manifests=[child])
    needed = f"app@{child['digest']}"
    push_image(live, f"{place}/app", "v2")

    confirm = admin.send(path(place, "/confirm"), package=needed).text
    answer = admin.send(path(place, "/delete"), package=[needed, "app:v2", "app:gone"])

    assert "the index sha256:" in confirm
    assert answer.status_code == 200
    assert "an index needs it: delete that first" in answer.text
    assert "1 deleted, 1 gone already, 1 kept" in answer.text
    assert set(names(listed(live, place))) == {("app", "v1"), ("app", None)}


def test_an_index_goes_together_with_what_it_needs(live, admin, place):
    children = [push_image(live, f"{place}/app", config={"of": place, "n": n}) for n in range(9)]
    push_index(live, f"{place}/app", "v1", manifests=children)
    packages = [*(f"app@{each['digest']}" for each in children), "app:v1"]

    confirm = admin.send(path(place, "/confirm"), package=packages).text
    alone = admin.send(path(place, "/confirm"), package="app:v1").text
    answer = admin.send(path(place, "/delete"), package=packages)

    assert "needs it" not in confirm
    assert freed(confirm) == freed(alone)
    assert answer.status_code == 303
    assert names(listed(live, place)) == []


@pytest.mark.parametrize("step", ["/confirm", "/delete"])
@pytest.mark.parametrize("packages", [[], ["nonsense"], [f"app:v{n}" for n in range(101)]])
def test_a_choice_that_is_none_changes_nothing_and_leads_back(live, admin, place, step, packages):
    push_image(live, f"{place}/app", "v0")

    answer = admin.send(path(place, step), package=packages)

    assert answer.status_code == 400
    assert "Nothing was deleted" in answer.text
    assert f'href="{path(place)}"' in answer.text
    assert names(listed(live, place)) == [("app", "v0")]


@pytest.mark.parametrize("back", ["//evil.invalid", "https://evil.invalid/", "/\\evil.invalid"])
def test_the_way_back_is_ours_whatever_the_form_says(live, admin, place, back):
    push_image(live, f"{place}/app", "v1")

    confirm = admin.send(path(place, "/confirm"), package="app:v1", back=back).text
    answer = admin.send(path(place, "/delete"), package="app:v1", back=back)

    assert "evil" not in confirm
    assert answer.headers["Location"] == path(place)


def test_texts_in_a_form_come_back_as_text(admin, place):
    evil = '"><script>alert(1)</script>:v1'

    for step in ("/confirm", "/delete"):
        assert "<script>alert" not in admin.send(path(place, step), package=evil).text


def test_who_owns_the_repository_deletes_too_and_a_reader_does_not(live, visitors, team):
    push_image(live, f"{team}/owned", "v1")

    refused = visitors["reader"].send(path(team, "/delete"), package="owned:v1")
    done = visitors["owner"].send(path(team, "/delete"), package="owned:v1")

    assert (refused.status_code, done.status_code) == (403, 303)


def test_a_cache_is_emptied_the_same_way(live, upstream, admin):  # noqa: F811 - the fixture
    place = proxying.new_proxy(live, upstream)
    proxying.push(upstream, "cached", "v1", b"layer")
    assert live.client.get(f"/v2/{place}/cached/manifests/v1").status_code == 200

    assert "This is a cache" in admin.get(path(place)).text
    admin.send(path(place, "/delete"), package="cached:v1")

    assert names(listed(live, place)) == []


def test_a_cache_is_emptied_and_fetched_again(live, admin, upstream):  # noqa: F811 - a fixture
    cache = proxying.new_proxy(live, upstream)
    image = f"purged-{secrets.token_hex(3)}"
    for tag in ("v1", "v2"):
        proxying.push(upstream, image, tag, tag.encode())
    for tag in ("v1", "v2"):
        assert live.client.get(f"/v2/{cache}/{image}/manifests/{tag}").status_code == 200
    before = listed(live, cache)["total"]

    done = admin.send(path(cache, "/purge"))

    assert (done.status_code, done.headers["Location"]) == (303, path(cache))
    assert "2 packages deleted." in admin.get(path(cache)).text
    assert (before, listed(live, cache)["total"]) == (2, 0)
    assert live.client.get(f"/v2/{cache}/{image}/manifests/v1").status_code == 200


def test_what_was_pushed_is_not_emptied(live, admin, place):
    push_image(live, f"{place}/app", "v1")

    answer = admin.send(path(place, "/purge"))

    assert answer.status_code == 400
    assert "images were pushed to it" in answer.text
    assert names(listed(live, place)) == [("app", "v1")]
