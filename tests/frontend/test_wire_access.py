"""Who gets in: Basic, Bearer, anonymous; challenges and tokens. Protocol 4.9."""

import base64

import httpx
import pytest

from frontend.access.passwords import hash_password
from frontend.access.users import User, put
from tests.frontend.live import ADMIN, PASSWORD, codes, digest_of
from tests.frontend.people import person

NOBODY = httpx.BasicAuth("nobody", "anything")
WRONG = httpx.BasicAuth("admin", "wrong")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def token_for(live, *scopes: str, auth=ADMIN) -> str:
    answer = live.stranger.get(
        "/v2/token", params={"service": "x", "scope": list(scopes)}, auth=auth
    )
    assert answer.status_code == 200
    return answer.json()["token"]


def test_the_base_without_credentials_is_401_with_a_bearer_challenge(live):
    answer = live.stranger.get("/v2/", headers={"Host": "evil.invalid"})

    assert (answer.status_code, codes(answer)) == (401, ["UNAUTHORIZED"])
    challenge = answer.headers["WWW-Authenticate"]
    assert challenge.startswith(f'Bearer realm="{live.url}/v2/token",service=')
    assert "evil" not in challenge
    assert answer.headers["Docker-Distribution-API-Version"] == "registry/2.0"


@pytest.mark.parametrize(
    "said",
    [
        {"Host": "evil.invalid"},
        {"X-Forwarded-Host": "evil.invalid", "X-Forwarded-Proto": "https"},
        {"Forwarded": "host=evil.invalid;proto=https", "X-Forwarded-Prefix": "/evil"},
    ],
)
def test_whatever_a_client_says_of_us_our_addresses_stay_ours(live, said):
    challenge = live.stranger.get("/v2/", headers=said).headers["WWW-Authenticate"]
    place = live.client.post(f"/v2/{live.image()}/blobs/uploads/", headers=said).headers["Location"]

    assert f'realm="{live.url}/v2/token"' in challenge
    assert place.startswith("/v2/local/images/")


@pytest.mark.parametrize("path", ["/v2/", "/v2"])
def test_the_base_with_a_password_is_200(live, path):
    answer = live.client.get(path)

    assert answer.status_code == 200
    assert answer.headers["Docker-Distribution-API-Version"] == "registry/2.0"


def test_a_user_name_is_the_same_in_any_case(live):
    assert live.stranger.get("/v2/", auth=("ADMIN", PASSWORD)).status_code == 200


def test_an_unknown_user_reads_like_a_wrong_password(live):
    answers = [live.stranger.get("/v2/", auth=auth) for auth in (WRONG, NOBODY)]

    assert {answer.status_code for answer in answers} == {401}
    assert answers[0].content == answers[1].content
    assert answers[0].headers["WWW-Authenticate"] == answers[1].headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    "credentials",
    [
        "Basic",
        "Basic !!!!",
        "Basic " + base64.b64encode(b"no colon").decode(),
        "Basic " + base64.b64encode(b"\xff\xfe:x").decode(),
        "Basic " + base64.b64encode(b"admin:" + b"x" * 5000).decode(),
        "Basic " + base64.b64encode(b"a" * 5000 + b":x").decode(),
        "Basic " + base64.b64encode(b"admin\0:x").decode(),
        "Bearer",
        "Bearer x",
        "Bearer \xff",
        "Digest x",
        "x",
    ],
)
def test_credentials_that_are_none_are_401(live, credentials):
    answer = live.stranger.get("/v2/", headers={b"Authorization": credentials.encode("latin-1")})

    assert (answer.status_code, codes(answer)) == (401, ["UNAUTHORIZED"])


def test_empty_basic_credentials_are_the_anonymous(live):
    image = live.image("local/public")
    digest = live.push(image, b"public")

    answer = live.stranger.get(f"/v2/{image}/blobs/{digest}", auth=("", ""))

    assert answer.status_code == 200
    assert live.stranger.get("/v2/", auth=("", "")).status_code == 401


