"""Every kind of caller with every kind of credential, for the tables of rights."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from frontend.access import sessions, tokens
from tests.frontend.live import ADMIN, BASIC, Live
from tests.frontend.people import Browser, Person, basic_of, bearer, person

ROLES = ("stranger", "reader", "writer", "owner", "admin")
WAYS = ("password", "basic token", "bearer token", "registry token", "session")
NOBODIES = ("nothing", "empty password", "ended session", "expired session")  # as good as none
ANONYMOUS_TOKEN = "anonymous token"  # noqa: S105 - a kind of one
DEAD = (
    "wrong password",
    "unknown user",
    "expired token",
    "expired basic token",
    "revoked token",
    "revoked basic token",
    "disabled password",
    "disabled token",
    "disabled registry token",
    "revoked registry token",
    "tampered registry token",
    "unknown token",
    "unknown scheme",
)
# An administrator's, narrowed: (to what, the actions that are left on the private image's place).
NARROWED = {
    "pull scope": ("{place}", ("pull",)),
    "push scope": ("{place}", ("pull", "push")),
    "delete scope": ("*", ("pull", "push", "delete")),
    "other scope": ("local/elsewhere", ("pull", "push", "delete")),
}


@dataclass
class Callers:
    """Headers by kind: (role, way) → headers, and the others by their names."""

    live: Live
    place: str  # a private repository in which reader, writer and owner have roles
    scopes: tuple[str, ...]  # for registry tokens
    people: dict[str, Person] = field(default_factory=dict)
    known: dict[tuple[str, str], Mapping[str, str]] = field(default_factory=dict)
    others: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for role in ROLES:
            self._add_role(role)
        self._add_nobodies()
        self._add_dead()
        for kind, (reach, actions) in NARROWED.items():
            scope = {"repository": reach.format(place=self.place), "actions": list(actions)}
            self.others[kind] = bearer(self.people["admin"].make_token(scopes=[scope])["token"])

    def unsafe_without_csrf(self) -> Iterator[Mapping[str, str]]:
        """Sessions of administrators, used by a page that is not ours."""
        headers = dict(self.known["admin", "session"])
        yield {"Cookie": headers["Cookie"]}
        yield headers | {"Origin": "http://evil.invalid"}

    def _add_role(self, role: str) -> None:
        somebody = person(self.live, "admin" if role == "admin" else "user")
        self.people[role] = somebody
        if role in ("reader", "writer", "owner"):
            somebody.grant(self.place, "admin" if role == "owner" else role)
        token = somebody.make_token()["token"]
        self.known |= {
            (role, "password"): {"Authorization": somebody.basic},
            (role, "basic token"): {"Authorization": basic_of("whoever", token)},
            (role, "bearer token"): bearer(token),
            (role, "registry token"): bearer(somebody.registry_token(*self.scopes)),
            (role, "session"): somebody.sign_in().headers,
        }

    def _add_nobodies(self) -> None:
        ended = person(self.live).sign_in()
        ended.ask("DELETE", "/api/v1/session")
        expired = person(self.live).sign_in()
        _expire(self.live, sessions, expired)
        anonymous = self.live.stranger.get("/v2/token", params={"scope": list(self.scopes)}).json()
        self.others |= {
            "nothing": {},
            "empty password": {"Authorization": basic_of("", "")},
            "ended session": ended.headers,
            "expired session": expired.headers,
            ANONYMOUS_TOKEN: bearer(anonymous["token"]),
        }

    def _add_dead(self) -> None:
        gone, late = person(self.live, "admin"), person(self.live, "admin")
        disabled = person(self.live, "admin")
        revoked = gone.make_token()
        by_revoked = gone.registry_token(*self.scopes, auth=("x", revoked["token"]))
        gone.ask("DELETE", f"/api/v1/tokens/{revoked['id']}")
        expired = late.make_token(expires_in_seconds=3600)
        _expire(self.live, tokens, expired["id"])
        token, short = disabled.make_token()["token"], disabled.registry_token(*self.scopes)
        self.live.client.patch(f"/api/v1/users/{disabled.name}", json={"disabled": True})
        whole = gone.registry_token(*self.scopes)
        self.others |= {
            "wrong password": {"Authorization": basic_of(ADMIN[0], "wrong")},
            "unknown user": {"Authorization": basic_of("nobody", "wrong")},
            "expired token": bearer(expired["token"]),
            "expired basic token": {"Authorization": basic_of(late.name, expired["token"])},
            "revoked token": bearer(revoked["token"]),
            "revoked basic token": {"Authorization": basic_of(gone.name, revoked["token"])},
            "disabled password": {"Authorization": disabled.basic},
            "disabled token": bearer(token),
            "disabled registry token": bearer(short),
            "revoked registry token": bearer(by_revoked),
            "tampered registry token": bearer(whole[:-1] + ("A" if whole[-1] != "A" else "Q")),
            "unknown token": bearer("orlop_" + "A" * 43),
            "unknown scheme": {"Authorization": BASIC.replace("Basic", "Digest")},
        }


def _expire(live: Live, kind, whose: Browser | str) -> None:
    """Have a token, or a session, be over since a moment."""

    def find(view):
        found = whose if isinstance(whose, str) else sessions.ROWS.find_id(view, whose.cookie)
        return found, kind.ROWS.find_row(view, found)

    found, row = live.registry.store.read(find)
    read = (tokens.Token if kind is tokens else sessions.Session).decode(row)
    fields = {name: getattr(read, name) for name in read.__struct_fields__}
    over = type(read)(**fields | {"expires_at": int(time.time()) - 1})
    live.run(partial(live.registry.store.commit, [kind.ROWS.put(found, over)]))
