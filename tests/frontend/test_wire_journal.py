"""The journal over the wire: what is told, in which commit, and to whom."""

import json
import re
from datetime import datetime

import httpx
import pytest

from frontend.registry import diary
from frontend.settings import Http, Journal, Settings, Storage
from index.journal import iter_entries
from tests.frontend.live import digest_of, running
from tests.frontend.people import person, repository

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
JOURNAL = "/api/v1/journal"


def document(live, image: str, note: str = "") -> bytes:
    config = live.push(image, b"{}")
    described = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config}
    body = {"schemaVersion": 2, "mediaType": MANIFEST, "config": described | {"size": 2}}
    return json.dumps(body | {"layers": [], "annotations": {"note": note}}).encode()


def put(live, image, reference, content, auth=None, **query):
    client = live.client if auth is None else live.stranger
    options = {} if auth is None else {"auth": auth}
    return client.put(
        f"/v2/{image}/manifests/{reference}",
        content=content,
        headers={"Content-Type": MANIFEST},
        params=query,
        **options,
    )


def asked(live, **query) -> dict:
    answer = live.client.get(JOURNAL, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def newest(live) -> int:
    items = asked(live, per_page=1)["items"]
    return items[0]["number"] if items else 0


def since(live, number: int) -> list[dict]:
    return asked(live, after=number, per_page=1000)["items"]


def told(live, number: int) -> list[tuple[str, str, str]]:
    return [(each["actor"], each["action"], each["target"]) for each in since(live, number)]


def test_pushes_and_deletes_are_told_with_who_and_from_where(live):
    image, before = live.image(), newest(live)
    content = document(live, image)
    digest = digest_of(content)

    assert put(live, image, "v1", content).status_code == 201
    assert put(live, image, digest, content, tag=["v2", "v3"]).status_code == 201
    for reference in ("v1", digest):
        assert live.client.delete(f"/v2/{image}/manifests/{reference}").status_code == 202
    blob = live.push(image, b"alone")
    assert live.client.delete(f"/v2/{image}/blobs/{blob}").status_code == 202

    rows = since(live, before)
    assert told(live, before) == [
        ("admin", "manifest.push", f"{image}:v1"),
        ("admin", "manifest.push", f"{image}@{digest}"),
        ("admin", "tag.delete", f"{image}:v1"),
        ("admin", "manifest.delete", f"{image}@{digest}"),
        ("admin", "blob.delete", f"{image}@{blob}"),
    ]
    assert {(each["via"], each["address"]) for each in rows} == {("password", "127.0.0.1")}
    assert rows[0]["detail"] == {"digest": digest, "size": len(content)}
    assert rows[1]["detail"]["tags"] == "v2 v3"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", rows[0]["time"])


def test_what_is_refused_is_not_told(live):
    image, before = live.image(), newest(live)
    content = document(live, image)

    assert live.client.delete(f"/v2/{image}/manifests/none").status_code == 404
    assert live.client.delete(f"/v2/{image}/blobs/{digest_of(b'none')}").status_code == 404
    absent = json.loads(content) | {"layers": [{"mediaType": "x", "size": 1,
                                                "digest": digest_of(b"absent")}]}  # fmt: skip
    assert put(live, image, "v1", json.dumps(absent).encode()).status_code == 400
    assert live.stranger.delete(f"/v2/{image}/manifests/v1").status_code == 401
    assert live.client.post("/api/v1/storages", json={"name": "local"}).status_code == 409

    assert told(live, before) == []


def test_every_change_of_the_management_api_is_told(live):
    before = newest(live)
    api = live.client
    place = f"journal-{before}"
    name = f"{place}/r"
    api.post("/api/v1/storages", json={"name": place})
    api.post("/api/v1/repositories", json={"storage": place, "name": "r", "visibility": "public"})
    api.patch(f"/api/v1/repositories/{name}", json={"visibility": "private", "quota_bytes": 5})
    ada = person(live)
    api.put(f"/api/v1/repositories/{name}/grants/{ada.name}", json={"role": "writer"})
    api.delete(f"/api/v1/repositories/{name}/grants/{ada.name}")
    token = ada.make_token(name="robot")
    ada.ask("DELETE", f"/api/v1/tokens/{token['id']}")
    browser = ada.sign_in()
    browser.ask("DELETE", "/api/v1/session")
    api.patch(f"/api/v1/users/{ada.name}", json={"role": "admin"})
    api.put(f"/api/v1/users/{ada.name}/password", json={"password": "another password"})
    api.delete(f"/api/v1/users/{ada.name}")
    api.delete(f"/api/v1/repositories/{name}")
    api.delete(f"/api/v1/storages/{place}")
    api.post("/api/v1/gc", json={"dry_run": True})
    api.post("/api/v1/gc")
    api.post("/api/v1/scrub")

    assert told(live, before) == [
        ("admin", "storage.create", place),
        ("admin", "repository.create", name),
        ("admin", "repository.update", name),
        ("admin", "user.create", ada.name),
        ("admin", "grant.set", name),
        ("admin", "grant.delete", name),
        (ada.name, "token.create", ada.name),
        (ada.name, "token.delete", ada.name),
        (ada.name, "login", ""),
        (ada.name, "session.delete", ada.name),
        ("admin", "user.update", ada.name),
        ("admin", "user.password", ada.name),
        ("admin", "user.delete", ada.name),
        ("admin", "repository.delete", name),
        ("admin", "storage.delete", place),
        ("admin", "gc.run", ""),
        ("admin", "scrub.run", ""),
    ]
    rows = {each["action"]: each for each in since(live, before)}
    assert rows["repository.update"]["detail"] == {"visibility": "private", "quota_bytes": 5}
    assert rows["grant.set"]["detail"] == {"user": ada.name, "role": "writer"}
    assert rows["token.create"]["detail"] == {"token": token["id"], "name": "robot"}
    assert rows["session.delete"]["via"].startswith("session:")
    whole = json.dumps(since(live, before))
    for secret in (ada.password, "another password", token["token"], browser.cookie, browser.csrf):
        assert secret not in whole


def test_a_deleted_package_is_told(live):
    image, before = live.image(), newest(live)
    put(live, image, "v1", document(live, image))
    own = image.removeprefix("local/images/")

    path = "/api/v1/repositories/local/images/packages"
    items = [{"image": own, "tag": "v1"}, {"image": own, "tag": "none"}]
    assert live.client.request("DELETE", path, json={"items": items}).status_code == 200

    assert told(live, before)[1:] == [("admin", "package.delete", f"{image}:v1")]


def test_pages_go_back_and_follow(live):
    image, content = live.image(), b""
    for number in range(5):
        content = document(live, image, str(number))
        put(live, image, f"v{number}", content)

    first = asked(live, per_page=2)
    second = asked(live, per_page=2, before=first["next"])
    back = [each["target"] for each in first["items"] + second["items"]]
    assert back == [f"{image}:v{number}" for number in (4, 3, 2, 1)]

    start = second["items"][-1]["number"]
    ahead = asked(live, per_page=2, after=start)
    assert [each["target"] for each in ahead["items"]] == [f"{image}:v2", f"{image}:v3"]
    rest = asked(live, after=ahead["next"])
    assert [each["target"] for each in rest["items"]] == [f"{image}:v4"]
    nothing = asked(live, after=rest["next"])
    assert nothing == {"items": [], "next": rest["next"]}
    assert asked(live, before=1) == {"items": [], "next": None}


def test_filters_leave_out_what_was_not_asked_for(live):
    before = newest(live)
    ada, team = person(live), repository(live)
    ada.grant(team, "admin")
    image = f"{team}/app"
    content = document(live, image)
    put(live, image, "v1", content, auth=ada.auth)
    put(live, image, "v2", content)

    by_ada = asked(live, after=before, actor=ada.name)["items"]
    pushes = asked(live, after=before, action="manifest.push")["items"]
    users = asked(live, after=before, action="user")["items"]
    both = asked(live, after=before, action="manifest.push", actor=ada.name)["items"]

    assert [each["target"] for each in by_ada] == [f"{image}:v1"] == [e["target"] for e in both]
    assert [each["actor"] for each in pushes] == [ada.name, "admin"]
    assert [each["action"] for each in users] == ["user.create"]


@pytest.mark.parametrize("query", ["after=-1", "before=x", "per_page=0", "page=1", "after=9e99"])
def test_what_cannot_be_asked_is_refused(live, query):
    assert live.client.get(f"{JOURNAL}?{query}").status_code == 400


def test_a_repositorys_admin_sees_its_entries_and_no_hint_of_others(live):
    ada, bob, eve = person(live), person(live), person(live)
    ours, theirs = repository(live), repository(live)
    ada.grant(ours, "admin")
    bob.grant(ours, "writer")
    for number in range(3):
        for name in (ours, theirs):
            put(live, f"{name}/app", f"v{number}", document(live, f"{name}/app"))

    whole = ada.ask("GET", JOURNAL, params={"repository": ours}).json()
    numbers = [each["number"] for each in whole["items"]]
    page = ada.ask("GET", JOURNAL, params={"repository": ours, "per_page": 2}).json()

    assert all(each["target"].startswith(ours) for each in whole["items"])
    assert len(whole["items"]) == 6  # made, two roles, three pushes
    expected = 0
    for each in reversed(whole["items"]):  # numbers tell the time, and nothing of others
        at = datetime.fromisoformat(each["time"]).timestamp() * 1000
        expected = max(expected + 1, round(at))
        assert each["number"] == expected
    assert page["next"] == numbers[1]
    assert theirs not in json.dumps(whole)
    for who, name, status in (
        (ada, "", 403), (ada, theirs, 404), (ada, "local/nowhere", 404), (bob, ours, 403),
        (eve, ours, 404), (eve, "", 403),
    ):  # fmt: skip
        params = {"repository": name} if name else {}
        assert who.ask("GET", JOURNAL, params=params).status_code == status, (who.name, name)
    assert live.stranger.get(JOURNAL, params={"repository": ours}).status_code == 401
    assert len(asked(live, repository=ours)["items"]) == 6


def test_a_repository_made_anew_has_a_journal_of_its_own(live):
    name = repository(live)
    storage, _, own = name.partition("/")
    live.client.delete(f"/api/v1/repositories/{name}")
    live.client.post("/api/v1/repositories", json={"storage": storage, "name": own})

    items = asked(live, repository=name)["items"]
    assert [each["action"] for each in items] == ["repository.create"]


def test_logins_gather_and_are_written_with_their_numbers(live):
    ada, before = person(live), newest(live)
    live.run(diary.write, live.registry)
    before = newest(live)
    for number in range(3):
        live.stranger.get("/v2/", auth=(ada.name, f"wrong {number}"))
        ada.ask("GET", "/v2/")
    for typed in ("correct horse", "hunter2.horse"):  # into the field of the name
        live.stranger.get("/v2/", auth=(typed, "battery"))
    token = ada.make_token()
    live.stranger.get("/v2/", auth=("any", token["token"]))
    assert [each for each in told(live, before) if each[1].startswith("login")] == []

    live.run(diary.write, live.registry)

    rows = [each for each in since(live, before) if each["action"].startswith("login")]
    found = {(each["action"], each["actor"], each["via"], each["target"]) for each in rows}
    assert found == {
        ("login.failed", "", "", ada.name),
        ("login.failed", "", "", ""),
        ("login", ada.name, "password", ""),
        ("login", ada.name, f"token:{token['id']}", ""),
    }
    assert sorted(each["detail"].get("failed", 0) for each in rows) == [0, 0, 2, 3]
    assert "horse" not in json.dumps(rows)
    assert "battery" not in json.dumps(rows)


def test_what_gathered_is_written_when_the_server_ends(tmp_path):
    with running(tmp_path) as live:
        live.stranger.get("/v2/", auth=("admin", "wrong"))
    with running(tmp_path) as live:
        items = asked(live)["items"]

    assert [(each["action"], each["target"]) for each in items] == [("login.failed", "admin")]


def test_the_journal_is_bounded_by_its_settings(tmp_path):
    http = Http(listen="127.0.0.1:0", shutdown_seconds=2)
    kept = Journal(max_rows=5)
    settings = Settings(http=http, journal=kept, storage=Storage(data=str(tmp_path)))
    with running(tmp_path, settings) as live:
        image = live.image()
        for number in range(12):
            put(live, image, f"v{number}", document(live, image))

        rows = live.registry.store.read(lambda view: list(iter_entries(view)))
        assert [entry.target for _, entry in rows] == [f"{image}:v{n}" for n in range(11, 6, -1)]


def test_many_entries_are_looked_at_in_parts(live, monkeypatch):
    monkeypatch.setattr("frontend.management.journal.SCANNED", 3)
    image = live.image()
    for number in range(5):
        put(live, image, f"v{number}", document(live, image))

    page = asked(live, actor="nobody")

    assert page["items"] == []
    assert page["next"] == newest(live) - 2


def test_a_client_that_logs_in_for_good_is_told_of_with_its_token(live):
    ada = person(live)
    before = newest(live)

    query = {"offline_token": "true", "client_id": "docker", "service": "s"}
    answer = live.stranger.get("/v2/token", params=query, auth=ada.auth)

    (row,) = since(live, before)
    assert (row["action"], row["actor"], row["target"]) == ("token.create", ada.name, ada.name)
    assert row["detail"]["name"] == "login by docker"
    assert answer.json()["refresh_token"] not in json.dumps(row)


def test_what_comes_through_the_socket_is_told_to_come_from_there(tmp_path):
    with running(tmp_path) as live:
        way = httpx.HTTPTransport(uds=str(tmp_path / "run" / "admin.sock"))
        with httpx.Client(transport=way, base_url="http://local", trust_env=False) as local:
            assert local.post("/api/v1/storages", json={"name": "more"}).status_code == 201
        (row,) = asked(live)["items"]

    assert (row["actor"], row["via"], row["address"]) == ("admin", "socket", "local")
