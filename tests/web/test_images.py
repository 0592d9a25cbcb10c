"""Repositories, paths and images as visitors walk them."""

import re

import pytest

from tests.frontend.people import person, repository
from tests.frontend.test_lists import push
from tests.web.visitors import Visitor

EVIL = '"><script>alert(1)</script>\N{RIGHT-TO-LEFT OVERRIDE}'


@pytest.fixture(scope="module")
def place(live):
    """A public repository with images of which one has others below it."""
    name = repository(live, "public")
    for image in ("a", "a/b", "a/b/c", "d/e"):
        push(live, f"{name}/{image}", "v1.9", "v1.10", os="linux", architecture="arm64")
    return name


@pytest.fixture(scope="module")
def visitor(live):
    made = Visitor(live)
    yield made
    made.client.close()


def names(answer):
    """What the rows of a list are called, and where they lead."""
    assert answer.status_code == 200, answer.text
    return re.findall(r'<th scope="row"><a href="([^"]*)"><bdi>([^<]*)', answer.text)


def test_the_first_page_has_what_is_public_for_the_anonymous_and_all_for_administrators(
    live, visitor, place
):
    private = repository(live)
    admin = Visitor(live, person(live, "admin"))

    for name, is_seen in ((place, True), (private, False)):
        assert (f'"/r/{name}"' in visitor.get("/", params={"q": name}).text) == is_seen
        assert f'"/r/{name}"' in admin.get("/", params={"q": name}).text
    admin.client.close()


def test_repositories_may_be_filtered_by_storage_and_text(live, visitor, place):
    found = visitor.get("/", params={"storage": "local", "q": place.upper()})

    assert [href for href, _ in names(found)] == [f"/r/{place}"]
    nothing = visitor.get("/", params={"storage": "elsewhere"})
    assert "No repository that you may see matches" in nothing.text


def test_what_lies_at_the_top_and_below_a_path_is_shown_and_neither_hides_the_other(visitor, place):
    top = names(visitor.get(f"/r/{place}"))
    below = names(visitor.get(f"/r/{place}/a/"))

    assert top == [(f"/r/{place}/a", "a"), (f"/r/{place}/a/", "a"), (f"/r/{place}/d/", "d")]
    assert below == [(f"/r/{place}/a/b", "b"), (f"/r/{place}/a/b/", "b")]
    assert 'href="/r/' + place + '/a/">1 image' not in visitor.get(f"/r/{place}/d/e").text
    assert "2 images" in visitor.get(f"/r/{place}/a").text


def test_images_are_filtered_by_text_anywhere_below(visitor, place):
    found = visitor.get(f"/r/{place}", params={"q": "B/C"})

    assert names(found) == [(f"/r/{place}/a/b/c", "a/b/c")]


def test_tags_come_newest_first_and_in_other_orders_when_asked(visitor, place):
    def tags(**query):
        return [label for _, label in names(visitor.get(f"/r/{place}/a", params=query))]

    assert tags(sort="version", order="desc") == ["v1.10", "v1.9"]
    assert tags(sort="name", order="asc") == ["v1.10", "v1.9"]
    assert tags(sort="version", order="asc") == ["v1.9", "v1.10"]
    assert tags(q="v1.9") == ["v1.9"]
    assert sorted(tags()) == ["v1.10", "v1.9"]


def test_a_tag_is_shown_with_what_people_ask_of_it(visitor, place):
    text = visitor.get(f"/r/{place}/a").text

    assert "linux/arm64" in text
    assert "by <bdi>admin</bdi>" in text
    assert f'href="/r/{place}/a:v1.9"' in text
    assert re.search(rf'href="/r/{place}/a@sha256:[0-9a-f]{{64}}"', text)
    assert f"docker pull {visitor.live.registry.site.realm.service}/{place}/a:v1." in text


def test_many_tags_come_in_pages(live, visitor):
    name = repository(live, "public")
    push(live, f"{name}/app", *(f"v{number}" for number in range(60)))

    first = visitor.get(f"/r/{name}/app?sort=version")
    following = re.search('rel="next" href="([^"]*)"', first.text)[1].replace("&amp;", "&")
    second = visitor.get(following)

    assert "1\N{EN DASH}50 of 60" in first.text
    found = [label for page in (first, second) for _, label in names(page)]
    assert found == [f"v{number}" for number in reversed(range(60))]


@pytest.mark.parametrize("path", ["nothing", "nothing/", "a/", "x/../y", "A"])
def test_what_is_not_there_is_a_page_that_says_so(live, path):
    name = repository(live)
    admin = Visitor(live, person(live, "admin"))

    answer = admin.get(f"/r/{name}/{path}")

    assert answer.status_code == 404
    assert "There is nothing here" in answer.text
    admin.client.close()


def test_an_empty_repository_says_what_to_do_next(live):
    name = repository(live)
    somebody = person(live)
    somebody.grant(name, "writer")
    writer = Visitor(live, somebody)

    text = writer.get(f"/r/{name}").text

    host = live.registry.site.realm.service
    assert f"docker login -u {somebody.name} {host}" in text
    assert f"docker push {host}/{name}/IMAGE:TAG" in text
    writer.client.close()


def test_who_may_use_nothing_is_told_whom_to_ask(live):
    somebody = person(live)
    visitor = Visitor(live, somebody)

    text = visitor.get("/", params={"storage": ""}).text

    assert visitor.get("/").status_code == 200
    assert f"{somebody.name}" in text
    visitor.client.close()


def test_descriptions_are_text_of_strangers(live, visitor):
    name = repository(live, "public")
    live.client.patch(f"/api/v1/repositories/{name}", json={"description": EVIL})

    for path in (f"/r/{name}", f"/?q={name}"):
        text = visitor.get(path).text

        assert "<script>alert" not in text
        assert "<bdi>&#34;&gt;&lt;script&gt;" in text


def test_what_was_looked_for_is_text_of_strangers(visitor, place):
    for path in ("/", f"/r/{place}", f"/r/{place}/a"):
        text = visitor.get(path, params={"q": EVIL}).text

        assert "<script>alert" not in text
