"""Who asks: Basic, Bearer or a session's cookie in, a principal out; without any, the anonymous.

The password of Basic may be an access token, with any user name. Every principal carries the rows
that prove it (`accounts`), so that a change counts from the next request on.
"""

import base64
import binascii
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from cas.verbs import Store, View
from frontend.access import accounts, tokens
from frontend.access.limits import Limits
from frontend.access.passwords import MAX_PASSWORD, MIN_PASSWORD, Passwords
from frontend.access.proven import NOBODY, Proof, Proven
from frontend.access.secret import is_access_token, is_secret
from frontend.access.sessions import cookie_of, is_csrf_token
from frontend.access.signing import Signer
from frontend.access.standing import holds
from frontend.access.users import User, find_row, fold
from frontend.domain.faults import CsrfFailed, RequestInvalid, TooManyRequests, Unauthorized
from frontend.domain.message import ANONYMOUS, Client, Principal
from frontend.domain.origin import is_own_origin

# The same words for an unknown user, a disabled one and a wrong password.
_WRONG: Final = "wrong user name or password"
_ENDED: Final = "the token is not valid any more"
_SAFE: Final = frozenset(("GET", "HEAD", "OPTIONS"))
_COOKIE: Final = "\0cookie "  # no Authorization field begins like this


def credentials_of(headers: Mapping[str, str]) -> str:
    """What a request says of who sends it, as one text; empty: nothing."""
    said = headers.get("authorization", "")
    if said:
        return said
    cookie = cookie_of(headers["cookie"]) if "cookie" in headers else ""
    return _COOKIE + cookie if cookie else ""


