"""Deleting and collecting over the wire: what a person deletes goes, and nothing that is needed."""

import json
import secrets
import time

import pytest

from cas.digest import Digest
from frontend.domain.manifests import OCI_INDEX, OCI_MANIFEST
from frontend.settings import Gc, Http, Settings, Storage
from tests.frontend.live import digest_of, running

HOUR = 3600
KIB = 1 << 10
PACKAGES = "/api/v1/repositories/local/images/packages"


@pytest.fixture(params=[0, HOUR], ids=["no grace", "grace = lease"])
def server(request, tmp_path):
    yield from _serving(tmp_path, grace=request.param, lease=HOUR)


@pytest.fixture
def prompt(tmp_path):
    """A server that keeps nothing for a while."""
    yield from _serving(tmp_path, grace=0, lease=0)


def _serving(folder, *, grace, lease):
    settings = Settings(
        http=Http(listen="127.0.0.1:0", shutdown_seconds=2),
        gc=Gc(grace_seconds=grace, lease_seconds=lease, interval_seconds=0),
        storage=Storage(data=str(folder / "data")),
    )
    with running(folder / "data", settings) as live:
        yield live


def layer(size: int = 200 * KIB) -> bytes:
    return secrets.token_bytes(size)


def descriptor(content: bytes, media_type: str = "application/octet-stream") -> dict:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


def manifest_of(*blobs: bytes, subject: bytes | None = None) -> bytes:
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": "a/b",
        "config": descriptor(blobs[0]),
        "layers": [descriptor(each) for each in blobs[1:]],
    }
    if subject is not None:
        document["subject"] = descriptor(subject, OCI_MANIFEST)
    return json.dumps(document).encode()


def index_of(*manifests: bytes) -> bytes:
    children = [descriptor(each, OCI_MANIFEST) for each in manifests]
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children}).encode()


def put(server, image: str, content: bytes, *references: str) -> int:
    """Push a manifest under tags, or under its digest; returns the status."""
    media_type = json.loads(content)["mediaType"]
    for reference in references or (digest_of(content),):
        answer = server.client.put(
            f"/v2/{image}/manifests/{reference}",
            content=content,
            headers={"Content-Type": media_type},
        )
    return answer.status_code


def push(server, image: str, blobs: tuple[bytes, ...], *tags: str, subject=None) -> bytes:
    """Push an image, all of it; returns its manifest."""
    for blob in blobs:
        server.push(image, blob)
    content = manifest_of(*blobs, subject=subject)
    assert put(server, image, content, *tags) == 201
    return content


def pulls(server, image: str, *contents: bytes) -> list[bool]:
    """Which of these manifests and blobs come as they were pushed."""
    found = []
    for content in contents:
        kind = "manifests" if content.startswith(b'{"schemaVersion"') else "blobs"
        answer = server.client.get(f"/v2/{image}/{kind}/{digest_of(content)}")
        assert answer.status_code in (200, 404)
        found.append(answer.status_code == 200)
        assert answer.status_code == 404 or answer.content == content
    return found


def collect(server) -> dict:
    answer = server.client.post("/api/v1/gc")
    assert answer.status_code == 200, answer.text
    return answer.json()


def delete(server, *items: dict) -> dict:
    answer = server.client.request("DELETE", PACKAGES, json={"items": list(items)})
    assert answer.status_code == 200, answer.text
    return answer.json()


def own(image: str) -> str:
    """An image's name within its repository."""
    return image.removeprefix("local/images/")


def pass_time(server, seconds: float) -> None:
    """The server's clocks are that much ahead from now on."""

    async def move() -> None:
        server.registry.store.now = lambda: time.time() + seconds
        object.__setattr__(server.registry.site, "now", lambda: int(time.time() + seconds))

    server.run(move)


# --- a HEAD that said 200 is a promise ---


def test_a_fresh_blob_that_a_head_found_can_be_used(server):
    image, blobs = server.image(), (b"{}", layer())
    for blob in blobs:
        server.push(image, blob)

    pass_time(server, HOUR - 300)
    for blob in blobs:
        assert server.client.head(f"/v2/{image}/blobs/{digest_of(blob)}").status_code == 200
    pass_time(server, HOUR + 1000)
    collect(server)

    content = manifest_of(*blobs)
    assert put(server, image, content, "v1") == 201
    assert pulls(server, image, content, *blobs) == [True] * 3


