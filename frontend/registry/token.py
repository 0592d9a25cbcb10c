"""`/v2/token`: short-lived tokens for the registry, and refresh tokens for clients that log in.

GET with Basic credentials, or none; POST with a form, as OAuth 2. A scope that the token will not
be good for is no error: rights are decided when it is used. Source: distribution,
docs/content/spec/auth/token.md and oauth.md.
"""

import logging
import time
from collections.abc import Sequence
from functools import partial
from typing import Final, cast
from urllib.parse import parse_qsl

import msgspec

from cas.errors import Busy, DaemonAway, StorageFull, StoreFailed
from cas.verbs import View
from frontend.access.accounts import claims_of, proven_user
from frontend.access.secret import is_access_token, is_refresh_token
from frontend.access.signing import LIFETIME, Issued
from frontend.access.standing import expect, find_place
from frontend.access.tokens import ROWS, Token, drop_token, new_token
from frontend.domain.deeds import Deed
from frontend.domain.faults import NameInvalid, NameUnknown, RequestInvalid, Unauthorized
from frontend.domain.message import Client, Principal, Request, Response
from frontend.domain.names import parse_name
from frontend.domain.paging import first, parse_query
from frontend.domain.rights import CATALOG, Action, allowed, parse_scopes
from frontend.registry.call import Registry
from frontend.server.body import Body
from index.errors import ExpectationsFailed, IndexFailed, NoSpace, WriterBusy

FORM_LIMIT: Final = 16 << 10  # bytes
# Refresh tokens of one account; the oldest go. Each job of a CI may log in, and lasts a while.
MAX_REFRESH: Final = 500
_MAX_FIELDS: Final = 200
_FORM: Final = "application/x-www-form-urlencoded"
# A full disk, a daemon that is away, one that has too much to do.
_UNWRITTEN: Final = (StorageFull, Busy, DaemonAway, StoreFailed, NoSpace, WriterBusy, IndexFailed)
_ENDED: Final = "the refresh token is not valid any more: log in again"

_log = logging.getLogger("orlop.token")

Fields = Sequence[tuple[str, str]]


async def issue(registry: Registry, request: Request, body: Body, client: Client) -> Response:
    """Answer a request for a token.

    Raises:
        Unauthorized: the credentials are wrong; the challenge is for a password.
        RequestInvalid: the form cannot be understood.
    """
    try:
        if request.method == "POST":
            return await _issue_by_form(registry, request, body)
        return await _issue_by_query(registry, request, client)
    except Unauthorized as error:
        # The endpoint of the Bearer realm itself: only a password can help here.
        error.is_basic = True
        raise


async def _issue_by_query(registry: Registry, request: Request, client: Client) -> Response:
    fields = parse_query(request.query)
    said = {name: value for name, value in request.headers.items() if name != "cookie"}
    principal = await registry.identify(said, client)
    if principal.grants is not None:
        raise Unauthorized("a registry token makes no other token: use the password")
    is_offline = first(fields, "offline_token") == "true" and request.method == "GET"
    refresh = await _refresh(registry, principal, fields, request.address) if is_offline else ""
    return _answer(registry, request, principal, fields, refresh)


async def _issue_by_form(registry: Registry, request: Request, body: Body) -> Response:
    fields = _parse_form(request, await body.read_all(FORM_LIMIT))
    match first(fields, "grant_type"):
        case "password":
            prove = partial(_by_password, registry, fields, request.address)
            principal = await registry.counted(request.address, prove)
            registry.limits.logins.succeed(principal, request.address)
            is_offline = first(fields, "access_type") == "offline"
            refresh = (
                await _refresh(registry, principal, fields, request.address) if is_offline else ""
            )
        case "refresh_token":
            refresh = first(fields, "refresh_token") or ""
            prove = partial(_by_refresh_token, registry, refresh)
            principal = await registry.counted(request.address, prove)
        case other:
            raise RequestInvalid(f"grant_type is password or refresh_token, not {other!r:.50}")
    return _answer(registry, request, principal, fields, refresh)


