"""`frontend.domain.manifests`: real pushes are read, and nothing that readers could read apart."""

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from cas.digest import Digest
from frontend.domain.faults import ManifestInvalid
from frontend.domain.manifests import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    MAX_CHILDREN,
    OCI_INDEX,
    OCI_MANIFEST,
    parse_manifest,
)
from index.changes import EdgeKind

REAL = Path(__file__).parents[1] / "data" / "manifests"
DOCKER = {"image-docker", "image-buildx", "image-crane", "plain-latest"}
INDEXES = {"image-idx", "image-fallback-tag", "image-3-fallback-tag"}
CONFIG, LAYER = Digest.of(b"config"), Digest.of(b"layer")


def described(content, media_type="application/octet-stream", **more):
    return {
        "mediaType": media_type,
        "digest": str(Digest.of(content)),
        "size": len(content),
    } | more


def image(**more):
    return {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": described(b"config"),
        "layers": [described(b"layer")],
    } | more


def index(*children, **more):
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(children)} | more


def parse(value, content_type=None):
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return parse_manifest(content, content_type)


def media_type_of(stem):
    if stem in INDEXES:
        return OCI_INDEX
    return DOCKER_MANIFEST if stem in DOCKER else OCI_MANIFEST


@pytest.mark.parametrize("path", sorted(REAL.glob("*.json")), ids=lambda path: path.stem)
def test_what_real_clients_push_is_read(path):
    content = path.read_bytes()
    value = json.loads(content)

    parsed = parse_manifest(content, media_type_of(path.stem))

    children = value.get("manifests") or [value["config"], *value["layers"]]
    assert {str(digest) for digest, _ in parsed.edges} == {child["digest"] for child in children}
    assert set(parsed.required) == {digest for digest, _ in parsed.edges}
    assert parsed.media_type == media_type_of(path.stem)
    assert parsed.size == len(content)
    assert (parsed.annotations or {}) == value.get("annotations", {})
    assert (None if parsed.subject is None else str(parsed.subject)) == value.get(
        "subject", {}
    ).get("digest")


def test_a_signature_is_listed_under_its_subject_as_the_specification_says():
    content = (REAL / "image-fallback-tag-child.json").read_bytes()
    parsed = parse_manifest(content, OCI_MANIFEST)

    descriptor = json.loads(parsed.referrer(Digest.of(content)))

    assert descriptor == {
        "mediaType": OCI_MANIFEST,
        "digest": str(Digest.of(content)),
        "size": len(content),
        "artifactType": parsed.artifact_type,
    } | ({"annotations": parsed.annotations} if parsed.annotations else {})
    assert parsed.record(7, "eve").subject == parsed.subject.key
    assert parsed.record(7, "eve").pushed_at == 7


def test_an_image_without_artifact_type_has_that_of_its_config():
    assert parse(image()).artifact_type == "application/octet-stream"
    assert parse(image(artifactType="a/b")).artifact_type == "a/b"
    assert parse(image(artifactType="")).artifact_type == "application/octet-stream"


def test_an_index_without_artifact_type_has_none():
    parsed = parse(index(described(b"child"), config=described(b"config", "x/y")))

    assert parsed.artifact_type == ""
    assert "artifactType" not in json.loads(parsed.referrer(CONFIG))


def test_kinds_of_edges():
    kinds = dict(parse(image()).edges)

    assert kinds == {CONFIG: EdgeKind.CONFIG, LAYER: EdgeKind.LAYER}
    assert dict(parse(index(described(b"layer"))).edges) == {LAYER: EdgeKind.CHILD}


def test_a_child_named_twice_is_one_edge():
    parsed = parse(image(layers=[described(b"config"), described(b"layer"), described(b"layer")]))

    assert parsed.edges == ((CONFIG, EdgeKind.CONFIG), (LAYER, EdgeKind.LAYER))


def test_an_index_of_layers_is_read_like_any_other():
    cache = described(b"config", "application/vnd.buildkit.cacheconfig.v0")

    parsed = parse(index(described(b"layer", "application/vnd.oci.image.layer.v1.tar+gzip"), cache))

    assert set(parsed.required) == {CONFIG, LAYER}


@pytest.mark.parametrize(
    "foreign",
    [
        {"urls": ["https://example.com/layer"]},
        {"mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"},
        {"mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"},
    ],
)
def test_a_foreign_layer_is_an_edge_but_not_required(foreign):
    parsed = parse(image(layers=[described(b"layer") | foreign]))

    assert LAYER in dict(parsed.edges)
    assert parsed.required == (CONFIG,)


