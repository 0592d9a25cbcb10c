"""Pushing and deleting manifests and tags over the wire."""

import base64
import json

import pytest

from tests.frontend.live import BASIC, codes, digest_of

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"
UNKNOWN = digest_of(b"never pushed")


def descriptor(content: bytes, media_type: str = EMPTY) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


def manifest(**fields: object) -> bytes:
    body = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(b"{}"),
        "layers": [],
    }
    return json.dumps(body | fields).encode()


def index(*children: bytes, **fields: object) -> bytes:
    body = {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [descriptor(child, MANIFEST) for child in children],
    }
    return json.dumps(body | fields).encode()


def put(live, image, reference, content, media_type=MANIFEST, **more):
    headers = {"Content-Type": media_type} | more.pop("headers", {})
    return live.client.put(
        f"/v2/{image}/manifests/{reference}", content=content, headers=headers, **more
    )


@pytest.fixture
def image(live):
    """An image that has the empty config."""
    name = live.image()
    live.push(name, b"{}")
    return name


def test_a_manifest_comes_back_byte_for_byte_with_its_type(live, image):
    content = manifest(annotations={"k": "v"}, unknown=[1, {"x": None}])

    answer = put(live, image, "latest", content)
    pulled = live.client.get(f"/v2/{image}/manifests/latest")

    assert answer.status_code == 201
    assert answer.headers["Docker-Content-Digest"] == digest_of(content)
    assert live.client.get(answer.headers["Location"]).content == content
    assert pulled.content == content
    assert pulled.headers["Content-Type"] == MANIFEST


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_manifest_is_pushed_by_digest(live, image, algorithm):
    content = manifest(layers=[])
    digest = digest_of(content, algorithm)

    answer = put(live, image, digest, content)

    assert answer.status_code == 201
    assert answer.headers["Docker-Content-Digest"] == digest
    pulled = live.client.get(f"/v2/{image}/manifests/{digest}")
    assert pulled.headers["Docker-Content-Digest"] == digest


def test_another_digest_than_the_contents_is_400(live, image):
    answer = put(live, image, UNKNOWN, manifest())

    assert (answer.status_code, codes(answer)) == (400, ["DIGEST_INVALID"])


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_tags_of_a_push_by_digest_are_all_set_and_named(live, image, algorithm):
    content = manifest()
    tags = [f"t{number}" for number in range(12)]
    digest = digest_of(content, algorithm)

    answer = put(live, image, digest, content, params={"tag": tags})

    named = answer.headers["OCI-Tag"].replace(" ", "").split(",")
    assert (answer.status_code, named) == (201, tags)
    for tag in tags:
        assert live.client.get(f"/v2/{image}/manifests/{tag}").content == content


def test_too_many_tags_of_one_push_are_414(live, image):
    content = manifest()

    answer = put(
        live, image, digest_of(content), content, params={"tag": [f"t{n}" for n in range(101)]}
    )

    assert answer.status_code == 414
    assert live.client.head(f"/v2/{image}/manifests/{digest_of(content)}").status_code == 404


@pytest.mark.parametrize("tag", ["-x", "a:b", "x" * 129, "", "a b", "ü"])
def test_a_bad_tag_parameter_is_400(live, image, tag):
    content = manifest()

    answer = put(live, image, digest_of(content), content, params={"tag": tag})

    assert (answer.status_code, codes(answer)) == (400, ["TAG_INVALID"])


def test_missing_blobs_are_named_one_entry_each(live, image):
    layers = [descriptor(b"absent 1"), descriptor(b"{}"), descriptor(b"absent 2")]

    answer = put(live, image, "t", manifest(layers=layers))

    assert answer.status_code in (400, 404)
    assert codes(answer) == ["MANIFEST_BLOB_UNKNOWN"] * 2
    details = [error["detail"]["digest"] for error in answer.json()["errors"]]
    assert sorted(details) == sorted([digest_of(b"absent 1"), digest_of(b"absent 2")])
    assert live.client.head(f"/v2/{image}/manifests/t").status_code == 404


def test_a_blob_of_another_image_does_not_count(live, image):
    live.push(live.image(), b"somewhere else")

    answer = put(live, image, "t", manifest(layers=[descriptor(b"somewhere else")]))

    assert codes(answer) == ["MANIFEST_BLOB_UNKNOWN"]


