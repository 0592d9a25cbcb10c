"""Browsers that are signed in: the cookie, the token against forged changes, and their end."""

import pytest

from frontend.access.sessions import ROWS, TABLE, Session, cookie_of, csrf_token, is_csrf_token
from frontend.domain.origin import is_own_origin
from index.changes import PutRecord
from tests.frontend.h2_client import Peer
from tests.frontend.live import digest_of, running
from tests.frontend.people import bearer, detail, person, repository

SETTING = ("PUT", "/api/v1/repositories/{place}/grants/{name}")


@pytest.fixture(scope="module")
def somebody(live):
    return person(live)


def test_signing_in_gives_a_cookie_that_no_script_and_no_other_site_gets(live, somebody):
    browser = somebody.sign_in()

    cookie = browser.answer.headers["Set-Cookie"]
    assert cookie.startswith(f"orlop_session={browser.cookie}; ")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    body = browser.answer.json()
    assert body["user"] == {"username": somebody.name, "role": "user"}
    assert browser.cookie not in browser.answer.text
    assert browser.answer.headers["Cache-Control"] == "no-store"


def test_under_tls_the_cookie_stays_under_tls(secure):
    browser = person(secure).sign_in()

    assert "; Secure" in browser.answer.headers["Set-Cookie"]


@pytest.mark.parametrize(
    "body", [{"username": "x", "password": "y"}, {"username": "{}", "password": "wrong"}]
)
def test_a_wrong_password_signs_nobody_in(live, somebody, body):
    said = {key: value.format(somebody.name) for key, value in body.items()}

    answer = live.stranger.post("/api/v1/session", json=said)

    assert answer.status_code == 401
    assert "wrong user name or password" in detail(answer)
    assert "Set-Cookie" not in answer.headers


def test_a_token_signs_nobody_in(live, somebody):
    token = somebody.make_token()["token"]

    body = {"username": somebody.name, "password": token}

    assert live.stranger.post("/api/v1/session", json=body).status_code == 401


def test_a_session_reads_the_api_and_the_registry(live, somebody):
    place = repository(live)
    somebody.grant(place, "reader")
    content = b"for a browser"
    live.push(f"{place}/app", content)
    browser = somebody.sign_in()

    for _ in range(3):  # proven, found and recalled
        got = browser.ask("GET", f"/v2/{place}/app/blobs/{digest_of(content)}")
        assert got.content == content
    assert browser.ask("GET", f"/v2/{place}/app/tags/list").status_code == 200
    shown = browser.ask("GET", "/api/v1/session").json()
    assert shown["csrf_token"] == browser.csrf
    assert shown["via"] == "session"