def test_a_layer_that_is_foreign_only_here_is_required_there():
    parsed = parse(image(layers=[described(b"layer", urls=["x"]), described(b"layer", urls=[])]))

    assert parsed.required == (CONFIG, LAYER)


def test_an_unknown_digest_algorithm_passes_and_binds_nothing():
    strange = {"mediaType": "a/b", "digest": "blake9+x:AB=_-", "size": 3}

    parsed = parse(image(layers=[strange], subject=strange))

    assert parsed.required == (CONFIG,)
    assert parsed.subject is None


@pytest.mark.parametrize("field", ["layers", "manifests"])
@pytest.mark.parametrize("empty", [[], None])
def test_lists_may_be_empty_or_null(field, empty):
    value = image(layers=empty) if field == "layers" else index() | {"manifests": empty}

    assert len(parse(value).edges) == (1 if field == "layers" else 0)


@pytest.mark.parametrize(
    ("content_type", "value"),
    [
        (None, image()),
        (OCI_MANIFEST, image()),
        (f"{OCI_MANIFEST}; charset=utf-8", image()),
        (OCI_MANIFEST, {key: value for key, value in image().items() if key != "mediaType"}),
        (None, {key: value for key, value in image().items() if key != "mediaType"}),
        ("", image(mediaType=None)),
    ],
)
def test_the_type_comes_from_header_or_content_or_form(content_type, value):
    assert parse(value, content_type).media_type == OCI_MANIFEST


def test_an_index_that_does_not_say_so_is_one_by_its_form():
    assert parse({"schemaVersion": 2, "manifests": []}).media_type == OCI_INDEX


