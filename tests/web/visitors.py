"""Browsers without scripts: they ask for pages, follow redirects when told to, and send forms."""

import re
from dataclasses import dataclass, field

import httpx

from tests.frontend.live import Live
from tests.frontend.people import Person, person

ROLES = ("anonymous", "stranger", "reader", "owner", "admin")
_CSRF = re.compile(r'name="csrf" value="([0-9a-f]{64})"')


@dataclass
class Visitor:
    """One browser; `who` is None of somebody who is not signed in."""

    live: Live
    who: Person | None = None
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx.Client(
            base_url=self.live.server.url,
            headers={"Accept": "text/html,*/*;q=0.8", "Sec-Fetch-Site": "same-origin"},
            trust_env=False,
            timeout=20,
        )
        if self.who is not None:
            fields = {"username": self.who.name, "password": self.who.password}
            answer = self.client.post("/sign-in", data=fields)
            assert answer.status_code == 303, answer.text

    @property
    def csrf(self) -> str:
        """What its pages send with their forms; empty: they have none."""
        found = _CSRF.search(self.get("/").text)
        return found[1] if found else ""

    def get(self, path: str, **options) -> httpx.Response:
        return self.client.get(path, **options)

    def send(self, path: str, **fields) -> httpx.Response:
        """Send a form of a page."""
        return self.client.post(path, data=fields | {"csrf": self.csrf})


class Visitors:
    """One for each role in the repository `place`, made when asked for."""

    def __init__(self, live: Live, place: str) -> None:
        self.live = live
        self.place = place
        self._made: dict[str, Visitor] = {}

    def __getitem__(self, role: str) -> Visitor:
        if role not in self._made:
            self._made[role] = Visitor(self.live, self._person(role))
        return self._made[role]

    def close(self) -> None:
        for each in self._made.values():
            each.client.close()

    def _person(self, role: str) -> Person | None:
        if role == "anonymous":
            return None
        somebody = person(self.live, "admin" if role == "admin" else "user")
        if role in ("reader", "owner"):
            somebody.grant(self.place, "admin" if role == "owner" else role)
        return somebody
