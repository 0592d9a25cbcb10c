"""Repositories and storages over the management API: settings, their tags, and their end."""

import secrets
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from frontend.access.grants import put_grant
from frontend.access.passwords import hash_password
from frontend.access.users import User, put as put_user
from tests.frontend.live import wait_until
from tests.frontend.test_wire_manifests import manifest, put

URL = "/api/v1/repositories"
PASSWORD = secrets.token_urlsafe(12)


def detail(answer):
    assert answer.headers["Content-Type"] == "application/problem+json"
    return answer.json()["detail"]


def make(live, **settings):
    """A repository of its own: (its name, what its creation answered)."""
    own = live.image().rpartition("/")[2]
    answer = live.client.post(URL, json={"storage": "local", "name": own, **settings})
    assert answer.status_code == 201, answer.text
    return f"local/{own}", answer


def change(live, name, /, *, client=None, headers=None, **settings):
    return (client or live.client).patch(f"{URL}/{name}", json=settings, headers=headers)


@pytest.fixture(scope="module")
def owner(live):
    """A client of a user who has a role in no repository yet."""
    user = User(hash=hash_password(PASSWORD), epoch=1)
    live.run(live.registry.store.commit, [put_user("owner", user)])
    with httpx.Client(base_url=live.url, auth=("owner", PASSWORD), trust_env=False) as client:
        yield client


def grant(live, name, role):
    number = live.registry.store.read(lambda v: v.repository(name).id)
    live.run(live.registry.store.commit, put_grant(number, "owner", role))


# --- settings ---


def test_every_setting_can_be_given_and_is_shown(live):
    settings = {
        "visibility": "public",
        "description": "what for",
        "immutable_tags": ["v*", "release-?"],
        "quota_bytes": 10_000_000,
    }

    name, made = make(live, **settings)
    shown = live.client.get(f"{URL}/{name}")

    assert {key: made.json()[key] for key in settings} == settings
    assert {key: shown.json()[key] for key in settings} == settings
    assert made.headers["ETag"] == shown.headers["ETag"]


def test_a_change_touches_what_it_names_and_null_is_the_default_again(live):
    name, _ = make(live, description="d", immutable_tags=["a"], quota_bytes=5)

    first = change(live, name, quota_bytes=7, visibility="public").json()
    second = change(live, name, immutable_tags=None, quota_bytes=None).json()

    kept = ("description", "immutable_tags", "quota_bytes", "visibility")
    assert [first[key] for key in kept] == ["d", ["a"], 7, "public"]
    assert [second[key] for key in kept] == ["d", [], 0, "public"]
    assert live.client.get(f"{URL}/{name}").json() == second


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"colour": "red"}, "colour"),
        ({"name": "other"}, "name"),
        ({"visibility": "secret"}, "visibility"),
        ({"immutable_tags": ["v 1"]}, "no tag has a ' '"),
        ({"immutable_tags": ["["]}, "without its"),
        ({"immutable_tags": [f"{n}" for n in range(33)]}, "at most 32"),
        ({"quota_bytes": -1}, "quota_bytes"),
        ({"quota_bytes": "5"}, "quota_bytes"),
        ({"description": "x" * 1001}, "description"),
    ],
)
def test_what_is_no_setting_is_refused_with_the_reason_and_changes_nothing(live, settings, why):
    name, made = make(live)

    answer = change(live, name, **settings)

    assert answer.status_code == 400
    assert why in detail(answer)
    assert live.client.get(f"{URL}/{name}").headers["ETag"] == made.headers["ETag"]


def test_the_kind_cannot_change_and_a_proxy_needs_an_upstream(live):
    name, _ = make(live)

    changed = change(live, name, kind="proxy")
    made = live.client.post(URL, json={"storage": "local", "name": "p", "kind": "proxy"})

    assert (changed.status_code, made.status_code) == (409, 400)
    assert "kind cannot change" in detail(changed)
    assert "a proxy has an upstream" in detail(made)
    assert change(live, name, kind="hosted").status_code == 200


def test_what_is_not_there_is_404(live):
    for method in ("GET", "PATCH", "DELETE"):
        answer = live.client.request(method, f"{URL}/local/nowhere", json={})
        assert answer.status_code == 404