def test_wrong_credentials_are_401_even_for_what_anyone_may_read(live):
    image = live.image("local/public")
    digest = live.push(image, b"public")

    assert live.stranger.get(f"/v2/{image}/blobs/{digest}").status_code == 200
    assert live.stranger.get(f"/v2/{image}/blobs/{digest}", auth=WRONG).status_code == 401


@pytest.mark.parametrize("place", ["tags/list", "manifests/t", f"blobs/{digest_of(b'x')}"])
def test_private_and_missing_are_the_same_to_the_anonymous(live, place):
    private, missing = live.image(), live.image("local/nowhere")
    live.push(private, b"x")

    answers = [live.stranger.get(f"/v2/{name}/{place}") for name in (private, missing)]

    assert {answer.status_code for answer in answers} == {401}
    assert answers[0].content == answers[1].content
    for name, answer in zip((private, missing), answers, strict=True):
        assert f'scope="repository:{name}:pull"' in answer.headers["WWW-Authenticate"]


def test_a_token_answer_has_what_clients_read(live):
    answer = live.client.get("/v2/token", params={"service": "x", "account": "admin"})

    body = answer.json()
    assert body["token"] == body["access_token"]
    assert body["expires_in"] >= 60
    assert body["issued_at"].endswith("Z")
    assert "refresh_token" not in body
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_token_lets_its_owner_in(live):
    assert live.stranger.get("/v2/", headers=bearer(token_for(live))).status_code == 200


def test_a_token_of_the_anonymous_pulls_public_images_only(live):
    public, private = live.image("local/public"), live.image()
    content = b"for everyone"
    live.push(public, content)
    live.push(private, content)
    token = token_for(
        live, f"repository:{public}:pull", f"repository:{private}:pull,push", auth=None
    )

    allowed = live.stranger.get(f"/v2/{public}/blobs/{digest_of(content)}", headers=bearer(token))
    refused = live.stranger.get(f"/v2/{private}/blobs/{digest_of(content)}", headers=bearer(token))

    assert (allowed.status_code, refused.status_code) == (200, 401)
    assert live.stranger.get("/v2/", headers=bearer(token)).status_code == 401


def test_a_pull_token_does_not_push(live):
    image = live.image()
    token = token_for(live, f"repository:{image}:pull")

    answer = live.stranger.post(f"/v2/{image}/blobs/uploads/", headers=bearer(token))

    assert answer.status_code == 401
    assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]
    assert f'scope="repository:{image}:pull,push"' in answer.headers["WWW-Authenticate"]


def test_a_push_token_pushes_and_mounts_only_from_what_it_may_pull(live):
    source, image = live.image(), live.image()
    digest = live.push(source, b"to mount by token")
    narrow = token_for(live, f"repository:{image}:pull,push")
    wide = token_for(live, f"repository:{image}:pull,push", f"repository:{source}:pull")
    place, parameters = f"/v2/{image}/blobs/uploads/", {"mount": digest, "from": source}

    refused = live.stranger.post(place, params=parameters, headers=bearer(narrow))
    hidden = live.stranger.post(place, params={"mount": digest}, headers=bearer(narrow))
    mounted = live.stranger.post(place, params=parameters, headers=bearer(wide))

    assert [each.status_code for each in (refused, hidden, mounted)] == [202, 202, 201]


def test_several_scopes_in_one_parameter_count(live):
    first, second = live.image(), live.image()
    token = token_for(live, f"repository:{first}:pull,push repository:{second}:push")

    for image in (first, second):
        answer = live.stranger.post(f"/v2/{image}/blobs/uploads/", headers=bearer(token))
        assert answer.status_code == 202


@pytest.mark.parametrize("scope", ["", "x", "repository:a", "repository:a:b:c:fly", "a:b:c d:e"])
def test_a_scope_that_grants_nothing_is_no_error(live, scope):
    answer = live.client.get("/v2/token", params={"scope": scope})

    assert answer.status_code == 200


def test_a_wrong_password_gets_no_token(live):
    answer = live.stranger.get("/v2/token", auth=WRONG)

    assert (answer.status_code, codes(answer)) == (401, ["UNAUTHORIZED"])
    assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")