class Authenticator:
    """Decides who asks, on the account as it is now."""

    def __init__(
        self,
        store: Store,
        signer: Signer,
        limits: Limits,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._signer = signer
        self._clock = clock  # seconds since 1970
        self._passwords = Passwords(limits)
        self._logins = limits.logins
        self._proven = Proven()

    def recall(self, credentials: str, view: View) -> Proof | None:
        """Who `credentials_of` a read were proven to be a short while ago; no thread.

        None when `authenticate` must decide: they are new, too old, or something changed.
        """
        return self._proven.recall(credentials, view) if credentials else NOBODY

    async def authenticate(
        self, headers: Mapping[str, str], client: Client, scope: str = "", method: str = "GET"
    ) -> Principal:
        """The principal of a request; `scope` is what the challenge will ask for.

        Raises:
            Unauthorized: the credentials are wrong, ended, or of an unknown kind.
            CsrfFailed: a browser was made to ask for a change by another site.
            TooManyRequests: too many passwords are being verified, or were wrong.
        """
        credentials = credentials_of(headers)
        is_session = credentials.startswith(_COOKIE)
        scheme, _, value = credentials.strip().partition(" ")
        # What a browser sends by itself, a page of any site can make it send.
        is_forgeable = method not in _SAFE and (is_session or scheme.lower() == "basic")
        if is_forgeable and not is_own_origin(headers, client.realm.url):
            raise CsrfFailed
        if is_session:
            return self._session(credentials, headers, method)
        match scheme.lower():
            case "":
                return ANONYMOUS
            case "basic":
                return await self._basic(credentials, value.strip(), scope, client.address)
            case "bearer":
                return self._bearer(credentials, value.strip(), scope)
            case _:
                raise Unauthorized("use Basic or Bearer credentials", scope)

    async def log_in(self, name: str, password: str, address: str) -> tuple[Principal, User]:
        """Whoever has this password; no token will do. `address` is the client's.

        Raises:
            Unauthorized, TooManyRequests
        """
        found = await self._verify(fold(name), password, address)
        if found is None:
            raise Unauthorized(_WRONG)
        return found

    async def is_password(self, name: str, password: str, address: str) -> bool:
        """Whether this is the password of the account of a folded name; as `log_in`.

        Raises:
            TooManyRequests
        """
        return await self._verify(name, password, address) is not None

    async def hash_password(self, password: str) -> str:
        """What is kept of a new password.

        Raises:
            RequestInvalid: it is too short, too long, or looks like a token.
        """
        length = len(password.encode("utf-8", "replace"))
        if not MIN_PASSWORD <= length <= MAX_PASSWORD or is_secret(password):
            raise RequestInvalid(
                f"a password has {MIN_PASSWORD} to {MAX_PASSWORD} bytes and is no token"
            )
        return await self._passwords.hash(password)

    def find_token(self, secret: str) -> Principal | None:
        """Whoever has the access or refresh token `secret`."""
        found = self._token(secret)
        return None if found is None else found[0]

    # --- the kinds of credentials ---

    async def _basic(self, credentials: str, value: str, scope: str, address: str) -> Principal:
        pair = _decode_basic(value)
        if pair == ("", ""):
            return ANONYMOUS  # what some clients send when they have no credentials
        if pair is None:
            raise Unauthorized(_WRONG, scope)
        if is_access_token(pair[1]):
            principal = self._access(credentials, pair[1], scope, _WRONG)
            self._logins.succeed(principal, address)
            return principal
        name, password = fold(pair[0]), pair[1]
        found = await self._verify(name, password, address)
        if found is None:
            raise Unauthorized(_WRONG, scope)
        principal, user = found
        self._logins.succeed(principal, address)
        left = self._passwords.seconds_left(name, user.hash, password)
        self._proven.note(credentials, principal, left)
        return principal

    async def _verify(
        self, name: str, password: str, address: str
    ) -> tuple[Principal, User] | None:
        """The account of a folded name, if the password is its own."""
        found = self._store.read(partial(accounts.of_account, name=name, via="password"))
        encoded = None if found is None else found[1].hash
        try:
            is_right = await self._passwords.verify(name, encoded, password, address)
        except TooManyRequests:
            self._logins.refuse(self._told(name), address)
            raise
        if found is None or not is_right:
            self._logins.fail(self._told(name), address)
            return None
        # It took its time: what was proven must be so still.
        is_current = self._store.read(partial(holds, evidence=found[0].evidence))
        return found if is_current else None

    def _told(self, name: str) -> str:
        """What the journal is told of a folded name: people type passwords into its field, too."""
        return name if self._store.read(partial(find_row, name=name)) is not None else ""

    def _bearer(self, credentials: str, value: str, scope: str) -> Principal:
        if is_access_token(value):
            return self._access(credentials, value, scope, _ENDED)
        claims, left = self._signer.read_with_life(value) or (None, 0.0)
        found, now = None, self._clock()
        if claims is not None:
            found = self._store.read(partial(accounts.of_claims, claims=claims, now=now))
        if found is None:
            raise Unauthorized(_ENDED, scope, "invalid_token")
        principal, ends = found
        self._proven.note(credentials, principal, min(left, ends - now) if ends else left)
        return principal

    def _access(self, credentials: str, secret: str, scope: str, why: str) -> Principal:
        found = self._token(secret)
        if found is None:
            error = "invalid_token" if why is _ENDED else ""
            raise Unauthorized(why, scope, error)
        principal, ends = found
        self._proven.note(credentials, principal, ends - self._clock() if ends else 3600.0)
        return principal

    def _token(self, secret: str) -> tuple[Principal, float] | None:
        now = self._clock()

        def look(view: View) -> tuple[Principal, float] | None:
            token_id = tokens.ROWS.find_id(view, secret)
            return None if token_id is None else accounts.of_token(view, token_id, now)

        return self._store.read(look)

    def _session(self, credentials: str, headers: Mapping[str, str], method: str) -> Principal:
        """A cookie that stands for nobody is as good as none: the browser shows the sign-in."""
        cookie = credentials.removeprefix(_COOKIE)
        now = self._clock()
        found = self._store.read(partial(accounts.of_session, cookie=cookie, now=now))
        if found is None:
            return ANONYMOUS
        said = headers.get("x-csrf-token", "")
        if method not in _SAFE and not is_csrf_token(cookie, said):
            raise CsrfFailed
        principal, ends = found
        self._proven.note(credentials, principal, ends - now)
        return principal


def _decode_basic(value: str) -> tuple[str, str] | None:
    """User and password of a Basic value; None when it is none. Source: RFC 7617."""
    try:
        text = base64.b64decode(value, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return None
    name, colon, password = text.partition(":")
    return (name, password) if colon else None