def test_a_rule_that_was_changed_holds_for_the_next_push(live):
    name, _ = make(live)
    image = f"{name}/app"
    live.push(image, b"{}")
    put(live, image, "v1", manifest())

    change(live, name, immutable_tags=["v*"])
    refused = put(live, image, "v1", manifest(annotations={"k": "v"}))
    change(live, name, immutable_tags=[])
    taken = put(live, image, "v1", manifest(annotations={"k": "v"}))

    assert (refused.status_code, taken.status_code) == (403, 201)


# --- entity tags ---


def test_who_was_slower_is_told(live):
    name, made = make(live)
    seen = {"If-Match": made.headers["ETag"]}

    first = change(live, name, description="mine", headers=seen)
    second = change(live, name, description="theirs", headers=seen)
    gone = live.client.delete(f"{URL}/{name}", headers=seen)

    assert (first.status_code, second.status_code, gone.status_code) == (200, 412, 412)
    assert "read it again" in detail(second)
    assert live.client.get(f"{URL}/{name}").json()["description"] == "mine"
    again = change(live, name, description="x", headers={"If-Match": first.headers["ETag"]})
    assert again.status_code == 200
    assert change(live, name, description="y", headers={"If-Match": "*"}).status_code == 200


def test_of_many_who_change_what_they_read_exactly_one_does(live):
    name, made = make(live)
    seen = {"If-Match": made.headers["ETag"]}

    def attempt(number):
        return change(live, name, description=f"{number}", headers=seen).status_code

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(attempt, range(8)))

    assert (answers.count(200), answers.count(412)) == (1, 7)


def test_changes_of_different_settings_at_once_all_hold(live):
    name, _ = make(live)
    wanted = {"description": "d", "quota_bytes": 9, "visibility": "public"}

    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda each: change(live, name, **dict([each])), wanted.items()))

    assert [answer.status_code for answer in answers] == [200] * 3
    shown = live.client.get(f"{URL}/{name}").json()
    assert {key: shown[key] for key in wanted} == wanted


def test_a_reader_who_has_it_is_told_so_until_anything_shown_changes(live):
    name, made = make(live)
    have = {"If-None-Match": made.headers["ETag"]}

    same = live.client.get(f"{URL}/{name}", headers=have)
    live.push(f"{name}/app", b"more bytes")
    other = live.client.get(f"{URL}/{name}", headers=have)

    assert (same.status_code, same.content) == (304, b"")
    assert live.client.get(f"{URL}/{name}", headers={"If-None-Match": "*"}).status_code == 304
    assert (other.status_code, other.json()["size"]) == (200, 10)
    # What was pushed is no change of the settings.
    seen = {"If-Match": made.headers["ETag"]}
    assert change(live, name, description="d", headers=seen).status_code == 200


def test_a_repository_created_again_has_no_tag_of_the_one_before(live):
    name, made = make(live)
    live.client.delete(f"{URL}/{name}")
    storage, _, own = name.partition("/")
    live.client.post(URL, json={"storage": storage, "name": own})

    answer = change(live, name, description="d", headers={"If-Match": made.headers["ETag"]})

    assert answer.status_code == 412


def test_a_change_to_what_is_there_writes_nothing(live):
    name, made = make(live, description="d")
    before = live.registry.store.read(lambda v: v.revision())

    answer = change(live, name, description="d")

    assert answer.headers["ETag"] == made.headers["ETag"]
    assert live.registry.store.read(lambda v: v.revision()) == before


# --- who may ---


def test_its_administrator_changes_all_but_the_quota(live, owner):
    name, _ = make(live, quota_bytes=5)
    grant(live, name, "admin")

    settings = {"description": "ours", "visibility": "public", "immutable_tags": ["v*"]}
    changed = change(live, name, client=owner, **settings)
    refused = change(live, name, client=owner, quota_bytes=0)

    assert changed.status_code == 200
    assert {key: changed.json()[key] for key in settings} == settings
    assert refused.status_code == 403
    assert "quota" in detail(refused)
    assert change(live, name, client=owner, quota_bytes=5, description="d").status_code == 200
    assert owner.delete(f"{URL}/{name}").status_code == 403