def test_so_can_one_whose_manifest_is_deleted_after_the_head(server):
    image, blobs = server.image(), (b"{}", layer())
    content = push(server, image, blobs, "v1")

    pass_time(server, 100 * HOUR)
    for blob in blobs:
        assert server.client.head(f"/v2/{image}/blobs/{digest_of(blob)}").status_code == 200
    path = f"/v2/{image}/manifests/{digest_of(content)}"
    assert server.client.delete(path).status_code == 202
    pass_time(server, 101 * HOUR - 300)
    collect(server)

    other = manifest_of(*blobs, blobs[0])
    assert put(server, image, other, "v2") == 201
    assert pulls(server, image, other, *blobs) == [True] * 3
    pass_time(server, 300 * HOUR)
    collect(server)
    assert pulls(server, image, other, *blobs) == [True] * 3


def test_without_a_head_it_goes_when_its_time_has_come(server):
    image, blob = server.image(), layer()
    server.push(image, blob)

    pass_time(server, HOUR - 300)
    collect(server)
    assert pulls(server, image, blob) == [True]
    pass_time(server, 2 * HOUR + 10)

    assert collect(server)["blobs"] == 1
    assert pulls(server, image, blob) == [False]


# --- packages ---


def test_of_two_tags_the_second_one_frees_what_only_they_had(prompt):
    image, other = prompt.image(), prompt.image()
    base, mine, theirs = layer(), layer(), layer()
    content = push(prompt, image, (b"{}", base, mine), "one", "two")
    kept = push(prompt, other, (b"{}", base, theirs), "one")
    signature = push(prompt, image, (b"{}", b"signature"), subject=content)
    both = push(prompt, image, (b"{}", b"both"), "tagged", subject=content)
    stored = prompt.client.get("/api/v1/stats").json()["stored"]

    first = delete(prompt, {"image": own(image), "tag": "one"})
    assert (first["missing"], first["rejected"]) == ([], [])
    nothing = collect(prompt)
    assert [nothing[name] for name in ("manifests", "blobs", "chunks", "bytes_freed")] == [0] * 4
    assert all(pulls(prompt, image, content, base, mine, signature, both))

    delete(prompt, {"image": own(image), "tag": "two"})
    freed = collect(prompt)
    assert (freed["manifests"], freed["blobs"]) == (2, 2)  # it and its signature; mine, "signature"
    assert len(mine) <= freed["bytes_freed"] <= len(mine) + 8 * KIB
    left = prompt.client.get("/api/v1/stats").json()["stored"]
    assert stored - left == len(mine) + len(b"signature") + len(content) + len(signature)
    assert pulls(prompt, image, content, mine, signature, both) == [False, False, False, True]
    assert all(pulls(prompt, other, kept, base, theirs))
    assert prompt.client.post("/api/v1/fsck").json()["drift"] == []


def test_an_index_keeps_its_children_and_takes_them_along(prompt):
    image = prompt.image()
    blobs = [(b"{}", layer()) for _ in range(3)]
    children = [push(prompt, image, each) for each in blobs]
    tagged = children[0]
    assert put(prompt, image, tagged, "amd64") == 201
    index = index_of(*children[:2])
    other = index_of(*children[1:])
    assert put(prompt, image, index, "v1") == 201
    assert put(prompt, image, other, "v2") == 201

    delete(prompt, {"image": own(image), "tag": "amd64"})
    assert collect(prompt)["manifests"] == 0
    assert all(pulls(prompt, image, index, other, *children))

    delete(prompt, {"image": own(image), "tag": "v1"})
    assert collect(prompt)["manifests"] == 2
    assert pulls(prompt, image, index, *children) == [False, False, True, True]
    assert all(pulls(prompt, image, other, *blobs[1], *blobs[2]))

    delete(prompt, {"image": own(image), "tag": "v2"})
    assert collect(prompt)["manifests"] == 3
    assert prompt.client.get("/api/v1/stats").json()["objects"] == 0
    assert prompt.client.post("/api/v1/fsck").json()["drift"] == []


