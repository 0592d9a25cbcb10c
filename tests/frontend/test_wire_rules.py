"""A repository's rules over the wire: tags that never change, and a quota to the last byte."""

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from index.changes import DeleteRepository, PutRepository
from index.records import Repository
from tests.frontend.live import BASIC, codes, digest_of
from tests.frontend.test_wire_manifests import INDEX, descriptor, index, manifest, put

KIB = 1 << 10
MIB = 1 << 20


def set_rules(live, name, **settings):
    record = Repository(**settings)
    live.run(live.registry.store.commit, [PutRepository(name, record)])


def make(live, **settings):
    """An image with the empty config, in a repository of its own with these settings."""
    name = f"local/{live.image().rpartition('/')[2]}"
    set_rules(live, name, **settings)
    image = f"{name}/app"
    live.push(image, b"{}")
    return name, image


def linked(live, name):
    store = live.registry.store
    return store.read(lambda v: v.usage(v.repository(name).id).linked)


def tags(live, image):
    return live.client.get(f"/v2/{image}/tags/list").json()["tags"]


def pointed(live, image, tag):
    answer = live.client.head(f"/v2/{image}/manifests/{tag}")
    return answer.headers.get("Docker-Content-Digest")


def collect_later(live):
    """Collect when every grace and lease is over."""
    store = live.registry.store
    original, later = store.now, store.now() + 90_000
    store.now = lambda: later
    try:
        assert live.client.post("/api/v1/gc").status_code == 200
    finally:
        store.now = original


# --- tags ---


@pytest.fixture
def image(live):
    """An image whose version tags never change; `v1` is pushed."""
    _, image = make(live, immutable_tags=("v*", "release-?"))
    assert put(live, image, "v1", manifest()).status_code == 201
    return image


def refused(answer, image, tag, rule):
    assert (answer.status_code, codes(answer)) == (403, ["DENIED"])
    (error,) = answer.json()["errors"]
    assert error["detail"] == {"tag": tag, "rule": rule}
    assert f"tag {tag} of {image} is immutable, by rule {rule}" in error["message"]


def test_an_immutable_tag_is_pushed_once_and_again_with_the_same_bytes(live, image):
    other = manifest(annotations={"k": "v"})

    refused(put(live, image, "v1", other), image, "v1", "v*")

    assert pointed(live, image, "v1") == digest_of(manifest())
    assert live.client.head(f"/v2/{image}/manifests/{digest_of(other)}").status_code == 404
    assert put(live, image, "v1", manifest()).status_code == 201
    assert put(live, image, "v2", other).status_code == 201


def test_other_tags_move_as_ever(live, image):
    for number in range(2):
        assert put(live, image, "latest", manifest(annotations={"n": f"{number}"})).is_success
    assert live.client.delete(f"/v2/{image}/manifests/latest").status_code == 202


def test_tags_beside_a_digest_follow_the_rules_too_and_none_is_set_when_one_may_not(live, image):
    content = manifest(annotations={"k": "v"})
    reference = digest_of(content)

    answer = put(live, image, f"{reference}?tag=fresh&tag=v1&tag=v9", content)

    refused(answer, image, "v1", "v*")
    assert tags(live, image) == ["v1"]
    again = put(live, image, f"{digest_of(manifest())}?tag=v1&tag=release-1", manifest())
    assert again.status_code == 201


def test_an_immutable_tag_is_not_deleted_nor_what_it_points_at(live, image):
    digest = digest_of(manifest())

    refused(live.client.delete(f"/v2/{image}/manifests/v1"), image, "v1", "v*")
    refused(live.client.delete(f"/v2/{image}/manifests/{digest}"), image, "v1", "v*")

    assert pointed(live, image, "v1") == digest
    put(live, image, "latest", manifest())
    refused(live.client.delete(f"/v2/{image}/manifests/{digest}"), image, "v1", "v*")
    assert tags(live, image) == ["latest", "v1"]


