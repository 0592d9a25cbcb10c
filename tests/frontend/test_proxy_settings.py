"""How proxy repositories are made and changed, and the names by which mirrors find them."""

import secrets

import pytest

from tests.frontend.live import PASSWORD, running
from tests.frontend.people import basic_of, bearer, detail, person
from tests.frontend.proxying import new_proxy, push


def test_the_password_of_an_upstream_is_never_shown(live, upstream):
    repository = new_proxy(live, upstream)
    path = f"/api/v1/repositories/{repository}"

    shown = live.client.get(path)
    listed = live.client.get("/api/v1/repositories", params={"per_page": 1000})

    assert shown.json()["upstream"]["username"] == "admin"
    assert "password" not in shown.json()["upstream"]
    assert PASSWORD not in shown.text + listed.text


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"kind": "proxy"}, "a proxy has an upstream"),
        ({"kind": "hosted", "upstream": {"url": "https://a.test"}}, "hosted repository has none"),
        ({"kind": "proxy", "upstream": {"url": "ftp://a.test"}}, "cannot be used"),
        ({"kind": "proxy", "upstream": {"url": "https://u:p@a.test"}}, "cannot be used"),
        ({"kind": "proxy", "upstream": {"url": "https://a.test\\@b.test"}}, "cannot be used"),
        ({"kind": "proxy", "upstream": {"url": "https://a.test", "password": "x"}}, "username"),
        (
            {"kind": "proxy", "upstream": {"url": "https://a.test"}, "immutable_tags": ["v*"]},
            "for hosted",
        ),
    ],
)
def test_a_bad_upstream_is_400(live, body, words):
    answer = live.client.post(
        "/api/v1/repositories", json={"storage": "local", "name": "badproxy"} | body
    )

    assert answer.status_code == 400
    assert words in detail(answer)


def test_another_address_needs_the_password_again(live, upstream):
    repository = new_proxy(live, upstream)
    path = f"/api/v1/repositories/{repository}"

    stolen = live.client.patch(path, json={"upstream": {"url": "https://evil.test"}})
    moved = live.client.patch(
        path, json={"upstream": {"url": "https://other.test", "password": "new"}}
    )
    owner = person(live)
    owner.grant(repository, "admin")
    by_owner = owner.ask("PATCH", path, json={"upstream": {"offline": True}})

    assert (stolen.status_code, moved.status_code, by_owner.status_code) == (400, 200, 403)


def test_mirrors_are_asked_as_their_clients_do(live, upstream):
    repository = new_proxy(live, upstream, visibility="public")
    hidden = new_proxy(live, upstream)
    name = secrets.token_hex(4)
    digest = push(upstream, name, "t")
    namespace = upstream.url.partition("://")[2]

    by_namespace = live.stranger.get(f"/v2/{name}/manifests/t", params={"ns": namespace})
    by_path = live.stranger.get(f"/mirror/{repository}/v2/{name}/manifests/t")
    base = live.stranger.get(f"/mirror/{repository}/v2/")
    hidden_base = live.stranger.get(f"/mirror/{hidden}/v2/")
    missing_base = live.stranger.get("/mirror/local/nowhere/v2/")
    unknown = live.stranger.get(f"/v2/{name}/manifests/t", params={"ns": "unknown.test"})

    for answer in (by_namespace, by_path):
        assert answer.headers["Docker-Content-Digest"] == digest
    assert by_namespace.headers["OCI-Namespace"] == namespace
    assert base.status_code == 200
    assert (hidden_base.status_code, missing_base.status_code) == (401, 401)
    assert hidden_base.content == missing_base.content
    assert unknown.status_code in (401, 404)


def said(answer):
    """All that an answer says, but for when."""
    headers = sorted((k, v) for k, v in answer.headers.items() if k != "date")
    return answer.status_code, headers, answer.text


@pytest.mark.parametrize("image", ["one", "library/two", "a/b/three"])
@pytest.mark.parametrize("who", ["nobody", "wrong", "stranger", "token"])
def test_a_namespace_says_nothing_of_a_private_repository(live, upstream, image, who):
    hidden = new_proxy(live, upstream, url=f"http://h{secrets.token_hex(4)}.test/x")
    shown = live.client.get(f"/api/v1/repositories/{hidden}").json()["upstream"]["url"]
    namespace = shown.split("/")[2]
    somebody = person(live)
    headers = {
        "nobody": {},
        "wrong": {"Authorization": basic_of("x", "wrong")},
        "stranger": {"Authorization": somebody.basic},
        "token": bearer(somebody.registry_token(f"repository:{image}:pull")),
    }[who]

    answers = [
        live.stranger.get(f"/v2/{image}/manifests/t", params={"ns": ns}, headers=headers)
        for ns in (namespace, "unknown.test")
    ]

    assert said(answers[0]) == said(answers[1])
    assert answers[0].status_code == (401 if who in ("nobody", "wrong") else 404)
    if answers[0].status_code == 401:
        scope = f'scope="repository:{image}:pull"'
        assert scope in answers[0].headers["WWW-Authenticate"]


def test_a_namespace_leads_to_the_private_repository_that_one_may_pull(upstream, tmp_path):
    name, namespace = secrets.token_hex(4), upstream.url.partition("://")[2]
    digest = push(upstream, name, "t")
    asked = {"url": f"/v2/{name}/manifests/t", "params": {"ns": namespace}}
    with running(tmp_path / "data") as own:
        repository = max(new_proxy(own, upstream) for _ in range(2))
        reader = person(own)
        reader.grant(repository, "reader")
        challenge = own.stranger.get(**asked).headers["WWW-Authenticate"]
        scope = challenge.partition('scope="')[2].partition('"')[0]
        for headers in ({"Authorization": reader.basic}, bearer(reader.registry_token(scope))):
            for where in (asked, {"url": f"/mirror/{repository}/v2/{name}/manifests/t"}):
                answer = own.stranger.get(**where, headers=headers)

                assert answer.headers["Docker-Content-Digest"] == digest
        other = bearer(reader.registry_token("repository:other:pull"))

        assert own.stranger.get(**asked, headers=other).status_code == 401


def test_clients_credentials_stay_here(live, upstream):
    repository = new_proxy(live, upstream, username="", password="")
    name = secrets.token_hex(4)
    push(upstream, name, "t")

    answer = live.client.get(f"/v2/{repository}/{name}/manifests/t")

    assert answer.status_code in (404, 502)  # the administrator here is nobody there


def test_a_namespace_is_found_no_more_when_the_repository_is_gone(live, upstream):
    repository = new_proxy(live, upstream, visibility="public", url="http://127.0.0.1:9/x")
    path = "/v2/some/manifests/t?ns=127.0.0.1:9"
    before = live.stranger.get(path)
    live.client.delete(f"/api/v1/repositories/{repository}")

    after = live.stranger.get(path)

    assert before.status_code in (502, 503, 504)
    assert after.status_code in (401, 404)