@pytest.mark.parametrize(("role", "status"), [(None, 404), ("reader", 403), ("writer", 403)])
def test_others_change_nothing_and_learn_nothing_of_what_they_may_not_see(
    live, owner, role, status
):
    name, made = make(live)
    grant(live, name, role)

    answer = change(live, name, client=owner, description="theirs")

    assert answer.status_code == status
    assert live.stranger.patch(f"{URL}/{name}", json={}).status_code == 401
    assert live.client.get(f"{URL}/{name}").headers["ETag"] == made.headers["ETag"]


def test_a_list_shows_counts_and_pages_what_the_caller_may_see(live, owner):
    hidden, _ = make(live)
    public, _ = make(live, visibility="public")
    mine, _ = make(live)
    grant(live, mine, "reader")

    def pages(client, size):
        found, page = [], 1
        while True:
            answer = client.get(URL, params={"page": page, "per_page": size}).json()
            found += [f"{each['storage']}/{each['name']}" for each in answer["items"]]
            if not answer["items"]:
                return found, answer["total"]
            page += 1

    for size in (1, 7, 1000):
        names, total = pages(owner, size)
        assert {public, mine} <= set(names)
        assert hidden not in names
        assert (names, total) == (sorted(names), len(names))
    names, total = pages(live.client, 7)
    assert {hidden, public, mine} <= set(names)
    assert total == len(names)


# --- deletion ---


def test_a_repository_with_images_goes_only_by_force_and_leaves_nothing(live):
    name, _ = make(live)
    image = f"{name}/app"
    live.push(image, b"{}")
    put(live, image, "v1", manifest())

    refused = live.client.delete(f"{URL}/{name}")
    gone = live.client.delete(f"{URL}/{name}", params={"force": "true"})

    assert (refused.status_code, gone.status_code, gone.content) == (409, 204, b"")
    assert "force" in detail(refused)
    assert live.client.get(f"{URL}/{name}").status_code == 404
    assert live.client.get(f"/v2/{image}/manifests/v1").status_code == 404
    store = live.registry.store
    wait_until(lambda: store.read(lambda v: next(v.scan("repository", b"~"), None)) is None)
    assert live.client.post("/api/v1/fsck").json()["drift"] == []


def test_an_immutable_tag_does_not_keep_a_repository_from_its_administrator(live):
    name, _ = make(live, immutable_tags=["*"])
    live.push(f"{name}/app", b"{}")
    put(live, f"{name}/app", "v1", manifest())

    assert live.client.delete(f"{URL}/{name}", params={"force": "true"}).status_code == 204


def test_an_empty_repository_goes_and_its_name_is_free(live):
    name, _ = make(live)

    assert live.client.delete(f"{URL}/{name}").status_code == 204
    assert live.client.delete(f"{URL}/{name}").status_code == 404
    storage, _, own = name.partition("/")
    assert live.client.post(URL, json={"storage": storage, "name": own}).status_code == 201


def test_a_role_is_of_the_repository_and_not_of_its_name(live, owner):
    name, _ = make(live)
    grant(live, name, "admin")
    assert owner.get(f"{URL}/{name}").status_code == 200

    live.client.delete(f"{URL}/{name}")
    storage, _, own = name.partition("/")
    live.client.post(URL, json={"storage": storage, "name": own})

    assert owner.get(f"{URL}/{name}").status_code == 404


# --- storages ---


def test_a_storage_is_shown_and_goes_when_it_is_empty(live, owner):
    storage = live.image().rpartition("/")[2]
    live.client.post("/api/v1/storages", json={"name": storage})
    path = f"/api/v1/storages/{storage}"
    live.client.post(URL, json={"storage": storage, "name": "r"})

    shown = live.client.get(path)
    full = live.client.delete(path)
    live.client.delete(f"{URL}/{storage}/r")
    answers = [live.client.delete(path).status_code for _ in range(2)]

    assert shown.json()["name"] == storage
    assert full.status_code == 409
    assert "has repositories" in detail(full)
    assert answers == [204, 404]
    assert live.client.get(path).status_code == 404
    assert owner.get("/api/v1/storages/local").status_code == 403
    assert owner.delete("/api/v1/storages/local").status_code == 403