def test_what_is_not_there_is_missing_whatever_the_rules(live, image):
    for reference in ("v7", digest_of(b"never")):
        assert live.client.delete(f"/v2/{image}/manifests/{reference}").status_code == 404


def test_packages_under_a_rule_are_rejected_with_it(live, image):
    repository, _, path = image.rpartition("/")
    put(live, image, "latest", manifest(annotations={"k": "v"}))
    items = [
        {"image": path, "tag": "v1"},
        {"image": path, "digest": digest_of(manifest())},
        {"image": path, "tag": "latest"},
        {"image": path, "tag": "v3"},
    ]

    answer = live.client.request(
        "DELETE", f"/api/v1/repositories/{repository}/packages", json={"items": items}
    ).json()

    assert answer["deleted"] == [items[2]]
    assert answer["missing"] == [items[3]]
    assert len(answer["rejected"]) == 2
    assert all("by rule v* of repository" in each["reason"] for each in answer["rejected"])
    assert tags(live, image) == ["v1"]


def test_a_package_that_goes_takes_no_immutable_tag_along(live, image):
    """Deleted with the index that needs it, a child stays while an immutable tag names it."""
    repository, _, path = image.rpartition("/")
    put(live, image, "all", index(manifest()), INDEX)

    items = [{"image": path, "tag": "all"}]
    live.client.request(
        "DELETE", f"/api/v1/repositories/{repository}/packages", json={"items": items}
    )
    collect_later(live)

    assert tags(live, image) == ["v1"]
    assert live.client.get(f"/v2/{image}/manifests/v1").content == manifest()


def test_of_many_pushes_at_once_of_one_immutable_tag_exactly_one_wins(live, image):
    contents = [manifest(annotations={"n": f"{number}"}) for number in range(16)]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda content: put(live, image, "v5", content), contents))

    won = [c for c, answer in zip(contents, answers, strict=True) if answer.status_code == 201]
    assert len(won) == 1
    assert pointed(live, image, "v5") == digest_of(won[0])
    assert {answer.status_code for answer in answers} == {201, 403}


def test_a_rule_that_comes_while_a_push_is_under_way_is_obeyed(live, image, monkeypatch):
    """The settings that were read are those that hold at the commit."""
    name = image.rpartition("/")[0]
    put(live, image, "x", manifest())
    store = live.registry.store
    commit = type(store).commit
    calls = []

    async def late(self, changes, expectations=()):
        calls.append(changes)
        if len(calls) == 1:
            await commit(self, [PutRepository(name, Repository(immutable_tags=("x",)))])
        return await commit(self, changes, expectations)

    monkeypatch.setattr(type(store), "commit", late)
    answer = put(live, image, "x", manifest(annotations={"k": "v"}))

    refused(answer, image, "x", "x")
    assert len(calls) == 2


def test_who_changes_the_rule_first_may_then_change_the_tag(live, image):
    set_rules(live, image.rpartition("/")[0])

    assert put(live, image, "v1", manifest(annotations={"k": "v"})).status_code == 201


# --- quota ---


def over(answer, name, quota, used, needed):
    assert (answer.status_code, codes(answer)) == (403, ["DENIED"])
    (error,) = answer.json()["errors"]
    assert error["detail"] == {"quota": quota, "used": used, "needed": needed}
    assert f"repository {name} holds" in error["message"]


@pytest.mark.parametrize("size", [1000, 64 * KIB, 300 * KIB])
def test_a_quota_is_filled_to_the_last_byte_and_no_further(live, size):
    content = bytes(size)
    name, image = make(live, quota_bytes=2 + size)

    live.push(image, content)
    assert linked(live, name) == 2 + size
    answer = live.client.post(
        f"/v2/{image}/blobs/uploads/", params={"digest": digest_of(b"x")}, content=b"x"
    )

    over(answer, name, 2 + size, 2 + size, 1)
    assert linked(live, name) == 2 + size
    live.push(image, content)  # what is there takes no room
    live.push(f"{name}/other", content)
    assert linked(live, name) == 2 + size


