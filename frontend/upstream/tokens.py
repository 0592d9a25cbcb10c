"""What we say who we are: nothing, Basic, or a token for one image, fetched when it is needed.

Source: distribution, "Token Authentication Specification" and "OAuth2 Token Authentication".
"""

from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlencode

import msgspec
import trio

from frontend.domain.challenges import Challenge
from frontend.domain.discreet import Discreet
from frontend.domain.fields import MAX_WAIT
from frontend.domain.networks import Allowance
from frontend.domain.upstream import Upstream
from frontend.domain.urls import Url, UrlInvalid
from frontend.upstream.errors import (
    RealmRefused,
    UpstreamBroken,
    UpstreamDenied,
    UpstreamFault,
    UpstreamUnauthorized,
)
from frontend.upstream.statuses import AGENT, fault_of
from frontend.upstream.transport import Reply, Transport, read_short

REFRESH_USER: Final = "<token>"  # docker's name for: the password is a refresh token
MAX_TOKENS: Final = 1024  # images; the one that was asked for longest ago is forgotten
MAX_ANSWER: Final = 64 << 10  # bytes of a token endpoint's answer
DEFAULT_SECONDS: Final = 60.0  # "if omitted, this defaults to 60 seconds"
EARLY_SECONDS: Final = 10.0  # before its end a token is renewed, or a fifth of its time before
REFUSED_SECONDS: Final = 30.0  # wrong credentials are not shown again: accounts get locked


class _Answer(Discreet, msgspec.Struct):
    """What of a token endpoint's answer counts; others write `null` for what they do not say."""

    token: str | None = None
    access_token: str | None = None
    expires_in: float | None = None


@dataclass(frozen=True, slots=True)
class _Realm:
    url: Url
    service: str


@dataclass(slots=True)
class _Token:
    header: str  # never in a repr: it is a secret
    until: float

    def __repr__(self) -> str:
        return "_Token()"


class Tokens:
    """The authorization for one upstream. Only this module looks at its credentials."""

    def __init__(self, upstream: Upstream, transport: Transport, allowance: Allowance) -> None:
        self._upstream = upstream
        self._transport = transport
        self._allowance = allowance
        self._label = str(upstream.origin)
        self._is_basic = False
        self._realm: _Realm | None = None
        self._tokens: OrderedDict[str, _Token] = OrderedDict()
        self._locks: dict[str, trio.Lock] = {}
        self._refused: tuple[float, UpstreamFault] | None = None

    async def known(self, path: str) -> str | None:
        """The value of Authorization for `path`, as far as earlier challenges tell."""
        if self._realm is not None:
            return await self._bearer(path, self._realm)
        if self._is_basic and self._upstream.credentials is not None:
            return self._upstream.credentials.basic
        return None

    async def answer(
        self, challenges: Sequence[Challenge], path: str, said: str | None
    ) -> str | None:
        """What to say to `challenges`, after `said` was not enough; None: there is nothing.

        Raises:
            RealmRefused: the token endpoint is none that we go to.
            UpstreamFault: it gives no token.
        """
        by_scheme = {each.scheme: each.parameters for each in challenges}
        if "bearer" in by_scheme:
            self._realm = self._checked(by_scheme["bearer"])
            scope = self._upstream.scope_of(path)
            if scope in self._tokens and self._tokens[scope].header == said:
                del self._tokens[scope]
            return await self._bearer(path, self._realm)
        credentials = self._upstream.credentials
        if "basic" in by_scheme and credentials is not None and said != credentials.basic:
            self._is_basic = True
            return credentials.basic
        return None

    def _checked(self, parameters: Mapping[str, str]) -> _Realm:
        """The endpoint that a challenge names, if it may be asked."""
        try:
            url = Url.parse(parameters.get("realm", ""))
        except UrlInvalid as error:
            raise RealmRefused(self._label, f"its token endpoint is {error}") from None
        is_friend = self._allowance.trusts(url.origin.host)
        friends = frozenset({url.origin.host}) if is_friend else frozenset()
        if not self._upstream.may_see_credentials(url, friends):
            why = f"its tokens are on {url.origin}: if that is right, add the host to proxy.allow"
            raise RealmRefused(self._label, why)
        return _Realm(url, parameters.get("service", "")[:1024])

    async def _bearer(self, path: str, realm: _Realm) -> str:
        """A token for `path`; many may ask at once, and one of them fetches it."""
        scope = self._upstream.scope_of(path)
        async with self._alone(scope):
            now = trio.current_time()
            found = self._tokens.get(scope)
            if found is None or found.until <= now:
                if self._refused is not None and now < self._refused[0]:
                    raise replace(self._refused[1])
                found = await self._fetch(realm, scope)
                self._tokens[scope] = found
            self._tokens.move_to_end(scope)
            while len(self._tokens) > MAX_TOKENS:
                self._tokens.popitem(last=False)
            return found.header

    @asynccontextmanager
    async def _alone(self, scope: str) -> AsyncIterator[None]:
        lock = self._locks.setdefault(scope, trio.Lock())
        try:
            async with lock:
                yield
        finally:
            if not lock.locked() and self._locks.get(scope) is lock:
                del self._locks[scope]

    async def _fetch(self, realm: _Realm, scope: str) -> _Token:
        fields = [("User-Agent", AGENT), ("Accept", "application/json"),
                  ("Accept-Encoding", "identity")]  # fmt: skip
        asked = {"service": realm.service, "scope": scope}
        credentials = self._upstream.credentials
        method, url, content = "GET", realm.url.with_query(*asked.items()), b""
        if credentials is not None and credentials.user == REFRESH_USER:
            asked |= {"grant_type": "refresh_token", "client_id": AGENT}
            content = urlencode(asked | {"refresh_token": credentials.password}).encode()
            fields.append(("Content-Type", "application/x-www-form-urlencoded"))
            method, url = "POST", realm.url
        elif credentials is not None:
            fields.append(("Authorization", credentials.basic))
        async with self._transport.exchange(method, url, fields, content) as reply:
            return await self._read(reply)

    async def _read(self, reply: Reply) -> _Token:
        if reply.status != 200:
            raise self._fault(reply)
        content = await read_short(reply, MAX_ANSWER, self._label)
        try:
            answer = msgspec.json.decode(content, type=_Answer, strict=False)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            raise UpstreamBroken(self._label, "its token is not JSON as specified") from None
        token = answer.token or answer.access_token or ""
        if not (token.isascii() and token.isprintable() and " " not in token and token):
            raise UpstreamBroken(self._label, "its token endpoint gave no token")
        self._refused = None
        lasts = DEFAULT_SECONDS if answer.expires_in is None else answer.expires_in
        lasts = min(max(1.0, lasts), MAX_WAIT)  # in this order not-a-number is 1
        early = min(EARLY_SECONDS, lasts / 5)
        return _Token(f"Bearer {token}", trio.current_time() + lasts - early)

    def _fault(self, reply: Reply) -> UpstreamFault:
        why = f"its token endpoint answered {reply.status}"
        if reply.status not in (400, 401, 403):
            return fault_of(reply, self._label, why) or UpstreamBroken(self._label, why)
        if self._upstream.credentials is None:
            return UpstreamDenied(self._label, why)
        fault = UpstreamUnauthorized(self._label, why)
        self._refused = (trio.current_time() + REFUSED_SECONDS, fault)
        return fault
