"""Who we say we are, to whom, and what of it is kept."""

import json
import logging
import secrets
from base64 import b64decode
from functools import partial
from urllib.parse import parse_qs

import pytest
import trio

from frontend.upstream.answers import Wanted
from frontend.upstream.errors import (
    RealmRefused,
    UpstreamBroken,
    UpstreamDenied,
    UpstreamFault,
    UpstreamLimited,
    UpstreamUnauthorized,
    UpstreamUnavailable,
)
from tests.upstream.faulty import answer, sending

MANIFEST = Wanted("app", "manifests", "v1")
SECRET = secrets.token_urlsafe(12)
OTHER = "other.example"


class Issuer:
    """A registry with a token endpoint at /token: each token is good for one scope."""

    def __init__(self, faulty, password=None, realm=None, **answered):
        self.faulty = faulty
        self.password = password
        self.realm = realm or faulty.url("/token")
        self.answered = answered
        self.issued = []
        self.good = {}

    async def __call__(self, asked, stream):
        if asked.target.startswith("/token"):
            await stream.send_all(self.issue(asked))
            return True
        name = asked.target.removeprefix("/v2/").partition("/manifests/")[0]
        wanted = self.good.get(f"repository:{name}:pull", object())
        if asked.headers.get("authorization") == f"Bearer {wanted}":
            await stream.send_all(answer(200, b"{}"))
        else:
            scope = f"repository:{name}:pull,push"
            challenge = f'Bearer realm="{self.realm}",service="here & now",scope="{scope}"'
            await stream.send_all(answer(401, b"{}", f"WWW-Authenticate: {challenge}"))
        return True

    def issue(self, asked):
        query = parse_qs(asked.target.partition("?")[2] or asked.content.decode())
        said = asked.headers.get("authorization", "")
        if self.password is not None and said != f"Basic {self.password}":
            return answer(401)
        self.issued.append(query)
        [scope] = query["scope"]
        token = f"token-{len(self.issued)}"
        self.good[scope] = token
        return answer(200, json.dumps({"token": token} | self.answered).encode())


async def get(client, path="app"):
    async with client.open("GET", Wanted(path, "manifests", "v1")) as found:
        return await found.read(1000)


async def test_a_token_is_fetched_for_the_image_and_nothing_more(faulty):
    faulty.behave = issuer = Issuer(faulty)

    assert await get(faulty.client()) == b"{}"

    assert issuer.issued == [{"scope": ["repository:app:pull"], "service": ["here & now"]}]
    assert [asked.target.partition("?")[0] for asked in faulty.requests] == [
        "/v2/app/manifests/v1", "/token", "/v2/app/manifests/v1"
    ]  # fmt: skip
    assert "authorization" not in faulty.requests[1].headers
    assert faulty.connections == 1


async def test_a_token_is_kept_for_its_image_and_challenges_are_expected(faulty):
    faulty.behave = issuer = Issuer(faulty)
    client = faulty.client()

    for path in ("app", "app", "other/app", "app", "other/app"):
        await get(client, path)

    assert len(issuer.issued) == 2
    assert len(faulty.requests) == 5 + 2 + 1  # one challenge was enough


async def test_many_who_ask_at_once_fetch_one_token(faulty):
    faulty.behave = issuer = Issuer(faulty)
    client = faulty.client()

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(get, client)

    assert len(issuer.issued) == 1


async def test_whoever_fetched_it_for_all_may_leave(faulty):
    issuer = Issuer(faulty)
    hung = trio.Event()

    async def behave(asked, stream):
        if asked.target.startswith("/token") and not hung.is_set():
            hung.set()
            await trio.sleep_forever()
        return await issuer(asked, stream)

    faulty.behave = behave
    client = faulty.client()

    async with trio.open_nursery() as nursery:
        first = trio.CancelScope()

        async def leaving():
            with first:
                await get(client)

        nursery.start_soon(leaving)
        await hung.wait()
        nursery.start_soon(get, client)
        await trio.testing.wait_all_tasks_blocked()
        first.cancel()

    assert len(issuer.issued) == 1


