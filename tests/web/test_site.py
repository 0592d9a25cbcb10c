"""What every page has, and what visitors get who may not have the page they want."""

import gzip
import re

import httpx
import pytest

from frontend.web.answers import make
from frontend.web.rendering import environment
from tests.frontend.people import bearer, person
from tests.web.visitors import Visitor

HTML = {"Accept": "text/html"}
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def visitor(live):
    made = Visitor(live)
    yield made
    made.client.close()


def check_headers(answer):
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        ("/sign-in", 200),
        ("/r/local/public", 200),
        ("/nothing", 404),
        ("/?page=x", 400),
        ("/account", 303),
        ("/static/none", 404),
    ],
)
def test_every_answer_to_a_browser_is_kept_from_strangers(visitor, path, status):
    answer = visitor.get(path)

    assert answer.status_code == status
    if not path.startswith("/static"):
        check_headers(answer)
        assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["/nothing", "/r/local/nowhere", "/?page=x"])
def test_a_program_is_told_of_errors_as_by_the_api(live, path):
    answer = live.client.get(path)

    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["status"] == answer.status_code >= 400


def test_the_api_answers_browsers_with_problems_too(live):
    answer = live.stranger.get("/api/v1/nothing", headers=HTML)

    assert answer.headers["Content-Type"] == "application/problem+json"


def test_head_has_no_body_and_the_same_status(visitor):
    for path, status in (("/", 200), ("/nothing", 404)):
        answer = visitor.client.head(path)

        assert (answer.status_code, answer.content) == (status, b"")


def test_who_has_to_sign_in_comes_back_to_what_was_asked(live, visitor):
    answer = visitor.get("/r/local/images/app?sort=name&q=a%26b")

    assert answer.status_code == 303
    sign_in = answer.headers["Location"]
    assert sign_in == "/sign-in?next=%2Fr%2Flocal%2Fimages%2Fapp%3Fsort%3Dname%26q%3Da%2526b"
    back = re.search('name="next" value="([^"]*)"', visitor.get(sign_in).text)[1]
    somebody = person(live)
    fields = {"username": somebody.name, "password": somebody.password}
    answer = visitor.client.post("/sign-in", data=fields | {"next": back.replace("&amp;", "&")})
    assert answer.headers["Location"] == "/r/local/images/app?sort=name&q=a%26b"


@pytest.mark.parametrize("to", ["//evil.invalid", "https://evil.invalid", "/\\evil.invalid"])
def test_signing_in_never_leads_to_another_site(live, visitor, to):
    somebody = person(live)
    fields = {"username": somebody.name, "password": somebody.password, "next": to}

    page = visitor.get("/sign-in", params={"next": to})
    answer = visitor.client.post("/sign-in", data=fields)

    assert '<input type="hidden" name="next" value="/">' in page.text
    assert answer.headers["Location"] == "/"


def test_a_wrong_password_is_told_on_the_form_and_is_not_repeated(live, visitor):
    fields = {"username": SCRIPT, "password": "wrong-password", "next": "/account"}

    answer = visitor.client.post("/sign-in", data=fields)

    assert answer.status_code == 401
    assert "wrong user name or password" in answer.text
    assert 'value="/account"' in answer.text
    assert "wrong-password" not in answer.text
    assert SCRIPT not in answer.text
    assert "&lt;script&gt;" in answer.text


def test_signing_out_ends_the_session_itself(live):
    visitor = Visitor(live, person(live))
    session = dict(visitor.client.cookies)

    answer = visitor.send("/sign-out")

    assert answer.status_code == 303
    assert "orlop_session" not in visitor.client.cookies
    again = httpx.get(f"{live.server.url}/account", cookies=session, headers=HTML, trust_env=False)
    assert again.headers["Location"].startswith("/sign-in")
    visitor.client.close()


