"""`frontend.domain.routes`: raw paths, from the right."""

import pytest
from hypothesis import given, strategies as st

from cas.digest import Digest
from cas.errors import DigestInvalid
from frontend.domain import routes
from frontend.domain.faults import (
    FrontendFault,
    MethodNotAllowed,
    NameInvalid,
    NameUnknown,
    RouteUnknown,
    TagInvalid,
)
from frontend.domain.names import parse_name
from index.changes import ImageName

D = Digest.of(b"")
WORDS = st.sampled_from(
    ["a", "b-c", "manifests", "blobs", "tags", "uploads", "referrers", "list", "ext", "v2"]
)
NAMES = st.lists(WORDS, min_size=3, max_size=7).map("/".join)


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/v2", routes.Base()),
        ("/v2/", routes.Base()),
        ("/v2/token", routes.Token()),
        ("/v2/_catalog", routes.Catalog()),
        ("/v2/_oci/ext/discover", routes.Discover()),
    ],
)
def test_fixed_paths(path, route):
    assert routes.match(path) == route


@given(NAMES)
def test_every_route_is_found_whatever_words_its_name_is_made_of(text):
    name = parse_name(text)
    base = f"/v2/{text}"

    assert routes.match(f"{base}/blobs/{D}") == routes.Blob(name, D)
    assert routes.match(f"{base}/manifests/{D}") == routes.Manifest(name, D)
    assert routes.match(f"{base}/manifests/latest") == routes.Manifest(name, "latest")
    assert routes.match(f"{base}/manifests/uploads") == routes.Manifest(name, "uploads")
    assert routes.match(f"{base}/tags/list") == routes.Tags(name)
    assert routes.match(f"{base}/referrers/{D}") == routes.Referrers(name, D)
    assert routes.match(f"{base}/blobs/uploads/") == routes.BlobUploads(name)
    assert routes.match(f"{base}/blobs/uploads") == routes.BlobUploads(name)
    assert routes.match(f"{base}/blobs/uploads/0123abc") == routes.BlobUpload(name, "0123abc")
    assert routes.match(f"{base}/_oci/ext/discover") == routes.Discover(name)


@pytest.mark.parametrize("colon", ["%3A", "%3a"])
@pytest.mark.parametrize("verb", ["blobs", "manifests", "referrers"])
def test_the_colon_of_a_digest_may_be_encoded(verb, colon):
    plain = routes.match(f"/v2/a/b/c/{verb}/{D}")

    assert routes.match(f"/v2/a/b/c/{verb}/sha256{colon}{D.hex}") == plain


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/v2/a/../b/c/manifests/x", NameInvalid),
        ("/v2/a/b/%2e%2e/manifests/x", NameInvalid),
        ("/v2/a/b%2fc/d/manifests/x", NameInvalid),
        ("/v2/a//b/c/manifests/x", NameInvalid),
        ("/v2//a/b/c/manifests/x", NameInvalid),
        ("/v2/A/b/c/manifests/x", NameInvalid),
        ("/v2/a/b/a%00b/tags/list", NameInvalid),
        ("/v2/a/b/%ff/tags/list", NameInvalid),
        ("/v2/a/b/c%3Ad/tags/list", NameInvalid),
        ("/v2/" + "a" * 300 + "/tags/list", NameInvalid),
        ("/v2/a/b/c//blobs/uploads/", NameInvalid),
        ("/v2//tags/list", NameInvalid),
        ("/v2/a/b/tags/list", NameUnknown),
        ("/v2/nginx/manifests/latest", NameUnknown),
        ("/v2/a/b/c/manifests/-x", TagInvalid),
        ("/v2/a/b/c/manifests/" + "a" * 129, TagInvalid),
        ("/v2/a/b/c/manifests/a%2Fb", TagInvalid),
        ("/v2/a/b/c/manifests/a:b", DigestInvalid),
        ("/v2/a/b/c/manifests/sha256:baddigeststring", DigestInvalid),
        ("/v2/a/b/c/manifests/sha256%253A" + D.hex, TagInvalid),
        ("/v2/a/b/c/blobs/sha256:" + "A" * 64, DigestInvalid),
        ("/v2/a/b/c/blobs/sha256%3A" + "a" * 63, DigestInvalid),
        ("/v2/a/b/c/blobs/md5:" + "a" * 32, DigestInvalid),
        ("/v2/a/b/c/blobs/latest", DigestInvalid),
        ("/v2/a/b/c/blobs/..", DigestInvalid),
        ("/v2/a/b/c/referrers/latest", DigestInvalid),
        ("/v2/a/b/c/manifests/", RouteUnknown),
        ("/v2/a/b/c/blobs/", RouteUnknown),
        ("/v2/a/b/c/tags/other", RouteUnknown),
        ("/v2/a/b/c/uploads/x", RouteUnknown),
        ("/v2/a/b/c", RouteUnknown),
        ("/v2/manifests/x", RouteUnknown),
        ("/v2//", RouteUnknown),
        ("/v2/token/", RouteUnknown),
        ("/v1/", RouteUnknown),
        ("", RouteUnknown),
        ("v2/", RouteUnknown),
        ("//v2/", RouteUnknown),
    ],
)
def test_what_is_no_path_of_the_api_is_refused_by_name(path, error):
    with pytest.raises(error):
        routes.match(path)


@given(st.text(alphabet="/v2abAB.%-_:\0é", max_size=40).map("/v2/".__add__))
def test_any_path_is_a_route_or_an_error_of_ours(path):
    try:
        route = routes.match(path)
    except (FrontendFault, DigestInvalid):
        return
    name = getattr(route, "name", None)
    assert name is None or str(name) in path


def test_a_name_that_ends_like_a_route_keeps_its_end():
    assert routes.match("/v2/a/b/blobs/uploads/manifests/x") == routes.Manifest(
        ImageName("a/b", "blobs/uploads"), "x"
    )


@pytest.mark.parametrize("kind", routes.ROUTES, ids=lambda kind: kind.__name__)
def test_a_method_that_a_route_lacks_is_refused_with_those_it_has(kind):
    route = object.__new__(kind)

    for method in kind.methods:
        routes.require_method(route, method)
    with pytest.raises(MethodNotAllowed) as caught:
        routes.require_method(route, "TRACE")
    assert caught.value.allowed == kind.methods
