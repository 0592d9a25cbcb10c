"""Pushing blobs over the wire: every must of the specification's "Push" for blobs."""

import hashlib
from functools import partial

import pytest

from tests.cas.pushing import OWNER
from tests.frontend.live import OCTETS, codes, digest_of

LARGE = bytes(range(256)) * 1024  # 256 KiB: beyond what is put straight into the index
UNKNOWN = digest_of(b"never pushed")


def test_a_post_begins_a_session_with_a_relative_location(live):
    image = live.image()

    answer = live.client.post(f"/v2/{image}/blobs/uploads/", headers={"Content-Length": "0"})

    assert answer.status_code == 202
    assert answer.headers["Location"].startswith(f"/v2/{image}/blobs/uploads/")
    assert answer.headers["Range"] == "0-0"
    assert answer.headers["Content-Length"] == "0"
    assert answer.headers["Location"].endswith(answer.headers["Docker-Upload-UUID"])


def test_the_trailing_slash_of_uploads_is_optional(live):
    assert live.client.post(f"/v2/{live.image()}/blobs/uploads").status_code == 202


@pytest.mark.parametrize("content", [b"", b"{}", b"x" * 65536, b"x" * 65537, LARGE])
def test_one_post_with_digest_and_body_is_a_whole_push(live, content):
    image = live.image()
    digest = digest_of(content)

    answer = live.client.post(
        f"/v2/{image}/blobs/uploads/", params={"digest": digest}, content=content, headers=OCTETS
    )

    assert answer.status_code == 201
    assert answer.headers["Docker-Content-Digest"] == digest
    assert live.client.get(answer.headers["Location"]).content == content


@pytest.mark.parametrize("content", [b"", b"{}", LARGE])
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_post_then_put_is_a_push_in_every_supported_algorithm(live, content, algorithm):
    image = live.image()
    digest = digest_of(content, algorithm)

    answer = live.client.put(live.begin(image), params={"digest": digest}, content=content)

    assert answer.status_code == 201
    assert answer.headers["Docker-Content-Digest"] == digest
    assert live.client.get(answer.headers["Location"]).content == content


def test_digest_algorithm_chooses_the_hash_up_front(live):
    image = live.image()
    location = live.begin(image, **{"digest-algorithm": "sha512"})
    live.client.patch(location, content=LARGE)

    answer = live.client.put(location, params={"digest": digest_of(LARGE, "sha512")})

    assert answer.status_code == 201


def test_an_unsupported_digest_algorithm_is_refused(live):
    answer = live.client.post(
        f"/v2/{live.image()}/blobs/uploads/", params={"digest-algorithm": "md5"}
    )

    assert (answer.status_code, codes(answer)) == (400, ["DIGEST_INVALID"])


def test_chunks_with_content_range_add_up(live):
    image = live.image()
    location = live.begin(image)

    for start in range(0, len(LARGE), 100_000):
        chunk = LARGE[start : start + 100_000]
        answer = live.client.patch(
            location,
            content=chunk,
            headers={"Content-Range": f"{start}-{start + len(chunk) - 1}", **OCTETS},
        )
        assert answer.status_code == 202
        assert answer.headers["Range"] == f"0-{start + len(chunk) - 1}"
        location = answer.headers["Location"]
    answer = live.client.put(location, params={"digest": digest_of(LARGE)})

    assert answer.status_code == 201
    assert live.client.get(answer.headers["Location"]).content == LARGE


def test_the_last_chunk_may_come_with_the_put(live):
    location = live.begin(live.image())
    live.client.patch(location, content=LARGE[:70_000])

    answer = live.client.put(
        location,
        params={"digest": digest_of(LARGE)},
        content=LARGE[70_000:],
        headers={"Content-Range": f"70000-{len(LARGE) - 1}"},
    )

    assert answer.status_code == 201
    assert live.client.get(answer.headers["Location"]).content == LARGE


def test_a_stream_without_length_or_range_is_appended(live):
    location = live.begin(live.image())

    first = live.client.patch(location, content=iter([LARGE[:1000], LARGE[1000:90_000]]))
    second = live.client.patch(location, content=iter([LARGE[90_000:]]))
    answer = live.client.put(location, params={"digest": digest_of(LARGE)})

    assert first.headers["Range"] == "0-89999"
    assert second.headers["Range"] == f"0-{len(LARGE) - 1}"
    assert answer.status_code == 201


@pytest.mark.parametrize("content_range", ["bytes 0-9", "bytes 0-9/*", "bytes=0-9/10"])
def test_other_spellings_of_content_range_are_tolerated(live, content_range):
    location = live.begin(live.image())

    answer = live.client.patch(
        location, content=b"0123456789", headers={"Content-Range": content_range}
    )

    assert answer.status_code == 202


