"""A configured upstream: which URLs are one, and what images are called there."""

import pytest

from frontend.domain.outbound import Credentials
from frontend.domain.upstream import Upstream
from frontend.domain.urls import Origin, Url, UrlInvalid

DIGEST = "sha256:" + "0" * 64
HUB = Origin("https", "registry-1.docker.io", 443)


@pytest.mark.parametrize(
    ("url", "origin", "prefix"),
    [
        ("https://ghcr.io", "https://ghcr.io", ""),
        ("https://ghcr.io/", "https://ghcr.io", ""),
        ("https://ghcr.io/v2/", "https://ghcr.io", ""),
        ("https://ghcr.io/homebrew/core", "https://ghcr.io", "homebrew/core"),
        ("https://host:5000/v2/docker-remote", "https://host:5000", "docker-remote"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000", ""),
        ("https://docker.io", "https://registry-1.docker.io", ""),
        ("http://index.docker.io/v2/", "https://registry-1.docker.io", ""),
        ("https://registry-1.docker.io/library", "https://registry-1.docker.io", "library"),
    ],
)
def test_a_url_is_a_host_and_the_beginning_of_names(url, origin, prefix):
    upstream = Upstream.parse(url)

    assert (str(upstream.origin), upstream.prefix) == (origin, prefix)


@pytest.mark.parametrize(
    "url",
    [
        "ghcr.io",
        "https://user:secret@ghcr.io",
        "https://a/B",
        "https://a/b?c",
        "https://a/../b",
        "",
    ],
)
def test_what_is_no_upstream_is_refused_without_being_repeated(url):
    with pytest.raises(UrlInvalid) as caught:
        Upstream.parse(url)

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "path", "name"),
    [
        ("https://docker.io", "nginx", "library/nginx"),
        ("https://docker.io", "library/nginx", "library/nginx"),
        ("https://docker.io", "grafana/loki", "grafana/loki"),
        ("https://docker.io/library", "nginx", "library/nginx"),
        ("https://docker.io/grafana", "loki", "grafana/loki"),
        ("https://ghcr.io", "nginx", "nginx"),
        ("https://ghcr.io/a/b", "c/d", "a/b/c/d"),
    ],
)
def test_names_are_what_the_upstream_calls_them(url, path, name):
    upstream = Upstream.parse(url)

    assert upstream.name_of(path) == name
    assert upstream.scope_of(path) == f"repository:{name}:pull"
    assert upstream.url_of(path, "manifests", "v1").target == f"/v2/{name}/manifests/v1"


def test_each_kind_has_its_address():
    upstream = Upstream.parse("https://ghcr.io/a")

    assert str(upstream.url_of("b", "blobs", DIGEST)) == f"https://ghcr.io/v2/a/b/blobs/{DIGEST}"
    assert upstream.url_of("b", "referrers", DIGEST).target == f"/v2/a/b/referrers/{DIGEST}"
    assert upstream.url_of("b", "tags").target == "/v2/a/b/tags/list"


@pytest.mark.parametrize(
    ("path", "reference"),
    [
        ("../b", "v"),
        ("a//b", "v"),
        ("a b", "v"),
        ("", "v"),
        ("a" * 300, "v"),
        ("a", ""),
        ("a", "../v"),
        ("a", "v?x"),
        ("a", "v\r\n"),
        ("a", "v/x"),
    ],
)
def test_no_other_address_can_be_made_of_a_name(path, reference):
    with pytest.raises(UrlInvalid):
        Upstream.parse("https://ghcr.io").url_of(path, "manifests", reference)


def test_a_password_is_shown_by_nothing():
    upstream = Upstream.parse("https://ghcr.io", Credentials("me", "secret"))

    assert "secret" not in repr(upstream)
    assert upstream.credentials.basic == "Basic bWU6c2VjcmV0"


@pytest.mark.parametrize("user", ["a:b", ""])
def test_a_user_that_basic_cannot_say_is_refused(user):
    with pytest.raises(UrlInvalid):
        Credentials(user, "x")


@pytest.mark.parametrize(
    ("url", "realm", "may"),
    [
        ("https://ghcr.io", "https://ghcr.io/token", True),
        ("https://ghcr.io", "https://ghcr.io:8443/token", True),
        ("https://ghcr.io", "http://ghcr.io/token", False),
        ("https://ghcr.io", "https://evil.example/token", False),
        ("https://ghcr.io", "https://auth.docker.io/token", False),
        ("https://ghcr.io", "https://friend.example/token", True),
        ("https://ghcr.io", "http://friend.example/token", False),
        ("http://10.0.0.1:5000", "http://10.0.0.1:5001/auth", True),
        ("http://10.0.0.1:5000", "https://10.0.0.1:5001/auth", True),
        ("https://docker.io", "https://auth.docker.io/token", True),
    ],
)
def test_credentials_are_for_the_same_host_and_for_friends(url, realm, may):
    upstream = Upstream.parse(url)

    assert upstream.may_see_credentials(Url.parse(realm), frozenset({"friend.example"})) is may


def test_docker_hub_is_one_place():
    assert Upstream.parse("https://docker.io").origin == HUB
    assert Upstream.parse("https://docker.io").is_docker_hub
    assert not Upstream.parse("https://ghcr.io").is_docker_hub
