"""Names, digests, tags and pages that are none: hardening §2, "Names and bodies"."""

import pytest

from tests.frontend.live import ADMIN, BASIC, codes, digest_of

GOOD = digest_of(b"x")


def get(live, raw_path: str) -> tuple[int, bytes]:
    """A GET of exactly this path: clients like httpx would tidy it up."""
    received = live.exchange(
        f"GET {raw_path} HTTP/1.1\r\nHost: evil\r\nAuthorization: {BASIC}\r\n"
        "Connection: close\r\n\r\n".encode("latin-1")
    )
    return int(received[9:12]), received


@pytest.mark.parametrize(
    "name",
    [
        "a/../b/c",
        "%2e%2e/a/b",
        "local/images/%2e%2e%2f%2e%2e%2fetc",
        "local//images/a",
        "/local/images/a",
        "local/images/a/",
        "Local/images/a",
        "local/images/A",
        "local/images/a%00b",
        "local/images/%ff",
        "local/images/" + "a" * 300,
        "local/images/a..b",
        "local/images/-a",
        "local/images/a_-b",
        "local/images/%C3%A9",
        "local\\images\\a",
    ],
)
@pytest.mark.parametrize("place", ["manifests/t", f"blobs/{GOOD}", "tags/list", "blobs/uploads/x"])
def test_a_name_that_is_none_is_refused(live, name, place):
    status, received = get(live, f"/v2/{name}/{place}")

    assert status in (400, 404)
    assert b"NAME_INVALID" in received or b"UNSUPPORTED" in received
    assert b"ocation: " not in received


@pytest.mark.parametrize("path", ["//v2/", "/v2//", "/../v2/", "/V2/", "/v2/../healthz", "//evil/"])
def test_an_untidy_path_is_answered_as_it_is_and_never_redirected(live, path):
    status, received = get(live, path)

    assert status == 404
    assert b"ocation: " not in received


@pytest.mark.parametrize("tag", ["x" * 129, "-x", ".x", "a%3Ab", "a+b", "%20", "a%2Fb"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_a_tag_that_is_none_is_400(live, method, tag):
    received = live.exchange(
        f"{method} /v2/local/images/x/manifests/{tag} HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: {BASIC}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
    )

    assert received.startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    "digest",
    [
        "sha256:" + "A" * 64,
        "sha256:" + "a" * 63,
        "sha256:" + "a" * 65,
        "sha256:..%2f" + "a" * 59,
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        "sha256:",
        ":",
        "sha512:" + "a" * 64,
        "sha256:baddigeststring",
    ],
)
@pytest.mark.parametrize("place", ["blobs", "manifests", "referrers"])
def test_a_digest_that_is_none_is_400(live, place, digest):
    answer = live.client.get(f"/v2/{live.image()}/{place}/{digest}")

    assert (answer.status_code, codes(answer)) == (400, ["DIGEST_INVALID"])


@pytest.mark.parametrize(
    "path", ["/v2/x", "/v2/x/y", "/v2/_oci", "/v2/a/b/c/d", "/v2/a/b/c/tags/x"]
)
def test_a_path_that_is_none_is_404(live, path):
    answer = live.client.get(path)

    assert answer.status_code == 404
    assert codes(answer)


@pytest.mark.parametrize(
    ("path", "method", "allowed"),
    [
        ("/v2/", "POST", "GET, HEAD"),
        ("/v2/_catalog", "DELETE", "GET, HEAD"),
        ("/v2/local/images/x/tags/list", "PUT", "GET, HEAD"),
        (f"/v2/local/images/x/blobs/{GOOD}", "PUT", "GET, HEAD, DELETE"),
        ("/v2/local/images/x/manifests/t", "PATCH", "GET, HEAD, PUT, DELETE"),
    ],
)
def test_a_method_that_a_path_does_not_have_is_405(live, path, method, allowed):
    answer = live.client.request(method, path)

    assert (answer.status_code, codes(answer)) == (405, ["UNSUPPORTED"])
    assert answer.headers["Allow"] == allowed


@pytest.mark.parametrize(
    ("number", "status", "tags"),
    [
        ("2147483647", 200, ["t"]),
        ("0", 200, []),
        ("1", 200, ["t"]),
        ("-1", 400, None),
        ("x", 400, 0),
    ],
)
def test_the_number_of_a_page_is_capped_and_checked(live, number, status, tags):
    image = live.image()
    content = b"any bytes"
    live.client.put(
        f"/v2/{image}/manifests/t", content=content, headers={"Content-Type": "text/plain"}
    )

    answer = live.client.get(f"/v2/{image}/tags/list", params={"n": number})

    assert answer.status_code == status
    if status == 200:
        assert answer.json()["tags"] == tags
    else:
        assert codes(answer) == ["PAGINATION_NUMBER_INVALID"]


def test_names_may_hold_the_words_of_the_api(live):
    image = "local/images/manifests/blobs/uploads/tags/list/referrers"
    digest = live.push(image, b"oddly named")

    assert live.client.get(f"/v2/{image}/blobs/{digest}").content == b"oddly named"
    assert live.client.get(f"/v2/{image}/blobs/{digest}".replace(":", "%3A")).status_code == 200


def test_every_answer_has_the_api_version(live):
    for path in ("/v2/", "/v2/token", "/v2/x", "/v2/local/images/none/tags/list"):
        for auth in (None, ADMIN):
            answer = live.stranger.get(path, auth=auth)
            assert answer.headers["Docker-Distribution-API-Version"] == "registry/2.0"