def test_a_manifest_counts_and_a_refused_one_changes_nothing(live):
    name, image = make(live, quota_bytes=2 + len(manifest()))

    assert put(live, image, "a", manifest()).status_code == 201
    over(put(live, image, "b", manifest(x=1)), name, 2 + len(manifest()), 2 + len(manifest()),
         len(manifest(x=1)))  # fmt: skip
    assert tags(live, image) == ["a"]
    assert put(live, image, "b", manifest()).status_code == 201


def test_a_mount_that_does_not_fit_is_refused_and_so_would_its_upload_be(live):
    _, source = make(live)
    digest = live.push(source, bytes(100 * KIB))
    name, image = make(live, quota_bytes=100 * KIB)
    mount = {"mount": digest, "from": source}

    over(live.client.post(f"/v2/{image}/blobs/uploads/", params=mount), name, 100 * KIB, 2,
         100 * KIB)  # fmt: skip

    set_rules(live, name, quota_bytes=100 * KIB + 2)
    assert live.client.post(f"/v2/{image}/blobs/uploads/", params=mount).status_code == 201
    assert linked(live, name) == 100 * KIB + 2


def expecting(live, method, path, size):
    """The status that a client gets that waits with its body until it is asked for it."""
    sent = (
        f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {BASIC}\r\n"
        f"Content-Length: {size}\r\nExpect: 100-continue\r\n\r\n"
    )
    with live.connect() as peer:
        peer.sendall(sent.encode())
        return peer.recv(12)[-3:]


def test_what_cannot_fit_is_refused_before_its_body_is_sent(live):
    name, image = make(live, quota_bytes=MIB)
    digest = digest_of(b"whatever")
    location = live.begin(image)
    fit, over_ = MIB - 2, MIB - 1

    for method, path in (
        ("POST", f"/v2/{image}/blobs/uploads/?digest={digest}"),
        ("PATCH", location),
        ("PUT", f"{location}?digest={digest}"),
    ):
        assert expecting(live, method, path, over_) == b"403"
        assert expecting(live, method, path, fit) == b"100"
    assert linked(live, name) == 2


def test_what_the_repository_links_already_is_not_refused_for_its_length(live):
    content = bytes(range(256)) * 4 * KIB
    name, image = make(live, quota_bytes=MIB + 2)
    digest = live.push(image, content)

    answer = live.client.post(
        f"/v2/{name}/another/blobs/uploads/", params={"digest": digest}, content=content
    )

    assert answer.status_code == 201
    assert expecting(live, "POST", f"/v2/{image}/blobs/uploads/?digest={digest}", MIB) == b"100"


def test_a_stream_of_unknown_length_ends_where_the_quota_does_and_its_session_stays(live):
    name, image = make(live, quota_bytes=5 * MIB)
    location = live.begin(image)

    answer = live.client.patch(location, content=(bytes(MIB) for _ in range(16)))

    assert (answer.status_code, codes(answer)) == (403, ["DENIED"])
    held = int(live.client.get(location).headers["Range"].partition("-")[2]) + 1
    assert 0 < held <= 5 * MIB
    set_rules(live, name, quota_bytes=20 * MIB)
    more = live.client.patch(location, content=bytes(16 * MIB - held))
    assert more.status_code == 202
    done = live.client.put(location, params={"digest": digest_of(bytes(16 * MIB))})
    assert done.status_code == 201