def test_tokens_see_pages_but_send_no_forms(live):
    token = bearer(person(live).make_token()["token"])

    shown = live.stranger.get("/", headers=HTML | token)
    sent = live.stranger.post("/theme", headers=HTML | token, data={"theme": "dark"})

    assert shown.status_code == 200
    assert sent.status_code == 403


def test_a_theme_is_remembered_by_the_browser(visitor):
    answer = visitor.send("/theme", theme="dark", next="/sign-in")

    assert answer.headers["Location"] == "/sign-in"
    assert 'data-theme="dark"' in visitor.get("/").text
    visitor.send("/theme", theme="")
    assert "data-theme" not in visitor.get("/").text


def test_a_body_that_is_no_form_is_refused(visitor):
    answer = visitor.client.post("/theme", json={"theme": "dark"})

    assert answer.status_code == 400


def test_pages_are_small_and_packed_for_who_takes_that(live):
    plain = live.stranger.get("/", headers=HTML | {"Accept-Encoding": "identity"})
    packed = live.stranger.get("/", headers=HTML | {"Accept-Encoding": "gzip"})

    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["Vary"] == "Accept-Encoding"
    assert int(packed.headers["Content-Length"]) < int(plain.headers["Content-Length"])


def test_the_first_page_is_below_30_kilobytes_with_all_it_needs(live):
    page = live.client.get("/", headers=HTML | {"Accept-Encoding": "gzip"})
    files = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text))

    sizes = [int(live.stranger.get(each).headers["Content-Length"]) for each in files]

    assert len(files) == 3
    assert int(page.headers["Content-Length"]) + sum(sizes) < 30_000


def test_files_are_kept_forever_under_the_name_of_their_content(live):
    page = live.stranger.get("/", headers=HTML)
    for each in set(re.findall(r'"(/static/[^"]+)"', page.text)):
        answer = live.stranger.get(each)

        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.headers["Content-Type"].split(";")[0] in (
            "text/css",
            "text/javascript",
            "image/svg+xml",
        )


@pytest.mark.parametrize(
    ("accepts", "is_packed"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0", False),
        ("", False),
        ("identity", False),
        ("x-gzip", False),
    ],
)
def test_packing_is_for_who_accepts_it(accepts, is_packed):
    made = make(200, b"a" * 5000, accepts)

    assert (("Content-Encoding", "gzip") in made.headers) == is_packed
    assert ("Content-Length", str(len(made.content))) in made.headers
    assert is_packed == (made.content != b"a" * 5000)
    if is_packed:
        assert gzip.decompress(made.content) == b"a" * 5000


def test_what_strangers_wrote_is_escaped_and_turns_nothing_around():
    text = f'\N{RIGHT-TO-LEFT OVERRIDE}{SCRIPT}"'

    found = environment().from_string("{{ text|bdi }} {{ text }}").render(text=text)

    escaped = "\N{RIGHT-TO-LEFT OVERRIDE}&lt;script&gt;alert(1)&lt;/script&gt;&#34;"
    assert found == f"<bdi>{escaped}</bdi> {escaped}"


def test_a_fault_of_ours_is_a_page_that_says_nothing_of_it(live, visitor, monkeypatch):
    live.errors.expect("broken on purpose")

    def broken(*_):
        raise ValueError("broken on purpose")

    monkeypatch.setattr("frontend.management.repositories._page", broken)
    answer = visitor.get("/")

    assert answer.status_code == 500
    assert "Something went wrong in the server" in answer.text
    assert "purpose" not in answer.text


@pytest.mark.parametrize("path", ["/", "/sign-in", "/nothing", "/account", "/static/orlop.css"])
def test_an_answer_has_each_of_its_fields_once(live, path):
    """Read from the socket: clients' libraries make one of two equal lengths."""
    asked = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    head = live.exchange(asked.encode()).partition(b"\r\n\r\n")[0]

    names = [line.partition(b":")[0].lower() for line in head.split(b"\r\n")[1:]]
    assert sorted(names) == sorted(set(names))
    assert b"content-length" in names