def test_a_wide_index_goes_in_bounded_steps(prompt):
    image = prompt.image()
    shared = [layer(70 * KIB) for _ in range(12)]
    for blob in shared:
        prompt.push(image, blob)
    children = []
    for number in range(60):
        config = b'{"n":%d}' % number
        prompt.push(image, config)
        content = manifest_of(config, *shared)
        assert put(prompt, image, content) == 201
        children.append(content)
    assert put(prompt, image, index_of(*children), "v1") == 201

    delete(prompt, {"image": own(image), "tag": "v1"})
    report = collect(prompt)

    assert report["manifests"] == 61
    assert report["most_rows"] <= 512
    assert prompt.client.get("/api/v1/stats").json()["objects"] == 0
    assert prompt.client.post("/api/v1/fsck").json()["drift"] == []


def test_a_delete_of_the_registry_leaves_referrers_and_children(prompt):
    image = prompt.image()
    content = push(prompt, image, (b"{}", layer()))
    signature = push(prompt, image, (b"{}", b"signature"), subject=content)
    index = index_of(content)
    assert put(prompt, image, index, "v1") == 201

    assert prompt.client.delete(f"/v2/{image}/manifests/{digest_of(index)}").status_code == 202
    collect(prompt)

    assert pulls(prompt, image, index, content, signature) == [False, True, True]


def test_each_package_has_its_own_outcome(prompt):
    image = prompt.image()
    child = push(prompt, image, (b"{}", layer()), "child")
    untagged = push(prompt, image, (b"{}", b"x"))
    assert put(prompt, image, index_of(child), "v1") == 201
    name = own(image)
    wanted = [
        {"image": name, "digest": digest_of(child)},
        {"image": name, "digest": digest_of(untagged)},
        {"image": name, "tag": "absent"},
        {"image": "no-such-image", "tag": "v1"},
        {"image": name, "digest": digest_of(b"absent")},
        {"image": name, "digest": "sha256:beef"},
        {"image": name, "tag": "!"},
        {"image": "UPPER", "tag": "v1"},
        {"image": name},
        {"image": name, "tag": "v1", "digest": digest_of(child)},
    ]

    found = delete(prompt, *wanted)

    assert found["deleted"] == [wanted[1]]
    key = repr
    assert sorted(found["missing"], key=key) == sorted(wanted[2:5], key=key)
    reasons = {each.pop("reason") for each in found["rejected"]}
    assert sorted(found["rejected"], key=key) == sorted([wanted[0], *wanted[5:]], key=key)
    assert len(reasons) == 5
    assert any("index" in reason for reason in reasons)


def test_only_who_may_deletes(live):
    body = {"items": []}

    assert live.stranger.request("DELETE", PACKAGES, json=body).status_code == 401
    missing = live.client.request("DELETE", "/api/v1/repositories/local/absent/packages", json=body)
    assert missing.status_code == 404
    assert live.client.request("DELETE", PACKAGES, json={"item": []}).status_code == 400


# --- the API of collection ---


def test_collections_are_for_administrators(live):
    assert live.stranger.post("/api/v1/gc").status_code == 401
    assert live.stranger.get("/api/v1/gc").status_code == 401
    assert live.client.post("/api/v1/gc", json={"dry": True}).status_code == 400


def test_a_dry_run_says_what_and_why(prompt):
    image, blob = prompt.image(), layer()
    prompt.push(image, blob)

    would = prompt.client.post("/api/v1/gc", json={"dry_run": True}).json()

    assert pulls(prompt, image, blob) == [True]
    assert (would["blobs"], would["links"]) == (1, 1)
    names = {each["name"] for each in would["due"]}
    assert {f"{image}@{digest_of(blob)}", str(Digest.parse(digest_of(blob)))} <= names
    assert prompt.client.get("/api/v1/gc").json() == {"is_running": False, "runs": []}


def test_who_wants_hears_how_far_it_is_and_runs_are_kept(prompt):
    image, blob = prompt.image(), layer()
    prompt.push(image, blob)

    answer = prompt.client.post("/api/v1/gc", headers={"Accept": "application/x-ndjson"})

    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert list(lines[-1]) == ["report"]
    assert {"progress"} == {name for line in lines[:-1] for name in line}
    assert lines[-1]["report"]["blobs"] == 1
    state = prompt.client.get("/api/v1/gc").json()
    assert state["is_running"] is False
    assert [run["blobs"] for run in state["runs"]] == [1]
    assert state["runs"][0]["began_at"] <= state["runs"][0]["ended_at"]