@pytest.mark.parametrize(
    "foreign",
    [
        descriptor(b"elsewhere") | {"urls": ["https://example.invalid/layer"]},
        descriptor(b"elsewhere", "application/vnd.oci.image.layer.nondistributable.v1.tar"),
        descriptor(b"elsewhere", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
    ],
)
def test_a_foreign_layer_need_not_be_there(live, image, foreign):
    assert put(live, image, "t", manifest(layers=[foreign])).status_code == 201


def test_an_index_needs_its_children(live, image):
    child = manifest()

    before = put(live, image, "i", index(child), INDEX)
    put(live, image, digest_of(child), child)
    after = put(live, image, "i", index(child), INDEX)

    assert codes(before) == ["MANIFEST_BLOB_UNKNOWN"]
    assert after.status_code == 201


def test_empty_layers_and_empty_indexes_and_nested_ones_are_fine(live, image):
    assert put(live, image, "a", manifest()).status_code == 201
    assert put(live, image, "b", index(), INDEX).status_code == 201
    nested = json.loads(index())
    nested["manifests"] = [descriptor(index(), INDEX)]
    assert put(live, image, "c", json.dumps(nested).encode(), INDEX).status_code == 201


@pytest.mark.parametrize("body", [manifest, index])
def test_a_subject_may_be_absent_and_is_acknowledged(live, image, body):
    subject = {"mediaType": MANIFEST, "digest": UNKNOWN, "size": 10}
    media_type = MANIFEST if body is manifest else INDEX
    content = body(subject=subject)

    answer = put(live, image, digest_of(content), content, media_type)

    assert (answer.status_code, answer.headers["OCI-Subject"]) == (201, UNKNOWN)
    listed = live.client.get(f"/v2/{image}/referrers/{UNKNOWN}").json()["manifests"]
    assert [each["digest"] for each in listed] == [digest_of(content)]


def test_data_in_a_descriptor_is_kept(live, image):
    config = descriptor(b"{}") | {"data": base64.b64encode(b"{}").decode()}
    content = manifest(config=config)

    put(live, image, "t", content)

    assert live.client.get(f"/v2/{image}/manifests/t").content == content


def test_any_media_type_is_accepted(live, image):
    answer = put(live, image, "t", b"\x00binary\xff", "application/vnd.example+thing")

    pulled = live.client.get(f"/v2/{image}/manifests/t")
    assert answer.status_code == 201
    assert pulled.headers["Content-Type"] == "application/vnd.example+thing"
    assert pulled.content == b"\x00binary\xff"


def test_parameters_of_the_content_type_do_not_count(live, image):
    answer = put(live, image, "t", manifest(), f"{MANIFEST}; charset=utf-8")

    assert answer.status_code == 201
    pulled = live.client.get(f"/v2/{image}/manifests/t")
    assert pulled.headers["Content-Type"] == MANIFEST


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (manifest(mediaType=INDEX), MANIFEST),
        (manifest(manifests=[]), MANIFEST),
        (index(layers=[]), INDEX),
        (manifest(schemaVersion=1), MANIFEST),
        (b"", MANIFEST),
        (b"{", MANIFEST),
        (b"[" * 100_000, MANIFEST),
        (b'{"a":' * 100_000, MANIFEST),
        (b'{"schemaVersion": NaN}', MANIFEST),
        (manifest()[:-1] + b',"layers":[]}', MANIFEST),
        (manifest(), "application/vnd.docker.distribution.manifest.v1+prettyjws"),
        (manifest(), "not a type"),
    ],
)
def test_what_is_no_manifest_is_400(live, image, content, media_type):
    answer = put(live, image, "t", content, media_type)

    assert (answer.status_code, codes(answer)) == (400, ["MANIFEST_INVALID"])


def sized_manifest(size: int) -> bytes:
    bare = manifest(annotations={"fill": ""})
    return manifest(annotations={"fill": "x" * (size - len(bare))})


def test_a_manifest_of_four_mebibytes_is_accepted(live, image):
    content = sized_manifest(4 << 20)

    answer = put(live, image, "t", content)

    assert len(content) == 4 << 20
    assert answer.status_code == 201
    assert live.client.get(f"/v2/{image}/manifests/t").content == content


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_byte_more_is_413(live, image, is_chunked):
    content = sized_manifest((4 << 20) + 1)

    answer = put(live, image, "t", iter([content]) if is_chunked else content)

    assert (answer.status_code, codes(answer)) == (413, ["SIZE_INVALID"])
    assert live.client.head(f"/v2/{image}/manifests/t").status_code == 404


def test_a_length_beyond_every_size_is_refused(live, image):
    with live.connect() as peer:
        peer.sendall(
            f"PUT /v2/{image}/manifests/t HTTP/1.1\r\nHost: x\r\nAuthorization: {BASIC}\r\n"
            f"Content-Length: {10**20 - 1}\r\n\r\n{{}}".encode()
        )
        received = peer.recv(1000)

    assert received.startswith(b"HTTP/1.1 400")


