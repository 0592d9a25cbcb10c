"""What is damaged is as good as unknown, to every way of asking, until every way of pushing."""

import json

import httpx
import pytest

from frontend.domain.manifests import OCI_MANIFEST
from tests.frontend.live import OCTETS, codes, digest_of, wait_until
from tests.frontend.spoiling import (
    KIB,
    blob_path,
    document,
    layer,
    put,
    scrub,
    serving_spoilt,
    spoil,
    spoil_in_index,
    status,
)


@pytest.fixture
def server(tmp_path):
    with serving_spoilt(tmp_path / "data") as live:
        yield live


def message(answer: httpx.Response) -> str:
    return answer.json()["errors"][0]["message"]


def push_post(server, image: str, content: bytes, digest: str) -> httpx.Response:
    """One POST."""
    place = f"/v2/{image}/blobs/uploads/"
    return server.client.post(place, params={"digest": digest}, content=content)


def push_put(server, image: str, content: bytes, digest: str) -> httpx.Response:
    """A POST, and a PUT with all of it."""
    place = server.begin(image)
    return server.client.put(place, params={"digest": digest}, content=content, headers=OCTETS)


def push_parts(server, image: str, content: bytes, digest: str) -> httpx.Response:
    """A POST, two PATCHes, and a PUT without a body."""
    place, middle = server.begin(image), len(content) // 3
    for part in (content[:middle], content[middle:]):
        answer = server.client.patch(place, content=part, headers=OCTETS)
        assert answer.status_code == 202
        place = answer.headers["Location"]
    return server.client.put(place, params={"digest": digest})


PUSHES = [push_post, push_put, push_parts]


# --- asking ---


def test_every_question_about_a_hurt_blob_is_answered_as_if_it_were_not_there(server):
    image, content, other = server.image(), layer(), layer()
    server.push(image, content)
    server.push(image, other)
    path = f"/v2/{blob_path(image, content)}"
    spoil(server, content)
    with pytest.raises(httpx.RemoteProtocolError):
        server.client.get(path)
    wait_until(lambda: server.client.head(path).status_code == 404)

    asked = [{}, {"Range": "bytes=0-9"}, {"If-None-Match": "*"}, {"If-Range": '"x"'}]
    answers = [server.client.get(path, headers=headers) for headers in (*asked, *asked)]

    assert [codes(answer) for answer in answers] == [["BLOB_UNKNOWN"]] * 8
    assert {answer.status_code for answer in answers} == {404}
    assert {message(answer) for answer in answers} == {
        f"blob {digest_of(content)} of image {image} was damaged on this registry's disk: "
        "push it again"
    }
    for headers in asked:
        head = server.client.head(path, headers=headers)
        assert (head.status_code, head.content) == (404, b"")
        assert head.headers["Content-Length"] == answers[0].headers["Content-Length"]
    assert server.client.get(f"/v2/{blob_path(image, other)}").content == other  # in the same pack


def test_damage_tells_nobody_what_others_have(server):
    """An image without the link reads of a digest that is nowhere, damaged or not."""
    server.create_repository("local/public", "public")
    image, public, content = server.image(), server.image("local/public"), layer()
    server.push(image, content)
    server.push(public, b"something")
    spoil(server, content)
    scrub(server)

    path, absent = f"/v2/{blob_path(public, content)}", f"/v2/{blob_path(public, b'absent')}"
    hurt, missing = server.stranger.get(path), server.stranger.get(absent)

    assert (hurt.status_code, missing.status_code) == (404, 404)
    assert hurt.text.replace(digest_of(content), "?") == missing.text.replace(
        digest_of(b"absent"), "?"
    )
    assert server.stranger.get(f"/v2/{blob_path(image, content)}").status_code == 401


def test_what_is_hurt_can_be_deleted(server):
    image, content = server.image(), layer()
    server.push(image, content)
    spoil(server, content)
    assert scrub(server)["standing"] == 1

    assert status(server, "DELETE", blob_path(image, content)) == 202

    answer = server.client.get(f"/v2/{blob_path(image, content)}")
    assert answer.status_code == 404
    assert "damaged" not in answer.text
    assert server.client.post("/api/v1/gc").status_code == 200
    assert scrub(server)["standing"] == 0
    assert server.client.post("/api/v1/fsck").json()["drift"] == []


# --- pushing ---


@pytest.mark.parametrize("push", PUSHES)
def test_every_way_to_push_it_again_mends_it_for_everybody(server, push):
    one, other, third = server.image(), server.image(), server.image()
    content = layer()
    sibling = content[: 200 * KIB] + layer(90 * KIB)
    server.push(one, content)
    server.push(other, content)
    server.push(third, sibling)
    spoil(server, content, 50 * KIB)
    places = [(one, content), (other, content), (third, sibling)]
    scrub(server)
    assert [status(server, "GET", blob_path(*each)) for each in places] == [404] * 3

    answer = push(server, other, content, digest_of(content))

    assert answer.status_code == 201, answer.text
    assert status(server, "HEAD", blob_path(one, content)) == 200
    wait_until(lambda: status(server, "HEAD", blob_path(third, sibling)) == 200)  # by itself
    for image, pushed in places:
        assert server.client.get(f"/v2/{blob_path(image, pushed)}").content == pushed
    mount = {"mount": digest_of(content), "from": one}
    assert server.client.post(f"/v2/{third}/blobs/uploads/", params=mount).status_code == 201
    state = server.client.get("/api/v1/scrub").json()
    assert state["damaged"] == []
    assert server.client.post("/api/v1/fsck").json()["drift"] == []


