"""Roles in repositories: who gives them, and what they are good for from then on."""

import pytest

from tests.frontend.live import digest_of
from tests.frontend.people import detail, person, repository

CONTENT = b"for those with a role"


@pytest.fixture
def place(live):
    name = repository(live)
    live.push(f"{name}/app", CONTENT)
    return name


def reach(somebody, place) -> tuple[int, int, int]:
    """What pull, push and delete are answered."""
    image = f"/v2/{place}/app"
    return (
        somebody.ask("GET", f"{image}/blobs/{digest_of(CONTENT)}").status_code,
        somebody.ask("POST", f"{image}/blobs/uploads/").status_code,
        somebody.ask("DELETE", f"{image}/blobs/{digest_of(b'absent')}").status_code,
    )


@pytest.mark.parametrize(
    ("role", "expected"),
    [("reader", (200, 403, 403)), ("writer", (200, 202, 403)), ("admin", (200, 202, 404))],
)
def test_a_role_counts_from_the_next_request_on_and_ends_with_its_loss(live, place, role, expected):
    somebody = person(live)
    before = reach(somebody, place)

    somebody.grant(place, role)
    with_role = reach(somebody, place)
    path = f"/api/v1/repositories/{place}/grants/{somebody.name}"
    taken = live.client.delete(path)

    assert before == reach(somebody, place) == (404, 404, 404)
    assert with_role == expected
    assert taken.status_code == 204
    assert live.client.get(path).status_code == 404
    assert live.client.delete(path).status_code == 404


def test_a_repositorys_administrator_gives_roles_there_and_nowhere_else(live, place):
    boss, worker = person(live), person(live)
    boss.grant(place, "admin")
    other = repository(live)
    path = f"/api/v1/repositories/{place}/grants"

    given = boss.ask("PUT", f"{path}/{worker.name}", json={"role": "writer"})
    listed = boss.ask("GET", path).json()
    elsewhere = boss.ask(
        "PUT", f"/api/v1/repositories/{other}/grants/{boss.name}", json={"role": "reader"}
    )
    by_worker = worker.ask("PUT", f"{path}/{worker.name}", json={"role": "admin"})

    assert given.json() == {"username": worker.name, "role": "writer"}
    roles = {each["username"]: each["role"] for each in listed["items"]}
    assert roles == {boss.name: "admin", worker.name: "writer"}
    assert (elsewhere.status_code, by_worker.status_code) == (404, 403)
    assert boss.ask("GET", "/api/v1/users").status_code == 403


def test_a_role_is_for_users_that_are_there(live, place):
    path = f"/api/v1/repositories/{place}/grants"

    nobody = live.client.put(f"{path}/nobody-here", json={"role": "reader"})
    bad = live.client.put(f"{path}/admin", json={"role": "owner"})

    assert (nobody.status_code, bad.status_code) == (404, 400)
    assert "no user nobody-here" in detail(nobody)


def test_lists_show_what_one_may_pull_and_nothing_of_the_rest(live, place):
    somebody, stranger = person(live), person(live)
    public = repository(live, "public")
    live.push(f"{public}/app", CONTENT)
    somebody.grant(place, "reader")

    def seen(who):
        items = who.ask("GET", "/api/v1/repositories", params={"per_page": 1000}).json()
        names = {f"{each['storage']}/{each['name']}" for each in items["items"]}
        images = who.ask("GET", "/v2/_catalog", params={"n": 1000}).json()["repositories"]
        assert items["total"] == len(names)
        return names, {name.rpartition("/")[0] for name in images}

    assert all({place, public} <= each for each in seen(somebody))
    assert all(place not in each and public in each for each in seen(stranger))


def test_a_revoked_role_is_not_recalled_on_an_open_connection(live, place):
    somebody = person(live)
    somebody.grant(place, "reader")
    path = f"/v2/{place}/app/blobs/{digest_of(CONTENT)}"
    for _ in range(3):  # proven, found and recalled
        assert somebody.ask("GET", path).status_code == 200

    live.client.delete(f"/api/v1/repositories/{place}/grants/{somebody.name}")

    assert somebody.ask("GET", path).status_code == 404


def test_a_push_whose_right_goes_in_its_middle_is_refused(live, place):
    somebody = person(live)
    somebody.grant(place, "writer")
    image = f"{place}/app"
    location = somebody.ask("POST", f"/v2/{image}/blobs/uploads/").headers["Location"]
    content = b"x" * 100_000

    def body():
        yield content[:50_000]
        live.client.delete(f"/api/v1/repositories/{place}/grants/{somebody.name}")
        yield content[50_000:]

    answer = somebody.ask("PUT", location, params={"digest": digest_of(content)}, content=body())

    assert answer.status_code == 404
    assert live.client.head(f"/v2/{image}/blobs/{digest_of(content)}").status_code == 404


def test_a_push_whose_account_is_disabled_in_its_middle_is_refused(live, place):
    somebody = person(live)
    somebody.grant(place, "writer")
    image = f"{place}/app"
    location = somebody.ask("POST", f"/v2/{image}/blobs/uploads/").headers["Location"]
    content = b"y" * 100_000

    def body():
        yield content[:50_000]
        live.client.patch(f"/api/v1/users/{somebody.name}", json={"disabled": True})
        yield content[50_000:]

    answer = somebody.ask("PUT", location, params={"digest": digest_of(content)}, content=body())

    assert answer.status_code == 401
    assert live.client.head(f"/v2/{image}/blobs/{digest_of(content)}").status_code == 404
