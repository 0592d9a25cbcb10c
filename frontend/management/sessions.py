"""Sessions: browsers that are signed in, and who one is."""

from functools import partial
from typing import Final

import msgspec

from cas.verbs import View
from frontend.access import sessions
from frontend.access.accounts import of_account
from frontend.access.sessions import COOKIE, Session, new_session
from frontend.access.standing import expect
from frontend.access.users import fold
from frontend.domain.deeds import Deed
from frontend.domain.discreet import Discreet
from frontend.domain.faults import CsrfFailed, Unauthorized
from frontend.domain.message import Realm
from frontend.domain.origin import is_own_origin
from frontend.management.committing import commit
from frontend.management.problems import Forbidden, NotFound
from frontend.management.replies import time_text
from frontend.management.routing import (
    Account,
    Anybody,
    Asked,
    Paging,
    Reply,
    Route,
    page_of,
)
from frontend.registry.call import CHANGED, Registry
from index.errors import ExpectationsFailed
from index.expectations import RecordIs

MAX_SESSIONS: Final = 50  # of one account; the oldest go
_AGENT: Final = 200  # characters of what a browser calls itself


class SignIn(Discreet, msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /api/v1/session`."""

    username: str
    password: str


class Identity(msgspec.Struct, frozen=True):
    """An account, as it sees itself."""

    username: str
    role: str


class Signed(Discreet, msgspec.Struct, frozen=True, kw_only=True):
    """Who is signed in. `csrf_token` goes into `X-CSRF-Token` of every change."""

    user: Identity
    via: str  # "password", "session", "token" or "socket"
    csrf_token: str | None = None


class SessionShown(msgspec.Struct, frozen=True, kw_only=True):
    """A browser that is signed in."""

    id: str
    created_at: str
    expires_at: str
    address: str
    agent: str
    is_current: bool


class SessionQuery(Paging, frozen=True, kw_only=True):
    """Whose sessions; another's are for administrators."""

    username: str = ""


class SessionPage(msgspec.Struct, frozen=True):
    """A page of sessions, the newest first."""

    page: int
    per_page: int
    total: int
    items: list[SessionShown]


class Sessions:
    """The handlers."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._store = registry.store

    def routes(self) -> tuple[Route, ...]:
        """The calls, and who may make them."""
        return (
            Route(
                method="POST",
                path="/api/v1/session",
                access=Anybody(),
                handler=self.sign_in,
                summary=f"Sign in with a password: sets the cookie `{COOKIE}`.",
                body=SignIn,
                answer=Signed,
                status=201,
            ),
            Route(
                method="GET",
                path="/api/v1/session",
                access=Account(),
                handler=self.show,
                summary="Who the caller is.",
                answer=Signed,
            ),
            Route(
                method="DELETE",
                path="/api/v1/session",
                access=Account(),
                handler=self.sign_out,
                summary="Sign out.",
                status=204,
            ),
            Route(
                method="GET",
                path="/api/v1/sessions",
                access=Account(is_direct=True),
                handler=self.list,
                summary="One's own sessions.",
                query=SessionQuery,
                answer=SessionPage,
            ),
            Route(
                method="DELETE",
                path="/api/v1/sessions/<id>",
                access=Account(is_direct=True),
                handler=self.revoke,
                summary="End a session: its next request is refused.",
                status=204,
            ),
        )

    async def sign_in(self, asked: Asked) -> Reply:
        """Sign in.

        Raises:
            CsrfFailed: a page of another site asks for it.
            Unauthorized, TooManyRequests
        """
        realm = asked.client.realm
        if not is_own_origin(asked.headers, realm.url):
            raise CsrfFailed
        authenticator, body = self._registry.authenticator, asked.body
        principal, user = await authenticator.log_in(
            body.username, body.password, asked.client.address
        )
        now = self._registry.site.now()
        row = Session(
            hash=b"",
            user=principal.name,
            user_id=user.id,
            epoch=user.epoch,
            created_at=now,
            expires_at=now + self._registry.settings.access.session_seconds,
            address=asked.client.address,
            agent=asked.headers.get("user-agent", "")[:_AGENT],
        )
        session_id, cookie, changes = new_session(row)
        old = self._store.read(partial(_old_ones, user=principal.name, now=now))
        drops = [drop for each in old for drop in sessions.ROWS.drop(*each)]
        try:
            deed = Deed("login", detail={"session": session_id})
            note = self._registry.note(principal, asked.client.address, deed)
            await self._store.commit([*drops, *changes, note], expect(principal.evidence))
        except ExpectationsFailed:
            raise Unauthorized(CHANGED) from None
        value = Signed(
            user=Identity(principal.name, user.role),
            via="session",
            csrf_token=sessions.csrf_token(cookie),
        )
        lifetime = self._registry.settings.access.session_seconds
        return Reply(value, (_cookie(cookie, lifetime, realm),))

    async def show(self, asked: Asked) -> Reply:
        """Say who asks."""
        principal = asked.principal
        via = principal.via.partition(":")[0]
        cookie = sessions.cookie_of(asked.headers.get("cookie", "")) if via == "session" else ""
        token = sessions.csrf_token(cookie) if cookie else None
        role = "admin" if principal.is_admin else "user"
        return Reply(Signed(user=Identity(principal.name, role), via=via, csrf_token=token))

    async def sign_out(self, asked: Asked) -> Reply:
        """End the session that asks; with other credentials there is none, and nothing to do."""
        _, _, session_id = asked.principal.via.partition("session:")
        row = self._store.read(partial(sessions.ROWS.find_row, row_id=session_id))
        if session_id and row is not None:
            await self._end(asked, session_id, row)
        return Reply(headers=(_cookie("", 0, asked.client.realm),))

    async def list(self, asked: Asked) -> Reply:
        """List those of an account.

        Raises:
            Forbidden
        """
        name = fold(asked.query.username) or asked.principal.name
        if name != asked.principal.name and not asked.principal.is_administrator:
            raise Forbidden("only an administrator may see sessions of others")
        look = partial(
            _sessions, name=name, current=asked.principal.via, now=self._registry.site.now()
        )
        return Reply(page_of(asked.query, self._store.read(look)))

    async def revoke(self, asked: Asked) -> Reply:
        """End one.

        Raises:
            NotFound: it is not there, or not the caller's.
        """
        session_id, principal = asked.place["id"], asked.principal
        row = self._store.read(partial(sessions.ROWS.find_row, row_id=session_id))
        is_own = row is not None and Session.decode(row).user == principal.name
        if row is None or not (is_own or principal.is_administrator):
            raise NotFound(f"there is no session {session_id[:40]} of yours")
        await self._end(asked, session_id, row)
        return Reply()

    async def _end(self, asked: Asked, session_id: str, row: bytes) -> None:
        session = Session.decode(row)
        changes = sessions.ROWS.drop(session_id, session)
        expected = RecordIs(sessions.TABLE, sessions.ROWS.row_key(session_id), row)
        deed = Deed("session.delete", session.user, detail={"session": session_id})
        try:
            await commit(self._registry, asked, deed, changes, [expected])
        except ExpectationsFailed:
            raise NotFound(f"there is no session {session_id[:40]} of yours") from None


def _cookie(value: str, lifetime: int, realm: Realm) -> tuple[str, str]:
    """Source: RFC 6265bis: no page of another site has it sent, and no script reads it."""
    secure = "; Secure" if realm.url.startswith("https:") else ""
    rest = f"Max-Age={lifetime}; Path=/; HttpOnly; SameSite=Strict{secure}"
    return ("Set-Cookie", f"{COOKIE}={value}; {rest}")


def _old_ones(view: View, user: str, now: int) -> list[tuple[str, Session]]:
    """Sessions that make room for one more: those that ended, and the oldest."""
    found = list(sessions.ROWS.iter_of(view, user))
    account = of_account(view, user, "")
    ended = [each for each in found if account is None or not each[1].is_of(account[1], now)]
    current = sorted((each for each in found if each not in ended), key=_age)
    return ended + current[: max(0, len(current) - MAX_SESSIONS + 1)]


def _age(row: tuple[str, Session]) -> int:
    return row[1].created_at


def _sessions(view: View, name: str, current: str, now: int) -> list[SessionShown]:
    found = [
        SessionShown(
            id=session_id,
            created_at=time_text(row.created_at),
            expires_at=time_text(row.expires_at),
            address=row.address,
            agent=row.agent,
            is_current=current == f"session:{session_id}",
        )
        for session_id, row in sessions.ROWS.iter_of(view, name)
        if row.expires_at > now
    ]
    return sorted(found, key=lambda each: (each.created_at, each.id), reverse=True)