@pytest.mark.parametrize("size", [300 * KIB, 3 * MIB])
def test_a_commit_that_is_refused_leaves_nothing_and_its_session_goes_on(live, size):
    """The bytes came while there was room; somebody else was faster."""
    name, image = make(live, quota_bytes=size + 2)
    content = socket.gethostname().encode().ljust(size, b"\1")
    location = live.begin(image)
    assert live.client.patch(location, content=content).status_code == 202
    live.push(image, b"first")
    before = live.client.get("/api/v1/stats").json()

    answer = live.client.put(location, params={"digest": digest_of(content)})

    over(answer, name, size + 2, 2 + 5, size)
    after = live.client.get("/api/v1/stats").json()
    for figure in ("objects", "chunks", "extents", "logical", "stored"):
        assert after[figure] == before[figure]
    assert live.client.post("/api/v1/fsck").json()["drift"] == []
    set_rules(live, name, quota_bytes=2 * size)
    assert live.client.put(location, params={"digest": digest_of(content)}).status_code == 201
    assert linked(live, name) == 7 + size


def test_concurrent_pushes_share_what_is_left(live):
    name, image = make(live, quota_bytes=2 + 5 * 1000)
    contents = [b"%04d" % number * 250 for number in range(12)]

    def push(content):
        path = f"/v2/{image}/blobs/uploads/"
        return live.client.post(path, params={"digest": digest_of(content)}, content=content)

    with ThreadPoolExecutor(6) as pool:
        answers = [answer.status_code for answer in pool.map(push, contents)]

    assert (answers.count(201), answers.count(403)) == (5, 7)
    assert linked(live, name) == 2 + 5 * 1000


def test_what_is_deleted_makes_room(live):
    name, image = make(live, quota_bytes=2 + 1000)
    first = live.push(image, bytes(1000))
    path = f"/v2/{image}/blobs/uploads/"
    params = {"digest": digest_of(b"x" * 1000)}
    assert live.client.post(path, params=params, content=b"x" * 1000).status_code == 403

    live.client.delete(f"/v2/{image}/blobs/{first}")

    assert live.client.post(path, params=params, content=b"x" * 1000).status_code == 201
    assert linked(live, name) == 2 + 1000


def test_over_a_lowered_quota_pulls_deletes_and_tags_go_on(live):
    name, image = make(live)
    put(live, image, "a", manifest(layers=[descriptor(b"{}")]))
    set_rules(live, name, quota_bytes=1)

    assert put(live, image, "b", manifest(layers=[descriptor(b"{}")])).status_code == 201
    assert live.client.get(f"/v2/{image}/manifests/b").status_code == 200
    assert live.client.delete(f"/v2/{image}/manifests/a").status_code == 202
    assert put(live, image, "c", manifest()).status_code == 403


def test_nobody_learns_of_a_quota_without_the_right_to_push(live):
    _, image = make(live, quota_bytes=1 * KIB, visibility="public")
    path = f"/v2/{image}/blobs/uploads/"

    answer = live.stranger.post(path, params={"digest": digest_of(b"")}, content=bytes(9 * KIB))

    assert answer.status_code == 401
    assert "quota" not in answer.text


# --- deletion ---


def test_a_deleted_repository_answers_as_a_missing_one_in_the_same_moment(live):
    name, image = make(live)
    put(live, image, "v1", manifest())
    location = live.begin(image)

    live.run(live.registry.store.commit, [DeleteRepository(name)])

    for method, path in (
        ("GET", f"/v2/{image}/manifests/v1"),
        ("HEAD", f"/v2/{image}/blobs/{digest_of(b'{}')}"),
        ("GET", f"/v2/{image}/tags/list"),
        ("PUT", f"/v2/{image}/manifests/v1"),
        ("PATCH", location),
        ("GET", f"/api/v1/repositories/{name}"),
    ):
        assert live.client.request(method, path).status_code == 404
    assert image not in live.client.get("/v2/_catalog?n=1000").json()["repositories"]
    set_rules(live, name)
    assert live.client.get(f"/v2/{image}/manifests/v1").status_code == 404
    live.push(image, b"again")
    assert live.client.post("/api/v1/fsck").json()["drift"] == []