@pytest.mark.parametrize("push", PUSHES)
def test_so_it_is_with_a_small_one_that_lives_in_the_index(server, push):
    image, content = server.image(), layer(900)
    server.push(image, content)
    path = f"/v2/{blob_path(image, content)}"
    spoil_in_index(server, content)
    assert scrub(server)["standing"] == 1
    refused = server.client.get(path)

    answer = push(server, image, content, digest_of(content))

    assert (refused.status_code, codes(refused)) == (404, ["BLOB_UNKNOWN"])
    assert answer.status_code == 201
    assert server.client.get(path).content == content
    assert scrub(server)["standing"] == 0


@pytest.mark.parametrize("push", PUSHES)
def test_wrong_bytes_are_refused_and_change_nothing(server, push):
    image, content = server.image(), layer()
    server.push(image, content)
    path = f"/v2/{blob_path(image, content)}"
    spoil(server, content)
    scrub(server)
    wrong = content[:-1] + bytes((content[-1] ^ 1,))

    answer = push(server, image, wrong, digest_of(content))

    assert (answer.status_code, codes(answer)) == (400, ["DIGEST_INVALID"])
    assert server.client.get(path).status_code == 404
    assert scrub(server)["standing"] == 1


# --- manifests ---


def references(content: bytes) -> list[str]:
    return ["latest", digest_of(content)]


@pytest.mark.parametrize("by", [0, 1], ids=["tag", "digest"])
def test_a_damaged_manifest_is_unknown_by_tag_and_digest_until_it_is_put_again(server, by):
    image, config = server.image(), layer(100)
    content = document(config)
    server.push(image, config)
    assert put(server, image, content).status_code == 201
    paths = [f"/v2/{image}/manifests/{each}" for each in references(content)]
    spoil_in_index(server, content)
    assert scrub(server)["found"] == 1

    for path in paths:
        for headers in ({}, {"If-None-Match": "*"}):
            answer = server.client.get(path, headers=headers)
            assert (answer.status_code, codes(answer)) == (404, ["MANIFEST_UNKNOWN"])
            assert "push it again" in message(answer)
            assert server.client.head(path, headers=headers).status_code == 404
    assert put(server, image, content, references(content)[by]).status_code == 201

    for path in paths:
        answer = server.client.get(path)
        assert (answer.status_code, answer.content) == (200, content)
        assert answer.headers["Content-Type"] == OCI_MANIFEST
        assert server.client.head(path).status_code == 200
    assert scrub(server)["standing"] == 0
    assert server.client.post("/api/v1/fsck").json()["drift"] == []


def large_document() -> bytes:
    """Of more bytes than a blob in the index may have."""
    return json.dumps(
        {"schemaVersion": 2, "mediaType": "a/b", "annotations": {"a": layer(60_000).hex()}}
    ).encode()


def test_a_large_manifest_in_a_pack_is_cut_short_then_unknown_then_put_again(server):
    image, content = server.image(), large_document()
    server.push(image, content)
    assert put(server, image, content).status_code == 201
    path = f"/v2/{image}/manifests/latest"
    spoil(server, content, 50_000)

    with pytest.raises(httpx.RemoteProtocolError):
        server.client.get(path)
    wait_until(lambda: server.client.head(path).status_code == 404)
    refused = [server.client.get(f"/v2/{image}/manifests/{each}") for each in references(content)]
    again = put(server, image, content)

    assert [codes(answer) for answer in refused] == [["MANIFEST_UNKNOWN"]] * 2
    assert again.status_code == 201
    assert server.client.get(path).content == content
    assert server.client.get(f"/v2/{blob_path(image, content)}").content == content
    assert scrub(server)["standing"] == 0


@pytest.mark.parametrize("push", PUSHES)
def test_a_large_manifest_in_the_index_is_mended_by_whoever_pushes_it_as_a_blob(server, push):
    image, content = server.image(), large_document()
    assert put(server, image, content).status_code == 201
    spoil_in_index(server, content)
    assert scrub(server)["standing"] == 1

    assert push(server, image, content, digest_of(content)).status_code == 201

    for path in (f"/v2/{image}/manifests/latest", f"/v2/{blob_path(image, content)}"):
        assert server.client.get(path).content == content
    assert scrub(server)["standing"] == 0
    assert server.client.post("/api/v1/fsck").json()["drift"] == []


def test_a_refused_manifest_names_all_that_is_to_be_pushed_and_nothing_of_others(server):
    """What is damaged here, what is not here; what others have is not here, be it damaged too."""
    image, private = server.image(), server.image()
    mine, sound, theirs, absent = layer(), layer(), layer(), layer()
    for blob in (mine, sound):
        server.push(image, blob)
    server.push(private, theirs)
    for blob in (mine, theirs):
        spoil(server, blob)
    scrub(server)

    def refused(*blobs: bytes) -> list[str]:
        answer = put(server, image, document(*blobs))
        assert (answer.status_code, set(codes(answer))) == (400, {"MANIFEST_BLOB_UNKNOWN"})
        return [each["detail"]["digest"] for each in answer.json()["errors"]]

    assert refused(theirs, absent) == list(map(digest_of, (theirs, absent)))
    assert refused(sound, theirs) == [digest_of(theirs)]
    assert refused(absent, mine, sound, theirs) == list(map(digest_of, (absent, mine, theirs)))
