"""Accounts of tests, made over the API with passwords of their own, and their credentials."""

import base64
import itertools
import secrets
from dataclasses import dataclass, field

import httpx

from tests.frontend.live import Live

_numbers = itertools.count(1)


@dataclass
class Person:
    """Somebody with an account."""

    live: Live
    name: str
    password: str = field(default_factory=lambda: secrets.token_urlsafe(12))

    @property
    def auth(self) -> tuple[str, str]:
        return self.name, self.password

    @property
    def basic(self) -> str:
        return basic_of(*self.auth)

    def ask(self, method: str, path: str, **options) -> httpx.Response:
        """One request with the password."""
        return self.live.stranger.request(method, path, auth=self.auth, **options)

    def make_token(self, **body) -> dict:
        answer = self.ask("POST", "/api/v1/tokens", json={"name": "t"} | body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def registry_token(self, *scopes: str, auth: tuple[str, str] | None = None) -> str:
        answer = self.live.stranger.get(
            "/v2/token", params={"scope": list(scopes)}, auth=auth or self.auth
        )
        assert answer.status_code == 200, answer.text
        return answer.json()["token"]

    def sign_in(self) -> "Browser":
        body = {"username": self.name, "password": self.password}
        answer = self.live.stranger.post("/api/v1/session", json=body)
        self.live.stranger.cookies.clear()
        assert answer.status_code == 201, answer.text
        return Browser(
            self.live, answer.cookies["orlop_session"], answer.json()["csrf_token"], answer
        )

    def grant(self, repository: str, role: str) -> None:
        path = f"/api/v1/repositories/{repository}/grants/{self.name}"
        answer = self.live.client.put(path, json={"role": role})
        assert answer.status_code == 200, answer.text


@dataclass
class Browser:
    """A session."""

    live: Live
    cookie: str
    csrf: str
    answer: httpx.Response

    @property
    def headers(self) -> dict[str, str]:
        return {"Cookie": f"orlop_session={self.cookie}", "X-CSRF-Token": self.csrf}

    def ask(self, method: str, path: str, **options) -> httpx.Response:
        headers = self.headers | options.pop("headers", {})
        return self.live.stranger.request(method, path, headers=headers, **options)


def person(live: Live, role: str = "user") -> Person:
    """Somebody new."""
    somebody = Person(live, f"p{next(_numbers)}-{secrets.token_hex(3)}")
    body = {"username": somebody.name, "password": somebody.password, "role": role}
    answer = live.client.post("/api/v1/users", json=body)
    assert answer.status_code == 201, answer.text
    return somebody


def repository(live: Live, visibility: str = "private") -> str:
    """A new repository."""
    name = f"local/r{next(_numbers)}-{secrets.token_hex(3)}"
    live.create_repository(name, visibility)
    return name


def basic_of(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def detail(answer: httpx.Response) -> str:
    """What a problem says."""
    assert answer.headers["Content-Type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == answer.status_code
    return body["detail"]