def test_a_token_makes_no_other_token(live):
    token = token_for(live, "repository:a/b/c:pull")

    answer = live.stranger.get(
        "/v2/token", params={"scope": "repository:a/b/c:push"}, headers=bearer(token)
    )

    assert answer.status_code == 401


def test_a_changed_or_foreign_token_is_401_invalid(live):
    token = token_for(live)

    for bad in (token[:-1] + ("A" if token[-1] != "A" else "Q"), token + "x", "a.b.c"):
        answer = live.stranger.get("/v2/", headers=bearer(bad))
        assert answer.status_code == 401
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_a_raised_epoch_ends_tokens_and_a_changed_hash_ends_passwords(live):
    old = _account(live, "carol", "old", epoch=1)
    token = token_for(live, auth=("carol", "old"))
    assert live.stranger.get("/v2/", headers=bearer(token)).status_code == 200

    new = _account(live, "carol", "new", epoch=2)

    assert old != new
    assert live.stranger.get("/v2/", headers=bearer(token)).status_code == 401
    assert live.stranger.get("/v2/", auth=("carol", "old")).status_code == 401
    assert live.stranger.get("/v2/", auth=("carol", "new")).status_code == 200


def test_an_account_without_rights_sees_missing_and_private_alike(live):
    _account(live, "dave", "dave", epoch=1)
    private, missing = live.image(), live.image("local/nowhere")
    live.push(private, b"x")
    place = f"blobs/{digest_of(b'x')}"

    answers = [
        live.stranger.get(f"/v2/{name}/{place}", auth=("dave", "dave"))
        for name in (private, missing)
    ]
    pushed = live.stranger.post(f"/v2/{private}/blobs/uploads/", auth=("dave", "dave"))
    public = live.stranger.post(
        f"/v2/{live.image('local/public')}/blobs/uploads/", auth=("dave", "dave")
    )

    assert [codes(answer) for answer in answers] == [["NAME_UNKNOWN"]] * 2
    assert {answer.status_code for answer in answers} == {404}
    assert (pushed.status_code, codes(pushed)) == (404, ["NAME_UNKNOWN"])
    assert (public.status_code, codes(public)) == (403, ["DENIED"])


def test_another_accounts_session_is_404(live):
    location = live.begin(live.image("local/public"))
    _account(live, "erin", "erin", epoch=1, role="admin")

    answer = live.stranger.get(location, auth=("erin", "erin"))

    assert (answer.status_code, codes(answer)) == (404, ["BLOB_UPLOAD_UNKNOWN"])


def _account(live, name: str, password: str, epoch: int, role: str = "user") -> User:
    user = User(hash=hash_password(password), role=role, epoch=epoch)
    live.run(live.registry.store.commit, [put(name, user)])
    return user


@pytest.mark.parametrize("way", ["hot", "application"])
@pytest.mark.parametrize("what", ["blobs/{}", "blobs/sha256:" + 64 * "0", "tags/list"])
def test_a_cache_before_us_hands_to_nobody_what_was_for_somebody(live, what, way, monkeypatch):
    """It may not know that a cookie, too, says who asks."""
    if way == "application":
        monkeypatch.setattr("frontend.registry.hot._hot_route", lambda head: None)
    image, somebody = live.image("local/public"), person(live)
    digest = live.push(image, b"cached")
    path = f"/v2/{image}/{what.format(digest)}"
    ours = [somebody.ask("GET", path), somebody.sign_in().ask("GET", path)]
    anybodys = live.stranger.get(path)

    for answer in ours:
        assert answer.status_code == anybodys.status_code
        assert answer.headers["Cache-Control"].startswith("private, ")
        assert len(answer.headers.get_list("Cache-Control")) == 1
    assert "private" not in anybodys.headers.get("Cache-Control", "")
    if what == "blobs/{}":
        assert ours[0].headers["Cache-Control"] == "private, max-age=31536000, immutable"
        assert anybodys.headers["Cache-Control"] == "max-age=31536000, immutable"
        tag = {"If-None-Match": f'"{digest}"'}
        unchanged = somebody.ask("GET", path, headers=tag)
        assert unchanged.status_code == 304
        assert unchanged.headers["Cache-Control"].startswith("private, ")