@pytest.mark.parametrize(
    "headers",
    [
        {"X-CSRF-Token": ""},
        {"X-CSRF-Token": "x" * 64},
        {"X-CSRF-Token": "\xff"},
        {"Origin": "http://evil.invalid"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_change_that_another_site_may_have_asked_for_is_403(live, headers):
    boss = person(live, "admin")
    browser = boss.sign_in()
    image = live.image()
    said = {name: value.encode("latin-1") for name, value in headers.items()}

    over_api = browser.ask("POST", "/api/v1/storages", json={"name": "forged"}, headers=said)
    pushed = browser.ask("POST", f"/v2/{image}/blobs/uploads/", headers=said)
    read = browser.ask("GET", "/api/v1/storages", headers=said)

    assert (over_api.status_code, pushed.status_code, read.status_code) == (403, 403, 200)
    assert "X-CSRF-Token" in detail(over_api)


def test_a_change_by_a_page_of_ours_is_made(live):
    boss = person(live, "admin")
    browser = boss.sign_in()
    host = live.url.partition("://")[2]

    for name, headers in (
        ("plain", {}),
        ("origin", {"Origin": live.url, "Sec-Fetch-Site": "same-origin"}),
        ("alias", {"Origin": f"http://{host}", "Host": host}),
        ("other-name", {"Origin": "http://mirror.test:9", "Host": "mirror.test:9"}),
    ):
        answer = browser.ask("POST", "/api/v1/storages", json={"name": name}, headers=headers)
        assert answer.status_code == 201, answer.text


def test_another_site_cannot_have_a_browser_sign_in(live, somebody):
    body = {"username": somebody.name, "password": somebody.password}

    answer = live.stranger.post(
        "/api/v1/session", json=body, headers={"Origin": "http://evil.invalid"}
    )

    assert (answer.status_code, "Set-Cookie" in answer.headers) == (403, False)


def test_other_credentials_beside_a_cookie_are_those_that_count(live, somebody):
    browser = person(live, "admin").sign_in()
    cookie = {"Cookie": browser.headers["Cookie"]}

    mine = live.stranger.get("/api/v1/session", auth=somebody.auth, headers=cookie).json()
    wrong = live.stranger.get("/api/v1/session", auth=(somebody.name, "wrong"), headers=cookie)

    assert mine["user"]["username"] == somebody.name
    assert wrong.status_code == 401


def test_signing_out_ends_the_session_and_takes_the_cookie(live, somebody):
    browser = somebody.sign_in()

    answer = browser.ask("DELETE", "/api/v1/session")

    assert answer.status_code == 204
    assert "orlop_session=; Max-Age=0" in answer.headers["Set-Cookie"]
    assert browser.ask("GET", "/api/v1/session").status_code == 401
    assert browser.ask("DELETE", "/api/v1/session").status_code == 401


def test_sessions_are_listed_and_ended_by_whose_they_are(live):
    me, other = person(live), person(live)
    here, there, foreign = me.sign_in(), me.sign_in(), other.sign_in()
    listed = here.ask("GET", "/api/v1/sessions").json()["items"]
    away = next(each for each in listed if not each["is_current"])
    theirs = foreign.ask("GET", "/api/v1/sessions").json()["items"][0]

    ended = here.ask("DELETE", f"/api/v1/sessions/{away['id']}")
    stolen = here.ask("DELETE", f"/api/v1/sessions/{theirs['id']}")
    spied = here.ask("GET", "/api/v1/sessions", params={"username": other.name})

    assert len(listed) == 2
    assert "python-httpx" in away["agent"]
    assert (ended.status_code, stolen.status_code, spied.status_code) == (204, 404, 403)
    assert there.ask("GET", "/api/v1/session").status_code == 401
    assert foreign.ask("GET", "/api/v1/session").status_code == 200
    assert live.client.delete(f"/api/v1/sessions/{theirs['id']}").status_code == 204
    assert foreign.ask("GET", "/api/v1/session").status_code == 401


def test_a_session_ends_when_its_time_is_over(live, somebody):
    browser = somebody.sign_in()
    listed = browser.ask("GET", "/api/v1/sessions").json()["items"]
    key = ROWS.row_key(next(each["id"] for each in listed if each["is_current"]))
    row = Session.decode(live.registry.store.read(lambda view: view.record(TABLE, key)))
    fields = {name: getattr(row, name) for name in row.__struct_fields__} | {"expires_at": 1}

    live.run(live.registry.store.commit, [PutRecord(TABLE, key, Session(**fields).encode())])

    assert browser.ask("GET", "/api/v1/session").status_code == 401


def test_sessions_of_an_account_are_bounded_and_the_oldest_goes(tmp_path, monkeypatch):
    monkeypatch.setattr("frontend.management.sessions.MAX_SESSIONS", 3)
    with running(tmp_path / "data") as own:
        somebody = person(own)
        browsers = [somebody.sign_in() for _ in range(5)]
        alive = [each.ask("GET", "/api/v1/session").status_code for each in browsers]

    assert alive.count(200) == 3
    assert alive[-1] == 200


def test_the_token_of_a_session_says_nothing_of_its_cookie():
    assert is_csrf_token("a", csrf_token("a"))
    assert not is_csrf_token("a", csrf_token("b"))
    assert not is_csrf_token("a", "")
    assert "a" * 40 not in csrf_token("a" * 40)


@pytest.mark.parametrize(
    ("header", "cookie"),
    [
        ("", ""),
        ("orlop_session=x", "x"),
        ("a=b; orlop_session=x; c=d", "x"),
        ("xorlop_session=x", ""),
        ("orlop_session", ""),
        ("orlop_session=" + "x" * 201, ""),
        (";;;=;", ""),
    ],
)
def test_the_cookie_is_found_among_others(header, cookie):
    assert cookie_of(header) == cookie


def test_a_password_that_a_browser_knows_is_no_good_for_pages_of_other_sites(live):
    somebody, place = person(live), repository(live)
    somebody.grant(place, "admin")
    token = bearer(somebody.make_token()["token"])
    evil = {"Origin": "http://evil.invalid"}
    own = {"Origin": live.url}
    method, path = "POST", f"/v2/{place}/app/blobs/uploads/"

    forged = [
        somebody.ask(method, path, headers=evil),
        somebody.ask(method, path, headers={"Sec-Fetch-Site": "cross-site"}),
        somebody.ask("PATCH", f"/api/v1/repositories/{place}", headers=evil, json={}),
    ]
    sound = [
        somebody.ask(method, path, headers=own),
        somebody.ask(method, path),
        somebody.ask("PATCH", f"/api/v1/repositories/{place}", headers=own, json={}),
        live.stranger.request(method, path, headers=token | evil),  # no browser sends it by itself
    ]

    assert [each.status_code for each in forged] == [403] * 3
    assert [each.status_code for each in sound] == [202, 202, 200, 202]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_cookie_is_found_in_whichever_field_a_browser_sends_it(h2_live, place):
    browser = person(h2_live).sign_in()
    others = [(b"cookie", b"a=b"), (b"cookie", b"c=d")]
    fields = [*others[:place], (b"cookie", f"orlop_session={browser.cookie}".encode())]
    with Peer(h2_live) as peer:
        asked = [
            (b":method", b"GET"),
            (b":scheme", b"http"),
            (b":path", b"/api/v1/session"),
            (b":authority", b"x"),
            *fields,
            *others[place:],
        ]
        answer = peer.wait(peer.begin(asked))[0]

    assert answer.status == 200
    assert browser.csrf.encode() in answer.body


def test_the_cookie_is_found_in_whichever_field_a_proxy_hands_it_on(live, somebody):
    cookie = ("Cookie", f"orlop_session={somebody.sign_in().cookie}")
    fields = [("Cookie", "a=b"), cookie, ("Cookie", "c=d")]

    assert live.stranger.get("/api/v1/session", headers=fields).status_code == 200
    assert live.stranger.get("/v2/", headers=fields).status_code == 200


@pytest.mark.parametrize(
    ("headers", "is_ours"),
    [
        ({}, True),
        ({"origin": "https://r.test"}, True),
        ({"origin": "http://r.test"}, False),
        ({"origin": "https://r.test.evil"}, False),
        ({"origin": "https://evil", "host": "r.test"}, False),
        ({"origin": "https://r.test:5000", "host": "r.test:5000"}, True),
        ({"origin": "http://r.test", "host": "r.test"}, False),
        ({"origin": "http://other.test", "host": "other.test"}, False),
        ({"origin": "ftp://r.test", "host": "r.test"}, False),
        ({"origin": "null", "host": "null"}, False),
        ({"origin": "://", "host": ""}, False),
        ({"origin": "https://", "host": ""}, False),
        ({"sec-fetch-site": "none"}, True),
        ({"sec-fetch-site": "cross-site", "origin": "https://r.test"}, False),
    ],
)
def test_an_origin_is_ours_or_not(headers, is_ours):
    assert is_own_origin(headers, "https://r.test/v2/token") == is_ours


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_origin_under_tls_is_ours_also_where_a_proxy_takes_that_off(scheme):
    headers = {"origin": f"{scheme}://r.test", "host": "r.test"}

    assert is_own_origin(headers, "http://127.0.0.1:5080/v2/token")