@pytest.mark.parametrize("content_range", ["20-29", "0-9", "5-14", "11-20"])
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_a_chunk_out_of_order_is_416_and_says_where_to_go_on(live, method, content_range):
    location = live.begin(live.image())
    live.client.patch(location, content=b"0123456789", headers={"Content-Range": "0-9"})

    answer = live.client.request(
        method,
        location,
        params={"digest": digest_of(b"x" * 20)} if method == "PUT" else {},
        content=b"x" * 10,
        headers={"Content-Range": content_range},
    )

    assert (answer.status_code, codes(answer)) == (416, ["RANGE_INVALID"])
    assert answer.headers["Range"] == "0-9"
    assert answer.headers["Location"] == location
    assert live.client.get(location).headers["Range"] == "0-9"


def test_a_first_chunk_that_does_not_begin_at_zero_is_416(live):
    location = live.begin(live.image())

    answer = live.client.patch(location, content=b"abc", headers={"Content-Range": "3-5"})

    assert answer.status_code == 416
    assert answer.headers["Range"] == "0-0"


@pytest.mark.parametrize("content_range", ["x", "1-", "-1", "1", "0-9,20-29", "a-b"])
def test_a_content_range_that_is_none_is_400(live, content_range):
    location = live.begin(live.image())

    answer = live.client.patch(
        location, content=b"0123456789", headers={"Content-Range": content_range}
    )

    assert (answer.status_code, codes(answer)) == (400, ["BLOB_UPLOAD_INVALID"])


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_a_body_of_another_length_than_its_range_is_400(live, method):
    location = live.begin(live.image())

    answer = live.client.request(
        method,
        location,
        params={"digest": digest_of(b"abc")} if method == "PUT" else {},
        content=b"abc",
        headers={"Content-Range": "0-9"},
    )

    assert (answer.status_code, codes(answer)) == (400, ["SIZE_INVALID"])


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_session_tells_how_much_it_holds(live, method):
    location = live.begin(live.image())
    before = live.client.request(method, location)
    live.client.patch(location, content=b"0123456789")

    answer = live.client.request(method, location)

    assert (before.status_code, before.headers["Range"]) == (204, "0-0")
    assert (answer.status_code, answer.headers["Range"]) == (204, "0-9")
    assert answer.headers["Location"] == location
    assert answer.content == b""


def test_a_cancelled_session_is_gone(live):
    location = live.begin(live.image())
    live.client.patch(location, content=LARGE)

    answer = live.client.delete(location)

    assert (answer.status_code, answer.content) == (204, b"")
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        after = live.client.request(method, location, params={"digest": UNKNOWN})
        assert (after.status_code, codes(after)) == (404, ["BLOB_UPLOAD_UNKNOWN"])


@pytest.mark.parametrize("name", ["x", "0" * 64, "0" * 66, "..%2f..", "a" * 500, "%00"])
@pytest.mark.parametrize("method", ["GET", "PATCH", "PUT", "DELETE"])
def test_a_session_that_never_was_is_404(live, method, name):
    answer = live.client.request(
        method, f"/v2/{live.image()}/blobs/uploads/{name}", params={"digest": UNKNOWN}
    )

    assert (answer.status_code, codes(answer)) == (404, ["BLOB_UPLOAD_UNKNOWN"])


def test_a_session_belongs_to_its_image(live):
    location = live.begin(live.image())
    id_ = location.rpartition("/")[2]

    answer = live.client.get(f"/v2/{live.image()}/blobs/uploads/{id_}")

    assert answer.status_code == 404


@pytest.mark.parametrize(
    "digest",
    [
        None,
        "",
        "sha256:x",
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        "sha256:" + "A" * 64,
        "sha256:" + "a" * 63,
        "sha256:../" + "a" * 61,
        "sha256:baddigeststring",
        UNKNOWN,
    ],
)
@pytest.mark.parametrize("content", [b"abc", LARGE])
def test_a_bad_digest_is_400_and_ends_the_session(live, digest, content):
    image = live.image()
    location = live.begin(image)
    parameters = {} if digest is None else {"digest": digest}

    answer = live.client.put(location, params=parameters, content=content)

    assert (answer.status_code, codes(answer)) == (400, ["DIGEST_INVALID"])
    assert live.client.get(location).status_code == 404
    assert live.client.head(f"/v2/{image}/blobs/{digest_of(content)}").status_code == 404


@pytest.mark.parametrize("content", [b"abc", LARGE])
def test_a_whole_push_under_another_digest_is_400_and_keeps_nothing(live, content):
    image = live.image()
    staged = live.registry.store.read(lambda view: view.entries("work"))

    answer = live.client.post(
        f"/v2/{image}/blobs/uploads/", params={"digest": UNKNOWN}, content=content
    )

    assert (answer.status_code, codes(answer)) == (400, ["DIGEST_INVALID"])
    assert live.client.head(f"/v2/{image}/blobs/{digest_of(content)}").status_code == 404
    assert live.registry.store.read(lambda view: view.entries("work")) == staged