@pytest.mark.parametrize(("seconds", "fetched"), [(1, 2), ("1", 2), (-5, 2), (3600, 1), (None, 1)])
async def test_a_token_is_renewed_before_it_ends(faulty, monkeypatch, seconds, fetched):
    faulty.behave = issuer = Issuer(faulty, expires_in=seconds)
    client = faulty.client()
    await get(client)
    real = trio.current_time

    monkeypatch.setattr("frontend.upstream.tokens.trio.current_time", lambda: real() + 0.9)
    await get(client)

    assert len(issuer.issued) == fetched


async def test_a_token_that_is_not_taken_any_more_is_renewed_once(faulty):
    faulty.behave = issuer = Issuer(faulty)
    client = faulty.client()
    await get(client)

    issuer.good.clear()

    assert await get(client) == b"{}"
    assert len(issuer.issued) == 2


async def test_401_and_401_again_is_no_loop(faulty):
    faulty.behave = issuer = Issuer(faulty)
    issuer.good = type("Nothing", (dict,), {"get": lambda *_: object()})()

    with pytest.raises(UpstreamDenied):
        await get(faulty.client())

    assert len(faulty.requests) == 3


@pytest.mark.parametrize("name", ["token", "access_token"])
async def test_a_token_has_one_of_two_names(faulty, name):
    faulty.behave = Issuer(faulty, **{"token": None, name: "token-1"})

    assert await get(faulty.client()) == b"{}"


async def test_credentials_go_to_the_token_endpoint_and_the_token_to_the_registry(faulty):
    client = faulty.client(user="me", password=SECRET)
    faulty.behave = Issuer(faulty, client.upstream.credentials.basic.removeprefix("Basic "))

    await get(client)

    said = [asked.headers.get("authorization", "") for asked in faulty.requests]
    assert said[0] == ""
    assert b64decode(said[1].removeprefix("Basic ")).decode() == f"me:{SECRET}"
    assert said[2] == "Bearer token-1"


async def test_a_refresh_token_is_posted(faulty):
    faulty.behave = issuer = Issuer(faulty)

    await get(faulty.client(user="<token>", password=SECRET))

    assert faulty.requests[1].method == "POST"
    assert faulty.requests[1].target == "/token"
    assert issuer.issued == [
        {"service": ["here & now"], "scope": ["repository:app:pull"], "client_id": ["orlop"],
         "grant_type": ["refresh_token"], "refresh_token": [SECRET]}
    ]  # fmt: skip


async def test_basic_is_said_when_it_is_asked_for_and_then_at_once(faulty):
    async def behave(asked, stream):
        is_known = "authorization" in asked.headers
        challenge = 'WWW-Authenticate: Negotiate, Basic realm="registry"'
        await stream.send_all(answer(200, b"{}") if is_known else answer(401, b"", challenge))
        return True

    faulty.behave = behave
    client = faulty.client(user="me", password=SECRET)

    await get(client)
    await get(client)

    assert len(faulty.requests) == 3


@pytest.mark.parametrize("scheme", ["basic", "bearer"])
async def test_wrong_credentials_are_the_administrators_affair_and_not_tried_again(faulty, scheme):
    if scheme == "basic":
        faulty.behave = sending(answer(401, b"", "WWW-Authenticate: Basic realm=x"))
    else:
        faulty.behave = Issuer(faulty, secrets.token_urlsafe(12))
    client = faulty.client(user="me", password=SECRET)

    for _ in range(5):
        with pytest.raises(UpstreamUnauthorized) as caught:
            await get(client)

    assert SECRET not in caught.value.told + str(caught.value) + repr(caught.value)
    if scheme == "bearer":
        assert len([each for each in faulty.requests if "/token" in each.target]) == 1
    else:
        assert len(faulty.requests) == 2 + 4  # shown once to each question, not twice


