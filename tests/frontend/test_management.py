"""The management API, over the wire."""

import errno
import time
from datetime import datetime

import httpx
import pytest

from frontend.local_client import CommandFailed, LocalClient
from frontend.settings import Http, Settings, Storage
from index.growth import Sample
from tests.frontend.live import PASSWORD, running


def problem(answer: httpx.Response) -> str:
    assert answer.headers["Content-Type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == answer.status_code
    return body["detail"]


def test_health_needs_no_credentials(live):
    assert live.stranger.get("/healthz").json() == {"status": "ok"}
    assert live.stranger.get("/readyz").json() == {"status": "ready"}


def test_who_is_ending_is_not_ready(live):
    live.registry.health.is_draining = True
    try:
        answer = live.stranger.get("/readyz")
    finally:
        live.registry.health.is_draining = False

    assert (answer.status_code, answer.json()) == (503, {"status": "draining"})


def test_who_waits_for_the_daemon_is_ready_for_pulls(live, monkeypatch):
    monkeypatch.setattr(live.registry.health, "can_write", lambda: False)

    answer = live.stranger.get("/readyz")

    assert answer.status_code == 200
    assert answer.json() == {"status": "ready", "writes": "waiting for the storage daemon"}


def test_who_has_no_room_is_not_ready_but_lets_pull(tmp_path):
    settings = Settings(
        http=Http(listen="127.0.0.1:0"),
        storage=Storage(data=str(tmp_path / "data"), min_free_bytes=1 << 60),
    )
    with running(tmp_path / "data", settings) as full:
        ready = full.stranger.get("/readyz")
        pushed = full.client.post(f"/v2/{full.image()}/blobs/uploads/")
        listed = full.client.get("/v2/_catalog")

    assert (ready.status_code, ready.json()) == (503, {"status": "full"})
    assert pushed.status_code == 507
    assert listed.status_code == 200


def test_a_repository_is_created_once_and_shown(live):
    body = {"storage": "local", "name": "made", "visibility": "public", "description": "d"}

    made = live.client.post("/api/v1/repositories", json=body)
    again = live.client.post("/api/v1/repositories", json=body)
    shown = live.client.get("/api/v1/repositories/local/made").json()

    assert (made.status_code, again.status_code) == (201, 409)
    assert "exists" in problem(again)
    assert {key: shown[key] for key in body} == body
    assert (shown["kind"], shown["images"], shown["size"]) == ("hosted", 0, 0)
    assert shown["created_at"].endswith("Z")


def test_a_repository_needs_its_storage(live):
    answer = live.client.post("/api/v1/repositories", json={"storage": "no", "name": "x"})

    assert answer.status_code == 404
    assert "no storage no" in problem(answer)


def test_a_storage_is_created_once_and_listed(live):
    answers = [live.client.post("/api/v1/storages", json={"name": "second"}) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [201, 409]
    names = [each["name"] for each in live.client.get("/api/v1/storages").json()["items"]]
    assert {"local", "second"} <= set(names)


@pytest.mark.parametrize("name", ["", "A", "a/b", "..", "a" * 300])
def test_a_bad_name_is_refused(live, name):
    for path, body in (
        ("/api/v1/storages", {"name": name}),
        ("/api/v1/repositories", {"storage": "local", "name": name}),
        ("/api/v1/repositories", {"storage": name, "name": "x"}),
    ):
        answer = live.client.post(path, json=body)
        assert answer.status_code == 400
        assert problem(answer)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"storage":1,"name":"x"}',
        b'{"storage":"local","name":"x","visibility":"secret"}',
        b'{"storage":"local","name":"x","colour":"red"}',
        b"[" * 60_000,
        b'{"storage":"local","name":"\xff"}',
    ],
)
def test_a_bad_body_is_400(live, content):
    answer = live.client.post("/api/v1/repositories", content=content)

    assert answer.status_code == 400
    assert problem(answer)


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_large_body_is_413(live, is_chunked):
    content = b" " * ((64 << 10) + 1)

    answer = live.client.post(
        "/api/v1/repositories", content=iter([content]) if is_chunked else content
    )

    assert answer.status_code == 413
    assert problem(answer)
    assert "manifest" not in answer.text


def test_lists_come_in_pages(live):
    for number in range(3):
        live.create_repository(f"local/page{number}")

    first = live.client.get("/api/v1/repositories", params={"per_page": 2}).json()
    second = live.client.get("/api/v1/repositories", params={"per_page": 2, "page": 2}).json()

    assert (first["page"], first["per_page"], len(first["items"])) == (1, 2, 2)
    assert first["total"] == second["total"] >= 4
    assert first["items"][0] not in second["items"]