def test_two_sessions_of_one_digest_both_succeed_and_share_the_bytes(live):
    image, content = live.image(), hashlib.sha256(b"seed").digest() * 20_000
    digest = digest_of(content)
    locations = [live.begin(image), live.begin(image)]
    for location in locations:
        live.client.patch(location, content=content)
    before = live.client.get("/api/v1/stats").json()["stored"]

    answers = [live.client.put(place, params={"digest": digest}) for place in locations]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert live.client.get("/api/v1/stats").json()["stored"] - before <= len(content)


def test_a_mount_needs_no_bytes(live):
    source, image = live.image(), live.image()
    digest = live.push(source, LARGE)

    answer = live.client.post(
        f"/v2/{image}/blobs/uploads/", params={"mount": digest, "from": source}
    )

    assert answer.status_code == 201
    assert answer.headers["Docker-Content-Digest"] == digest
    assert answer.headers["Location"] == f"/v2/{image}/blobs/{digest}"
    assert live.client.get(answer.headers["Location"]).content == LARGE


def test_a_mount_without_from_finds_an_image_that_has_it(live):
    digest = live.push(live.image(), b"anonymous mount")
    image = live.image()

    answer = live.client.post(f"/v2/{image}/blobs/uploads/", params={"mount": digest})

    assert answer.status_code == 201
    assert live.client.get(f"/v2/{image}/blobs/{digest}").content == b"anonymous mount"


@pytest.mark.parametrize(
    "source", ["local/images/none", "no/such/repository", "BAD//NAME", "short", ""]
)
def test_what_cannot_be_mounted_becomes_an_upload(live, source):
    digest = live.push(live.image(), b"to be mounted")

    answer = live.client.post(
        f"/v2/{live.image()}/blobs/uploads/", params={"mount": digest, "from": source}
    )

    assert answer.status_code == 202
    assert live.client.get(answer.headers["Location"]).status_code == 204


def test_a_mount_of_what_nobody_has_becomes_an_upload(live):
    answer = live.client.post(f"/v2/{live.image()}/blobs/uploads/", params={"mount": UNKNOWN})

    assert answer.status_code == 202


def test_a_mount_of_no_digest_is_400(live):
    answer = live.client.post(f"/v2/{live.image()}/blobs/uploads/", params={"mount": "md5:00"})

    assert (answer.status_code, codes(answer)) == (400, ["DIGEST_INVALID"])


@pytest.mark.parametrize("name", ["no/such/image", "local/nothere/image"])
def test_a_push_to_a_missing_repository_names_the_command_that_creates_it(live, name):
    answer = live.client.post(f"/v2/{name}/blobs/uploads/")

    assert (answer.status_code, codes(answer)) == (404, ["NAME_UNKNOWN"])
    repository = "/".join(name.split("/")[:2])
    assert f"orlop repository create {repository}" in answer.json()["errors"][0]["message"]


def test_a_push_to_a_name_of_two_parts_is_404(live):
    answer = live.client.post("/v2/local/images/blobs/uploads/")

    assert (answer.status_code, codes(answer)) == (404, ["NAME_UNKNOWN"])


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_a_method_that_uploads_do_not_have_is_405(live, method):
    answer = live.client.request(method, f"/v2/{live.image()}/blobs/uploads/")

    assert (answer.status_code, codes(answer)) == (405, ["UNSUPPORTED"])
    assert answer.headers["Allow"] == "POST"


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "GET", "DELETE"])
def test_nothing_of_an_upload_is_for_the_anonymous(live, method):
    image = live.image("local/public")
    place = f"/v2/{image}/blobs/uploads/"
    if method != "POST":
        place = live.begin(image)

    answer = live.stranger.request(method, place, params={"digest": UNKNOWN}, content=b"x")

    assert (answer.status_code, codes(answer)) == (401, ["UNAUTHORIZED"])
    assert f'scope="repository:{image}:pull,push"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PATCH", "PUT", "DELETE"])
def test_what_a_proxy_fetches_is_reached_by_no_request(live, method):
    image = live.image()
    fetched, _ = live.run(partial(live.registry.store.stage, OWNER, key=digest_of(LARGE)))
    live.run(fetched.append, 0, LARGE)

    for name in (image, f"{image}/{digest_of(LARGE)}", ""):
        location = f"/v2/{name}/blobs/uploads/{fetched.id}"
        answer = live.client.request(
            method, location, params={"digest": digest_of(LARGE)}, headers=OCTETS
        )
        assert answer.status_code in (400, 404, 405)

    assert fetched.size == len(LARGE)
    assert live.run(partial(live.registry.store.stage, OWNER, key=digest_of(LARGE)))[1] is False
    live.run(fetched.cancel)