@pytest.mark.parametrize(
    "path",
    [
        "http://other.example/token",
        "http://10.1.1.1/",
        "token",
        "",
        "http://a@b/",
        "http://upstream.example\\@other.example/",
        "ftp://upstream.example/",
    ],
)
@pytest.mark.parametrize("user", ["", "me"])
async def test_a_foreign_realm_is_never_asked(faulty, path, user):
    faulty.names[OTHER] = ["127.0.0.1"]
    faulty.behave = sending(answer(401, b"", f'WWW-Authenticate: Bearer realm="{path}",service=x'))

    with pytest.raises(RealmRefused) as caught:
        await get(faulty.client("127.0.0.0/8", user=user, password=SECRET))

    assert len(faulty.requests) == 1
    assert faulty.connections == 1
    if path.startswith("http://other"):
        assert (
            "http://other.example: if that is right, add the host to proxy.allow"
            in caught.value.told
        )


async def test_a_realm_that_is_allowed_sees_the_credentials(faulty):
    faulty.names[OTHER] = ["127.0.0.1"]
    faulty.behave = Issuer(faulty, realm=faulty.url("/token?x=1", OTHER))

    await get(faulty.client(OTHER, user="me", password=SECRET))

    asked = faulty.requests[1]
    assert asked.headers["host"] == f"{OTHER}:{faulty.port}"
    assert "authorization" in asked.headers
    assert asked.target.startswith("/token?x=1&service=")


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (answer(500), UpstreamUnavailable), (answer(429, b"", "Retry-After: 9"), UpstreamLimited),
        (answer(403), UpstreamDenied), (answer(302, b"", "Location: /x"), UpstreamBroken),
        (answer(200, b"no json"), UpstreamBroken), (answer(200, b"{}"), UpstreamBroken),
        (answer(200, b"[" * 100_000), UpstreamBroken), (answer(200, b"[" * 50_000), UpstreamBroken),
        (answer(200, b'{"token": "a b"}'), UpstreamBroken),
        (answer(200, b'{"token": "a\\r\\nX: y"}'), UpstreamBroken),
        (answer(200, b'{"token": 5}'), UpstreamBroken), (answer(200, b'\xff'), UpstreamBroken),
    ],
)  # fmt: skip
async def test_a_token_endpoint_can_be_wrong_in_many_ways(faulty, given, kind):
    issuer = Issuer(faulty)
    issuer.issue = lambda asked: given
    faulty.behave = issuer

    with pytest.raises(UpstreamFault) as caught:
        await get(faulty.client())

    assert type(caught.value) is kind


@pytest.mark.parametrize(
    "field", ["", "WWW-Authenticate: Digest realm=x", 'WWW-Authenticate: Basic realm="x']
)
async def test_a_challenge_that_we_cannot_meet_is_a_no(faulty, field):
    faulty.behave = sending(answer(401, b"", *([field] if field else [])))

    with pytest.raises(UpstreamDenied):
        await get(faulty.client(user="me", password=SECRET))

    assert not any("authorization" in asked.headers for asked in faulty.requests)


async def test_secrets_are_in_no_log_and_no_repr(faulty, caplog):
    caplog.set_level(logging.DEBUG)
    client = faulty.client(user="me", password=SECRET)
    faulty.behave = Issuer(faulty, client.upstream.credentials.basic.removeprefix("Basic "))

    await get(client)

    seen = caplog.text + repr(client.upstream) + repr(vars(client._tokens)) + repr(client.health())
    for secret in (SECRET, client.upstream.credentials.basic, "token-1"):
        assert secret not in seen


async def test_only_so_many_tokens_are_kept(faulty, monkeypatch):
    monkeypatch.setattr("frontend.upstream.tokens.MAX_TOKENS", 2)
    faulty.behave = issuer = Issuer(faulty)
    client = faulty.client()

    for path in ("a", "b", "a", "c", "a", "b"):
        await partial(get, client)(path)

    assert len(issuer.issued) == 4  # b was forgotten for c