def test_a_tag_moves_only_from_where_if_match_saw_it(live, image):
    first, second, third = (manifest(annotations={"n": str(n)}) for n in range(3))
    put(live, image, "t", first)

    moved = put(live, image, "t", second, headers={"If-Match": f'"{digest_of(first)}"'})
    stale = put(live, image, "t", third, headers={"If-Match": f'"{digest_of(first)}"'})

    assert (moved.status_code, stale.status_code) == (201, 412)
    assert live.client.get(f"/v2/{image}/manifests/t").content == second


def test_if_none_match_creates_a_tag_once(live, image):
    answers = [
        put(
            live, image, "once", manifest(annotations={"n": str(n)}), headers={"If-None-Match": "*"}
        )
        for n in range(2)
    ]

    assert [answer.status_code for answer in answers] == [201, 412]


def test_a_tag_is_deleted_alone(live, image):
    content = manifest()
    for tag in ("a", "b"):
        put(live, image, tag, content)

    answer = live.client.delete(f"/v2/{image}/manifests/a")

    assert answer.status_code == 202
    assert live.client.head(f"/v2/{image}/manifests/a").status_code == 404
    assert live.client.head(f"/v2/{image}/manifests/b").status_code == 200
    assert live.client.head(f"/v2/{image}/manifests/{digest_of(content)}").status_code == 200


def test_a_manifest_goes_with_all_of_its_tags(live, image):
    content = manifest()
    for tag in ("a", "b"):
        put(live, image, tag, content)

    answer = live.client.delete(f"/v2/{image}/manifests/{digest_of(content)}")

    assert answer.status_code == 202
    for reference in ("a", "b", digest_of(content)):
        assert live.client.head(f"/v2/{image}/manifests/{reference}").status_code == 404
    assert live.client.get(f"/v2/{image}/tags/list").json()["tags"] == []


def test_a_child_of_an_index_cannot_go_before_it(live, image):
    child = manifest()
    put(live, image, digest_of(child), child)
    put(live, image, "i", index(child), INDEX)

    refused = live.client.delete(f"/v2/{image}/manifests/{digest_of(child)}")
    live.client.delete(f"/v2/{image}/manifests/{digest_of(index(child))}")
    allowed = live.client.delete(f"/v2/{image}/manifests/{digest_of(child)}")

    assert (refused.status_code, codes(refused)) == (405, ["UNSUPPORTED"])
    assert allowed.status_code == 202


def test_a_blob_goes_only_when_no_manifest_of_the_image_needs_it(live, image):
    content = manifest()
    put(live, image, "t", content)
    blob = f"/v2/{image}/blobs/{digest_of(b'{}')}"

    refused = live.client.delete(blob)
    live.client.delete(f"/v2/{image}/manifests/{digest_of(content)}")
    allowed = live.client.delete(blob)

    assert (refused.status_code, codes(refused)) == (405, ["UNSUPPORTED"])
    assert allowed.status_code == 202
    assert live.client.head(blob).status_code == 404


def test_a_blob_deleted_here_stays_elsewhere(live, image):
    other = live.image()
    live.push(other, b"{}")

    live.client.delete(f"/v2/{image}/blobs/{digest_of(b'{}')}")

    assert live.client.get(f"/v2/{other}/blobs/{digest_of(b'{}')}").content == b"{}"


@pytest.mark.parametrize(
    ("place", "code"),
    [
        ("manifests/absent", "MANIFEST_UNKNOWN"),
        (f"manifests/{UNKNOWN}", "MANIFEST_UNKNOWN"),
        (f"blobs/{UNKNOWN}", "BLOB_UNKNOWN"),
    ],
)
def test_deleting_what_is_not_there_is_404(live, image, place, code):
    answer = live.client.delete(f"/v2/{image}/{place}")

    assert (answer.status_code, codes(answer)) == (404, [code])


def test_a_blob_is_no_manifest_to_delete(live, image):
    answer = live.client.delete(f"/v2/{image}/manifests/{digest_of(b'{}')}")

    assert (answer.status_code, codes(answer)) == (404, ["MANIFEST_UNKNOWN"])


def test_a_deleted_referrer_is_listed_no_more(live, image):
    subject = {"mediaType": MANIFEST, "digest": UNKNOWN, "size": 10}
    content = manifest(subject=subject)
    put(live, image, digest_of(content), content)

    live.client.delete(f"/v2/{image}/manifests/{digest_of(content)}")

    assert live.client.get(f"/v2/{image}/referrers/{UNKNOWN}").json()["manifests"] == []


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize("repository", ["local/images", "local/public", "no/where"])
def test_manifests_are_not_for_the_anonymous_to_change(live, method, repository):
    image = live.image(repository)

    answer = live.stranger.request(method, f"/v2/{image}/manifests/t", content=manifest())

    assert (answer.status_code, codes(answer)) == (401, ["UNAUTHORIZED"])
