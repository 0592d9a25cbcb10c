"""The page with lines for clients: they are right for this server's address, and parse."""

import json
import tomllib
from html import unescape
from re import findall

import httpx
import pytest

from frontend.web import snippets
from frontend.web.snippets import Address, Mirror
from tests.frontend.people import repository

HUB = Mirror.of("local/hub", "https://docker.io", is_public=True)
PRIVATE_HUB = Mirror.of("local/own", "https://docker.io", is_public=False)
ODD = Mirror.of("local/odd", "http://registry.lan:5001", is_public=False)
TLS = Address("registry.example.com", is_tls=True, user="ann", repository="local/images")
PLAIN = Address("registry.lan:5080", is_tls=False, user="ann", repository="local/images")


def texts(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [unescape(each) for each in findall("<code>([^<]*)</code><button", answer.text)]


def by_place(found) -> dict[str, str]:
    return {each.place: each.text for each in found}


def test_lines_name_the_visitor_and_the_configured_address(live, visitors):
    host = live.url.partition("://")[2]

    found = texts(visitors["admin"].get("/connect", params={"repository": "local/public"}))

    assert f"docker login -u {visitors['admin'].who.name} {host}" in found
    assert f"docker pull {host}/local/public/IMAGE:TAG" in found


def test_the_host_that_a_request_names_is_nowhere(live, visitors):
    answer = visitors["anonymous"].get("/connect", headers={"Host": "evil.invalid"})

    assert answer.status_code == 200
    assert "evil.invalid" not in answer.text


def test_private_repositories_are_neither_listed_nor_confirmed(live, visitors):
    hidden = repository(live)

    assert hidden not in visitors["stranger"].get("/connect").text
    asked = visitors["stranger"].get("/connect", params={"repository": hidden})
    missing = visitors["stranger"].get("/connect", params={"repository": "local/nowhere"})
    assert (asked.status_code, missing.status_code) == (404, 404)
    assert visitors["admin"].get("/connect", params={"repository": hidden}).status_code == 200


@pytest.mark.parametrize("text", ['"><script>x</script>', "$(id)/`id`", "a/b/c", "a/", "/"])
def test_no_other_text_becomes_a_line(visitors, text):
    answer = visitors["admin"].get("/connect", params={"repository": text})

    assert answer.status_code == 404
    assert "<script>x" not in answer.text


def test_docker_is_told_of_plain_http_where_it_would_refuse_it():
    local = Address("127.0.0.1:5080", is_tls=False)

    allowed = by_place(snippets.docker(PLAIN))["/etc/docker/daemon.json"]

    assert json.loads(allowed) == {"insecure-registries": ["registry.lan:5080"]}
    assert "/etc/docker/daemon.json" not in by_place(snippets.docker(TLS))
    assert "/etc/docker/daemon.json" not in by_place(snippets.docker(local))


def test_dockerd_mirrors_a_public_docker_hub_only():
    def mirrors(*there):
        return json.loads(snippets.docker_mirror(TLS, there).text)["registry-mirrors"]

    assert mirrors(ODD, PRIVATE_HUB, HUB) == ["https://registry.example.com/mirror/local/hub"]
    assert mirrors(PRIVATE_HUB) == ["https://registry.example.com/mirror/STORAGE/REPOSITORY"]


@pytest.mark.parametrize("to", [TLS, PLAIN])
def test_files_for_containerd_are_toml_and_name_the_registry_behind(to):
    found = by_place(snippets.containerd(to, [HUB, ODD]))

    hub = tomllib.loads(found["/etc/containerd/certs.d/docker.io/hosts.toml"])
    odd = tomllib.loads(found["/etc/containerd/certs.d/registry.lan:5001/hosts.toml"])
    assert hub["server"] == "https://registry-1.docker.io"
    assert hub["host"] == {to.url: {"capabilities": ["pull", "resolve"]}}
    assert odd["server"] == "http://registry.lan:5001"
    own = f"/etc/containerd/certs.d/{to.host}/hosts.toml"
    assert (own in found) == (to is PLAIN)


@pytest.mark.parametrize("to", [TLS, PLAIN])
def test_files_for_podman_are_toml_and_allow_plain_http_only_where_it_is(to):
    found = by_place(snippets.podman(to, [HUB, ODD]))

    parsed = tomllib.loads(found["/etc/containers/registries.conf.d/mirror.conf"])["registry"]
    assert [each["location"] for each in parsed] == ["docker.io", "registry.lan:5001"]
    assert parsed[0]["mirror"][0]["location"] == f"{to.host}/local/hub"
    assert parsed[0]["mirror"][0].get("insecure", False) == (to is PLAIN)


def test_a_part_of_a_registry_is_no_mirror_of_it():
    assert Mirror.of("local/part", "https://ghcr.io/team", is_public=True) is None


def test_k3s_gets_a_mirror_for_each_registry_and_credentials():
    assert snippets.k3s(TLS, [HUB]).text == (
        'mirrors:\n  "docker.io":\n    endpoint:\n      - "https://registry.example.com"\n'
        'configs:\n  "registry.example.com":\n    auth:\n      username: "ann"\n'
        "      password: ACCESS-TOKEN"
    )
