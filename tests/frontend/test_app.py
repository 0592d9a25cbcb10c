"""The application alone: all of `/v2/` works under stock Hypercorn, without our connections."""

import pytest

from frontend.app import is_registry_path
from tests.frontend.live import codes, digest_of

LARGE = bytes(range(256)) * 16384  # 4 MiB
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def test_an_image_goes_in_and_comes_out(stock, live):
    image = live.image()
    config = stock.post(
        f"/v2/{image}/blobs/uploads/", params={"digest": digest_of(b"{}")}, content=b"{}"
    )
    location = stock.post(f"/v2/{image}/blobs/uploads/").headers["Location"]
    stock.patch(location, content=iter([LARGE[:1_000_000], LARGE[1_000_000:]]))
    layer = stock.put(location, params={"digest": digest_of(LARGE)})
    manifest = (
        '{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.empty.v1+json",'
        f'"digest":"{digest_of(b"{}")}","size":2}},"layers":[{{"mediaType":"x/y",'
        f'"digest":"{digest_of(LARGE)}","size":{len(LARGE)}}}]}}'
    ).encode()
    put = stock.put(
        f"/v2/{image}/manifests/t", content=manifest, headers={"Content-Type": MANIFEST}
    )

    assert [answer.status_code for answer in (config, layer, put)] == [201, 201, 201]
    assert stock.get(f"/v2/{image}/manifests/t").content == manifest
    assert stock.get(layer.headers["Location"]).content == LARGE


def test_errors_and_lists_are_answered_too(stock, live):
    answer = stock.get(f"/v2/{live.image()}/manifests/none")

    assert (answer.status_code, codes(answer)[0]) == (404, "NAME_UNKNOWN")
    assert stock.get("/v2/_catalog").status_code == 200
    assert stock.get("/api/v1/repositories").json()["total"] >= 1


def test_a_refused_body_is_answered(stock, live):
    answer = stock.post(
        f"/v2/{live.image()}/blobs/uploads/",
        params={"digest": digest_of(b"")},
        content=b"x" * 3_000_000,
        auth=("admin", "wrong"),
    )

    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("path", "is_ours"),
    [
        (b"/v2", True),
        (b"/v2/", True),
        (b"/v2/x", True),
        (b"/v2x", False),
        (b"//v2/", False),
        (b"/V2/", False),
    ],
)
def test_the_raw_path_decides(path, is_ours):
    assert is_registry_path(path) == is_ours