@pytest.mark.parametrize(
    ("value", "content_type", "why"),
    [
        (image(), DOCKER_MANIFEST, "Content-Type is"),
        (image(mediaType=DOCKER_MANIFEST), OCI_MANIFEST, "Content-Type is"),
        (image(manifests=[]), None, "both layers and manifests"),
        (image(manifests=[], layers=None), None, "both layers and manifests"),
        (index(layers=[]), None, "both layers and manifests"),
        (index() | {"mediaType": OCI_MANIFEST}, None, "has no manifests"),
        (image(mediaType=OCI_INDEX), None, "has no layers"),
        ({"schemaVersion": 2}, OCI_MANIFEST, "needs a config"),
        ({"schemaVersion": 2}, DOCKER_LIST, "needs manifests"),
        ({"schemaVersion": 2}, None, "says what it is"),
        ({"schemaVersion": 1, "config": described(b"")}, None, "schemaVersion is 1"),
        (image(schemaVersion=1), None, "schemaVersion is 1"),
        (image(schemaVersion="2"), None, "schemaVersion"),
        (image(schemaVersion=2.5), None, "schemaVersion"),
        (image(schemaVersion=None), None, "schemaVersion is None"),
        (image(), "application/vnd.docker.distribution.manifest.v1+json", "schema 1"),
        (image(), "application/vnd.docker.distribution.manifest.v1+prettyjws", "schema 1"),
        (image(mediaType="application/vnd.docker.distribution.manifest.v1+json"), None, "schema 1"),
        (image(mediaType=5), None, "mediaType"),
        (image(), "nonsense", "no media type"),
        (image(), "a/b\r\nSet-Cookie: x", "no media type"),
        (image(), "a/b c", "no media type"),
        (image(mediaType="ä/b"), None, "no media type"),
        (image(layers={}), None, "layers"),
        (image(layers=["x"]), None, r"layers\[0\]"),
        (image(config=[]), None, "config"),
        (image(annotations={"a": 1}), None, "annotations"),
        (image(subject={}), None, "subject"),
        (image(subject=described(b"x") | {"digest": "x"}), None, "subject.digest"),
        (image(config=described(b"") | {"size": -1}), None, "config.size"),
        (image(config=described(b"") | {"size": 1.5}), None, "config.size"),
        (image(config=described(b"") | {"size": "1"}), None, "config.size"),
        (image(config=described(b"") | {"size": True}), None, "config.size"),
        (image(config=described(b"") | {"size": 1 << 63}), None, "config.size"),
        (image(config=described(b"") | {"digest": "sha256:" + "A" * 64}), None, "config.digest"),
        (image(config=described(b"") | {"digest": "sha256:../"}), None, "config.digest"),
        (image(config=described(b"") | {"digest": "latest"}), None, "config.digest"),
        (image(config={"mediaType": "a/b", "size": 1}), None, "digest"),
        (b"", OCI_MANIFEST, "no JSON"),
        (b"not json", OCI_MANIFEST, "no JSON"),
        (b"[]", OCI_MANIFEST, "no JSON object"),
        (b'"x"', OCI_MANIFEST, "no JSON object"),
        (b"{}", OCI_MANIFEST, "schemaVersion"),
        (b"\xef\xbb\xbf{}", OCI_MANIFEST, "no JSON"),
        (b"{} {}", OCI_MANIFEST, "no JSON"),
        (b'{"a": NaN}', OCI_MANIFEST, "no JSON"),
        (b'{"a": Infinity}', OCI_MANIFEST, "no JSON"),
        (b'{"a": 1e999}', OCI_MANIFEST, "no JSON"),
        (b'{"a": ' + b"1" * 5000 + b"}", OCI_MANIFEST, "no JSON"),
        (b'{"a": "\xff"}', OCI_MANIFEST, "no JSON"),
        (b'{"a": "\\ud800", "b": "xxxxxxxxxxxx"}', OCI_MANIFEST, "no JSON"),
        (b'{"a": "\xed\xa0\x80"}', OCI_MANIFEST, "no JSON"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", OCI_MANIFEST, "no JSON"),
        (b'{"a": ' * 100_000 + b"1" + b"}" * 100_000, OCI_MANIFEST, "no JSON"),
        (b'{"schemaVersion": 1, "schemaVersion": 2}', OCI_MANIFEST, "comes twice"),
        (b'{"config": {"size": 1, "size": 2}}', OCI_MANIFEST, "comes twice"),
        (b'{"a": 1, "\\u0061": 2}', "application/vnd.any+json", "comes twice"),
    ],
)
def test_what_readers_could_read_differently_is_refused_and_says_where(value, content_type, why):
    with pytest.raises(ManifestInvalid, match=why):
        parse(value, content_type)


def test_many_keys_are_looked_through_in_linear_time():
    keys = ",".join(f'"{n}":0' for n in range(200_000))

    with pytest.raises(ManifestInvalid, match="comes twice"):
        parse(f'{{{keys},"199999":0}}'.encode(), OCI_MANIFEST)


def test_data_that_is_the_content_is_accepted():
    config = described(b"config", data=base64.b64encode(b"config").decode())

    assert parse(image(config=config)).required == (CONFIG, LAYER)


@pytest.mark.parametrize("data", ["", "Y29uZmlh", "Y29uZml", "Y29uZmln\n", "Y29uZmlnIQ==", "%%%"])
def test_data_that_is_not_the_content_is_refused(data):
    with pytest.raises(ManifestInvalid, match=r"config\.data"):
        parse(image(config=described(b"config", data=data)))


@pytest.mark.parametrize(
    "media_type",
    [
        "application/vnd.oci.artifact.manifest.v1+json",
        "application/vnd.any+json",
        "application/json",
    ],
)
def test_json_of_any_other_type_counts_as_far_as_it_has_the_usual_form(media_type):
    value = {"blobs": [described(b"layer")], "subject": described(b"config"), "x": [{}]}

    parsed = parse(value, media_type)

    assert parsed.media_type == media_type
    assert parsed.required == (LAYER,)
    assert parsed.subject == CONFIG


@pytest.mark.parametrize("value", [{"layers": "many"}, {"config": 7}, {"annotations": [1]}, {}])
def test_json_of_any_other_type_and_form_needs_nothing(value):
    assert parse(value, "application/vnd.any+json").edges == ()


def test_bytes_of_any_other_type_need_nothing():
    parsed = parse(b"\0\xff not json", "application/x-anything")

    assert (parsed.media_type, parsed.size, parsed.edges) == ("application/x-anything", 11, ())


def test_the_number_of_distinct_children_is_bounded():
    children = [
        {"mediaType": "a/b", "digest": "sha256:" + f"{n:064x}", "size": 1}
        for n in range(MAX_CHILDREN + 1)
    ]

    assert len(parse(index(*children[:-1], *children[:9])).edges) == MAX_CHILDREN
    with pytest.raises(ManifestInvalid, match="10000 distinct"):
        parse(index(*children))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
)


@given(
    st.dictionaries(
        st.sampled_from(["schemaVersion", "config", "layers", "manifests", "subject", "mediaType"]),
        JSON,
    ),
    st.sampled_from([None, OCI_MANIFEST, DOCKER_LIST, "application/vnd.any+json"]),
)
def test_any_json_is_a_manifest_or_invalid(value, content_type):
    try:
        parsed = parse(value, content_type)
    except ManifestInvalid as error:
        str(error).encode(errors="strict")
        return
    assert parsed.size == len(json.dumps(value))


@given(st.binary(max_size=60))
def test_any_bytes_are_a_manifest_or_invalid(content):
    for content_type in (OCI_MANIFEST, None, "text/plain"):
        try:
            parse_manifest(content, content_type)
        except ManifestInvalid:
            continue