@pytest.mark.parametrize(
    "query", ["page=0", "page=x", "per_page=-1", "per_page=", "page=1.5", "pages=1"]
)
def test_a_bad_page_is_400(live, query):
    assert live.client.get(f"/api/v1/repositories?{query}").status_code == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/storages"),
        ("POST", "/api/v1/storages"),
        ("POST", "/api/v1/repositories"),
        ("GET", "/api/v1/repositories/local/images"),
        ("GET", "/api/v1/stats"),
        ("POST", "/api/v1/fsck"),
        ("GET", "/api/v1/scrub"),
        ("POST", "/api/v1/scrub"),
    ],
)
def test_the_anonymous_and_registry_tokens_are_kept_out(live, method, path):
    token = live.client.get("/v2/token").json()["token"]

    anonymous = live.stranger.request(method, path)
    wrong = live.stranger.request(method, path, auth=("admin", "wrong"))
    with_token = live.stranger.request(method, path, headers={"Authorization": f"Bearer {token}"})

    assert (anonymous.status_code, wrong.status_code, with_token.status_code) == (401, 401, 403)
    assert "WWW-Authenticate" in anonymous.headers
    assert problem(with_token)


@pytest.mark.parametrize(
    "path", ["/nothing", "/api/v1/nothing", "/api/v1/repositories/local", "/x//y"]
)
def test_what_is_not_there_is_404(live, path):
    answer = live.client.get(path)

    assert answer.status_code == 404
    assert problem(answer)


def test_a_method_that_a_path_does_not_have_is_405(live):
    answer = live.client.delete("/api/v1/stats")

    assert answer.status_code == 405
    assert "GET" in answer.headers["Allow"]


def test_statistics_count_what_was_pushed(live):
    before = live.client.get("/api/v1/stats").json()
    live.push(live.image(), b"counted once" * 100)

    after = live.client.get("/api/v1/stats").json()

    assert after["logical"] - before["logical"] == 1200
    assert after["dedup_ratio"] > 0


def test_growth_is_told_the_oldest_first(tmp_path):
    hour, now = 3_600_000, time.time_ns() // 1_000_000
    ago = [now - number * hour for number in (2, 1)]
    with running(tmp_path) as live:
        assert live.client.get("/api/v1/stats/growth").json() == {"growth": []}
        live.note_growth(Sample(ago[1], 1 << 60, 7, 0), Sample(ago[0], 5, 4, 3))

        found = live.client.get("/api/v1/stats/growth").json()["growth"]

    assert [[each[name] for name in ("logical", "stored", "disk")] for each in found] == [
        [5, 4, 3],
        [1 << 60, 7, 0],
    ]
    at = [datetime.fromisoformat(each["at"]).timestamp() * 1000 for each in found]
    assert at == pytest.approx(ago, abs=1)


def test_fsck_finds_no_drift(live):
    assert live.client.post("/api/v1/fsck").json()["drift"] == []


def test_the_admin_socket_needs_no_password(live):
    found = LocalClient(live.server.data).call("GET", "/api/v1/repositories")

    assert found["total"] >= 1


def test_the_admin_socket_is_for_its_owner_alone(live):
    assert (live.server.data / "run").stat().st_mode & 0o777 == 0o700


def test_the_admin_socket_refuses_with_the_servers_words(live):
    with pytest.raises(CommandFailed, match="no storage nowhere"):
        LocalClient(live.server.data).call(
            "POST", "/api/v1/repositories", {"storage": "nowhere", "name": "x"}
        )


@pytest.mark.parametrize("is_left_over", [False, True])
def test_where_no_server_runs_the_message_says_how_to_start_one(tmp_path, is_left_over):
    (tmp_path / "run").mkdir()
    if is_left_over:
        (tmp_path / "run" / "admin.sock").touch()

    with pytest.raises(CommandFailed, match="orlop serve --data"):
        LocalClient(tmp_path).call("GET", "/api/v1/stats")


def test_a_client_cannot_claim_to_be_on_the_admin_socket(live):
    answer = live.stranger.get("/api/v1/stats", headers={"orlop.local": "1", "X-Orlop-Local": "1"})

    assert answer.status_code == 401


def test_no_password_is_in_any_answer(live):
    for path in ("/api/v1/repositories", "/api/v1/stats", "/api/v1/storages"):
        assert PASSWORD not in live.client.get(path).text


@pytest.mark.parametrize(
    ("method", "path", "part"),
    [("GET", "/api/v1/stats", "cas.stats.stats"), ("POST", "/api/v1/fsck", "cas.checks.fsck.run")],
)
def test_too_many_open_files_are_503(live, monkeypatch, method, path, part):
    def fail(*_, **__):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(part, fail)

    answer = live.client.request(method, path)

    assert answer.status_code == 503
    assert problem(answer)
    assert "Retry-After" in answer.headers
