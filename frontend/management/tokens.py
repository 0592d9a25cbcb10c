"""Access tokens: passwords for machines, narrower than an account and easily taken back."""

import re
from functools import partial
from typing import Annotated, Final, Literal

import msgspec

from cas.verbs import View
from frontend.access import tokens
from frontend.access.tokens import Narrowed, Token, drop_token, last_used, new_token
from frontend.access.users import TABLE, User, find_row, fold
from frontend.domain.deeds import Deed
from frontend.domain.discreet import Discreet
from frontend.domain.faults import RequestInvalid
from frontend.domain.names import is_component
from frontend.management.committing import commit
from frontend.management.problems import Conflict, Forbidden, NotFound
from frontend.management.replies import time_text
from frontend.management.routing import Account, Asked, Paging, Reply, Route, page_of
from frontend.registry.call import Registry
from index.changes import PutRecord
from index.errors import ExpectationsFailed
from index.expectations import RecordIs

MAX_TOKENS: Final = 1000  # access tokens of one account; those that have ended make room
MAX_SCOPES: Final = 100  # of one token
_NAME: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f]{1,80}")

Lifetime = Annotated[int, msgspec.Meta(ge=60, le=10 * 366 * 86400)]


class ScopeShown(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`repository` is `storage/name`, `storage/*` or `*`."""

    repository: str
    actions: list[Literal["pull", "push", "delete"]]


class NewToken(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Body of `POST /api/v1/tokens`; without scopes it may do what the account may.

    `username` is for administrators: whose it is to be.
    """

    name: str
    expires_in_seconds: Lifetime | None = None
    scopes: list[ScopeShown] | None = None
    username: str | None = None


class TokenShown(msgspec.Struct, frozen=True, kw_only=True):
    """A token, without its secret. `kind` is "refresh" for a client that logged in."""

    id: str
    name: str
    username: str
    kind: str
    created_at: str
    expires_at: str | None
    last_used_at: str | None
    scopes: list[ScopeShown] | None


class TokenMade(Discreet, TokenShown, frozen=True, kw_only=True):
    """A new token: `token` is shown this once."""

    token: str


class TokenQuery(Paging, frozen=True, kw_only=True):
    """Whose tokens; another's are for administrators."""

    username: str = ""


class TokenPage(msgspec.Struct, frozen=True):
    """A page of tokens, the newest first."""

    page: int
    per_page: int
    total: int
    items: list[TokenShown]


class Tokens:
    """The handlers."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._store = registry.store

    def routes(self) -> tuple[Route, ...]:
        """The calls, and who may make them."""
        return (
            Route(
                method="GET",
                path="/api/v1/tokens",
                access=Account(is_direct=True),
                handler=self.list,
                summary="One's own tokens.",
                query=TokenQuery,
                answer=TokenPage,
            ),
            Route(
                method="POST",
                path="/api/v1/tokens",
                access=Account(is_direct=True),
                handler=self.create,
                summary="Make a token; the answer alone shows it. A token makes no other token.",
                body=NewToken,
                answer=TokenMade,
                status=201,
            ),
            Route(
                method="DELETE",
                path="/api/v1/tokens/<id>",
                access=Account(),
                handler=self.delete,
                summary="Revoke a token: the next request with it is refused. It may revoke "
                "itself, and no other.",
                status=204,
            ),
        )

    async def list(self, asked: Asked) -> Reply:
        """List those of an account.

        Raises:
            Forbidden, NotFound
        """
        name, _ = self._whose(asked, asked.query.username)
        rows = self._store.read(partial(_tokens, name=name))
        return Reply(page_of(asked.query, rows))

    async def create(self, asked: Asked) -> Reply:
        """Make one.

        Raises:
            RequestInvalid, Forbidden, NotFound, Conflict
        """
        wanted: NewToken = asked.body
        if _NAME.fullmatch(wanted.name) is None:
            raise RequestInvalid("a token's name has 1 to 80 characters, none of them a control")
        name, row = self._whose(asked, wanted.username or "")
        now = self._registry.site.now()
        drops = self._store.read(partial(_make_room, name=name, now=now))
        ends = 0 if wanted.expires_in_seconds is None else now + wanted.expires_in_seconds
        token = Token(
            hash=b"",
            user=name,
            user_id=User.decode(row).id,
            name=wanted.name,
            created_at=now,
            expires_at=ends,
            scopes=_narrowed(wanted.scopes),
        )
        token_id, secret, changes = new_token(token)
        try:
            is_same = RecordIs(TABLE, name.encode(), row)
            deed = Deed("token.create", name, detail={"token": token_id, "name": wanted.name})
            await commit(self._registry, asked, deed, [*drops, *changes], [is_same])
        except ExpectationsFailed:
            raise Conflict(f"user {name} was changed meanwhile: try again") from None
        shown = msgspec.structs.asdict(_shown(token_id, token, 0))
        return Reply(TokenMade(token=secret, **shown))

    async def delete(self, asked: Asked) -> Reply:
        """Revoke one.

        Raises:
            NotFound: it is not there, or not the caller's.
        """
        token_id, principal = asked.place["id"], asked.principal
        row = self._store.read(partial(tokens.ROWS.find_row, row_id=token_id))
        token = None if row is None else Token.decode(row)
        is_itself = principal.via == f"token:{token_id}"
        is_own = token is not None and token.user == principal.name
        may = is_itself or (principal.is_direct and (is_own or principal.is_administrator))
        if token is None or not (may or principal.is_administrator):
            raise NotFound(f"there is no token {token_id[:40]} of yours")
        expected = RecordIs(tokens.TABLE, tokens.ROWS.row_key(token_id), row)
        detail = {"token": token_id, "name": token.name}
        deed, gone = Deed("token.delete", token.user, detail=detail), drop_token(token_id, token)
        try:
            await commit(self._registry, asked, deed, gone, [expected])
        except ExpectationsFailed:
            raise NotFound(f"there is no token {token_id[:40]} of yours") from None
        return Reply()

    def _whose(self, asked: Asked, username: str) -> tuple[str, bytes]:
        """The folded name and the row of the account that is meant."""
        name = fold(username) or asked.principal.name
        if name != asked.principal.name and not asked.principal.is_administrator:
            raise Forbidden("only an administrator may see or make tokens of others")
        row = self._store.read(partial(find_row, name=name))
        if row is None:
            raise NotFound(f"there is no user {name[:80]}")
        return name, row


def _narrowed(scopes: list[ScopeShown] | None) -> tuple[Narrowed, ...] | None:
    """Raises RequestInvalid for a scope that reaches nothing."""
    if scopes is None:
        return None
    if len(scopes) > MAX_SCOPES:
        raise RequestInvalid(f"a token has at most {MAX_SCOPES} scopes")
    for scope in scopes:
        storage, slash, name = scope.repository.partition("/")
        is_pattern = is_component(storage) and slash and (name == "*" or is_component(name))
        if scope.repository != "*" and not is_pattern:
            raise RequestInvalid(
                f"scope {scope.repository[:80]!r}: use storage/repository, storage/* or *"
            )
        if not scope.actions:
            raise RequestInvalid(f"scope {scope.repository[:80]!r} has no actions")
    return tuple(Narrowed(each.repository, tuple(sorted(set(each.actions)))) for each in scopes)


def _make_room(view: View, name: str, now: int) -> list[PutRecord]:
    """Drop tokens that have ended, if one more has no room beside them.

    Raises:
        Conflict: all of them are in use.
    """
    found = [each for each in tokens.ROWS.iter_of(view, name) if each[1].kind == "access"]
    if len(found) < MAX_TOKENS:
        return []
    ended = [each for each in found if 0 < each[1].expires_at <= now]
    if not ended:
        raise Conflict(f"{name} has {len(found)} tokens: revoke some first")
    return [drop for each in ended for drop in drop_token(*each)]


def _tokens(view: View, name: str) -> list[TokenShown]:
    found = [
        _shown(token_id, token, last_used(view, token_id))
        for token_id, token in tokens.ROWS.iter_of(view, name)
    ]
    return sorted(found, key=lambda each: (each.created_at, each.id), reverse=True)


def _shown(token_id: str, token: Token, used: int) -> TokenShown:
    scopes = None
    if token.scopes is not None:
        scopes = [ScopeShown(each.repository, list(each.actions)) for each in token.scopes]  # type: ignore[arg-type] # as `_narrowed` let them be
    return TokenShown(
        id=token_id,
        name=token.name,
        username=token.user,
        kind=token.kind,
        created_at=time_text(token.created_at),
        expires_at=time_text(token.expires_at) if token.expires_at else None,
        last_used_at=time_text(used) if used else None,
        scopes=scopes,
    )
