"""Principals out of rows: whom an account, a token, a session or a signed claim stands for, now.

Each reads one snapshot and returns who it is with the rows that prove it; None when it stands for
nobody any more.
"""

from dataclasses import replace

from frontend.access import sessions, tokens, users
from frontend.access.signing import Claims
from frontend.access.users import User
from frontend.domain.message import Evidence, Principal
from index.view import View


def of_account(view: View, name: str, via: str) -> tuple[Principal, User] | None:
    """Whoever has the account of a folded name, unless it is disabled."""
    row = users.find_row(view, name)
    if row is None:
        return None
    user = users.User.decode(row)
    if user.is_disabled:
        return None
    evidence = (Evidence(users.TABLE, name.encode(), row),)
    return Principal(name, is_admin=user.is_admin, via=via, evidence=evidence), user


def of_token(view: View, token_id: str, now: float) -> tuple[Principal, float] | None:
    """Whoever has an access or refresh token; and when it ends, in s since 1970 (0: never)."""
    row = tokens.ROWS.find_row(view, token_id)
    if row is None:
        return None
    token = tokens.Token.decode(row)
    found = of_account(view, token.user, f"token:{token_id}")
    if found is None or not token.is_of(found[1], now):
        return None
    evidence = (*found[0].evidence, Evidence(tokens.TABLE, tokens.ROWS.row_key(token_id), row))
    return replace(found[0], scopes=token.narrowing, evidence=evidence), token.expires_at


def of_session(view: View, cookie: str, now: float) -> tuple[Principal, float] | None:
    """Whoever's browser has the cookie; and when the session ends, in seconds since 1970."""
    session_id = sessions.ROWS.find_id(view, cookie)
    row = None if session_id is None else sessions.ROWS.find_row(view, session_id)
    if session_id is None or row is None:
        return None
    session = sessions.Session.decode(row)
    found = of_account(view, session.user, f"session:{session_id}")
    if found is None or not session.is_of(found[1], now):
        return None
    row_of_session = Evidence(sessions.TABLE, sessions.ROWS.row_key(session_id), row)
    evidence = (*found[0].evidence, row_of_session)
    return replace(found[0], evidence=evidence), session.expires_at


def of_claims(view: View, claims: Claims, now: float) -> tuple[Principal, float] | None:
    """Whoever a short-lived token was issued to, narrowed to what it was asked for.

    And when that by which it was proven ends, in seconds since 1970 (0: never).
    """
    grants = {name: frozenset(actions) for name, actions in claims.grants.items()}
    if not claims.user:
        return Principal(grants=grants), 0.0
    found = of_account(view, claims.user, "password")
    if found is None or (found[1].id, found[1].epoch) != (claims.id, claims.epoch):
        return None
    account, ends = found[0], 0.0
    if claims.token:
        token = of_token(view, claims.token, now)
        if token is None or token[0].name != claims.user:
            return None
        account, ends = token
    return replace(account, grants=grants), ends


def claims_of(principal: Principal, grants: dict[str, list[str]]) -> Claims:
    """What a short-lived token of this principal says: what proved him, and nothing newer."""
    if principal.is_anonymous:
        return Claims(grants=grants)
    user = proven_user(principal)
    _, _, token_id = principal.via.partition("token:")
    return Claims(user=principal.name, id=user.id, epoch=user.epoch, token=token_id, grants=grants)


def proven_user(principal: Principal) -> User:
    """The account as it was when it was proven.

    Raises:
        LookupError: nothing proved this principal: he came by the socket.
    """
    for each in principal.evidence:
        if each.table == users.TABLE and each.value is not None:
            return User.decode(each.value)
    raise LookupError(principal.name)
