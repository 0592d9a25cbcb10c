"""Proxy repositories on the command line: what is asked for, and what is shown. A fake client."""

import io
import secrets

import pytest

from tests.frontend.test_commands import PROXY, UPSTREAM

SECRET = secrets.token_urlsafe(16)


@pytest.mark.parametrize(
    ("arguments", "call"),
    [
        (
            "repository create local/hub --proxy https://registry.test/library --public "
            "--ttl 60 --offline --max-size 50GB",
            (
                "POST",
                "/api/v1/repositories",
                {
                    "storage": "local",
                    "name": "hub",
                    "visibility": "public",
                    "kind": "proxy",
                    "upstream": {
                        "url": "https://registry.test/library",
                        "tag_ttl_seconds": 60,
                        "offline": True,
                        "max_bytes": 50 * 10**9,
                    },
                },
            ),
        ),
        (
            "repository update local/hub --online --ttl 0 --max-size 0",
            (
                "PATCH",
                "/api/v1/repositories/local/hub",
                {"upstream": {"tag_ttl_seconds": 0, "offline": False, "max_bytes": 0}},
            ),
        ),
        (
            "repository update local/hub --upstream-user=",
            (
                "PATCH",
                "/api/v1/repositories/local/hub",
                {"upstream": {"username": "", "password": ""}},
            ),
        ),
    ],
)
def test_settings_of_a_proxy_are_one_call(fake, orlop, arguments, call):
    fake.answers[call[0], call[1]] = {}

    code, _, err = orlop(*arguments.split())

    assert (code, err, fake.calls) == (0, "", [call])


@pytest.mark.parametrize(
    "arguments",
    [
        "repository create local/hub --ttl 60",
        "repository create local/hub --upstream-user ann",
        "repository create local/hub --proxy https://a --ttl=-1",
        "repository create local/hub --proxy https://a --max-size much",
        "repository update local/hub --offline --online",
    ],
)
def test_what_cannot_be_meant_is_2_and_asks_nobody(orlop, fake, arguments):
    code, out, err = orlop(*arguments.split())

    assert (code, fake.calls) == (2, [])
    assert out + err


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_password_of_an_upstream_comes_from_standard_input(fake, orlop, monkeypatch, method):
    verb, path = {"POST": ("create", ""), "PATCH": ("update", "/local/hub")}[method]
    fake.answers[method, f"/api/v1/repositories{path}"] = {}
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{SECRET}\n"))
    named = ("--proxy", UPSTREAM["url"], "--upstream-user", "ann", "--upstream-password-stdin")

    code, out, err = orlop("repository", verb, "local/hub", *named)

    assert (code, err) == (0, "")
    assert SECRET not in out
    assert fake.calls[0][2]["upstream"] == {
        "url": UPSTREAM["url"],
        "username": "ann",
        "password": SECRET,
    }


def test_a_password_of_an_upstream_is_asked_for_on_a_terminal_alone(fake, orlop, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{SECRET}\n"))
    named = ("--proxy", UPSTREAM["url"], "--upstream-user", "ann")

    code, _, err = orlop("repository", "create", "local/hub", *named)

    assert (code, fake.calls) == (1, [])
    assert "terminal" in err


def test_the_upstream_of_a_repository_is_shown(fake, orlop):
    fake.answers["GET", "/api/v1/repositories/local/hub"] = PROXY

    out = orlop("repository", "show", "local/hub")[1]

    assert "upstream url\thttps://registry.test/library\nupstream username\t\n" in out