def _parse_form(request: Request, content: bytes) -> Fields:
    kind = request.headers.get("content-type", _FORM).partition(";")[0].strip().lower()
    if kind != _FORM:
        raise RequestInvalid(f"the body must be {_FORM}")
    try:
        text = content.decode("ascii")
        return parse_qsl(text, keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise RequestInvalid("the body is no form") from None


async def _by_refresh_token(registry: Registry, secret: str) -> Principal:
    found = registry.authenticator.find_token(secret) if is_refresh_token(secret) else None
    if found is None:
        raise Unauthorized(_ENDED)
    return found


async def _by_password(registry: Registry, fields: Fields, address: str) -> Principal:
    password = first(fields, "password") or ""
    if is_access_token(password):
        found = registry.authenticator.find_token(password)
        if found is None:
            raise Unauthorized("wrong user name or password")
        return found
    name = first(fields, "username") or ""
    return (await registry.authenticator.log_in(name, password, address))[0]


async def _refresh(registry: Registry, principal: Principal, fields: Fields, address: str) -> str:
    """A new refresh token of whoever just proved by a password who he is; empty for others.

    An access token can be kept as it is, and makes no other. Empty, too, while nothing can be
    written: the client then keeps the password, and can pull.
    """
    if not principal.is_direct:
        return ""
    user, now = proven_user(principal), registry.site.now()
    row = Token(
        hash=b"",
        user=principal.name,
        user_id=user.id,
        name=_client(fields),
        kind="refresh",
        created_at=now,
        expires_at=now + registry.settings.access.refresh_seconds,
        epoch=user.epoch,
    )
    made, secret, changes = new_token(row)
    old = registry.store.read(partial(_old_ones, user=principal.name, now=now))
    drops = [drop for token_id, token in old for drop in drop_token(token_id, token)]
    try:
        deed = Deed("token.create", principal.name, detail={"token": made, "name": row.name})
        note = registry.note(principal, address, deed)
        await registry.store.commit([*drops, *changes, note], expect(principal.evidence))
    except ExpectationsFailed:
        raise Unauthorized("what you logged in with was changed meanwhile") from None
    except _UNWRITTEN as error:
        _log.warning("a client logs in without a refresh token: %s", error)
        return ""
    return secret


def _client(fields: Fields) -> str:
    """What the client calls itself, for the list of tokens."""
    said = first(fields, "client_id") or "client"
    return "login by " + "".join(each for each in said if each.isprintable())[:40]


def _old_ones(view: View, user: str, now: int) -> list[tuple[str, Token]]:
    """Refresh tokens that make room for one more: those that ended, and the oldest."""
    found = [each for each in ROWS.iter_of(view, user) if each[1].kind == "refresh"]
    ended = [each for each in found if each[1].expires_at <= now]
    current = sorted((each for each in found if each not in ended), key=_age)
    return ended + current[: max(0, len(current) - MAX_REFRESH + 1)]


def _age(row: tuple[str, Token]) -> int:
    return row[1].created_at


def _answer(
    registry: Registry, request: Request, principal: Principal, fields: Fields, refresh: str
) -> Response:
    """Source: token.md, "Token Response Fields"; oauth.md, "Token Response Fields"."""
    scopes = [value for name, value in fields if name == "scope"]
    grants = parse_scopes(scopes)
    plain = {name: sorted(actions) for name, actions in grants.items()}
    issued: Issued = registry.signer.issue(claims_of(principal, plain))
    good = registry.store.read(partial(_good_scopes, principal=principal, grants=plain))
    said = {
        "token": issued.token,
        "access_token": issued.token,
        "expires_in": LIFETIME,
        "issued_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(issued.issued_at)),
        "scope": " ".join(good),
    } | ({"refresh_token": refresh} if refresh else {})
    body = msgspec.json.encode(said)
    headers = (
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
    )
    return Response(200, headers, () if request.method == "HEAD" else (body,))


def _good_scopes(view: View, principal: Principal, grants: dict[str, list[str]]) -> list[str]:
    """What of the scopes is possible now: a hint, for people and for clients that look."""
    good = []
    for name, actions in grants.items():
        possible = [each for each in actions if _is_possible(view, principal, name, each)]
        if possible:
            good.append(name if name == CATALOG else f"repository:{name}:{','.join(possible)}")
    return good


def _is_possible(view: View, principal: Principal, name: str, action: str) -> bool:
    if name == CATALOG:
        return True
    try:
        image = parse_name(name)
    except (NameInvalid, NameUnknown):
        return False
    place = find_place(view, principal, image.repository)
    return allowed(principal, cast("Action", action), place)  # of ACTIONS, by parse_scopes
