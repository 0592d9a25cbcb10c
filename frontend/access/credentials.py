"""Who asks: Basic or Bearer in, a principal out; without either, the anonymous one."""

import base64
import binascii
from collections.abc import Mapping
from functools import partial

from cas.verbs import Store, View
from frontend.access.passwords import Passwords
from frontend.access.proven import NOBODY, Proof, Proven
from frontend.access.tokens import Signer
from frontend.access.users import User, find_row, fold
from frontend.domain.faults import Unauthorized
from frontend.domain.message import ANONYMOUS, Principal
from frontend.domain.rights import Realm, challenge

# The same words for an unknown user and a wrong password.
_WRONG = "wrong user name or password"


class Authenticator:
    """Decides who asks, on the account as it is now: a change counts from the next request on."""

    def __init__(self, store: Store, realm: Realm, signer: Signer) -> None:
        self._store = store
        self._realm = realm
        self._signer = signer
        self._passwords = Passwords()
        self._proven = Proven()

    def recall(self, credentials: str, view: View) -> Proof | None:
        """Who an Authorization value was proven to be a short while ago; no thread, no other look.

        None when `authenticate` must decide: it is new, too old, or the account changed.
        """
        return self._proven.recall(credentials, view) if credentials else NOBODY

    async def authenticate(self, headers: Mapping[str, str], scope: str = "") -> Principal:
        """The principal of a request; `scope` is what the challenge will ask for.

        Raises:
            Unauthorized: the credentials are wrong, ended, or of an unknown kind.
            TooManyRequests: too many passwords are being verified.
        """
        credentials = headers.get("authorization", "")
        scheme, _, value = credentials.strip().partition(" ")
        match scheme.lower():
            case "":
                return ANONYMOUS
            case "basic":
                return await self._basic(credentials, value.strip(), scope)
            case "bearer":
                return self._bearer(credentials, value.strip(), scope)
            case _:
                raise Unauthorized(challenge(self._realm, scope), "use Basic or Bearer credentials")

    def epoch(self, principal: Principal) -> int:
        """The epoch that a new token of this principal carries."""
        _, user = self._find(principal.name)
        return 0 if user is None else user.epoch

    async def _basic(self, credentials: str, value: str, scope: str) -> Principal:
        pair = _decode_basic(value)
        if pair == ("", ""):
            return Principal()  # what some clients send when they have no credentials
        if pair is None:
            raise Unauthorized(challenge(self._realm, scope), _WRONG)
        name, password = fold(pair[0]), pair[1]
        row, user = self._find(name)
        encoded = None if user is None else user.hash
        is_right = await self._passwords.verify(name, encoded, password)
        if user is None or not is_right:
            raise Unauthorized(challenge(self._realm, scope), _WRONG)
        principal = Principal(name, is_admin=user.is_admin)
        left = self._passwords.seconds_left(name, encoded, password)
        self._proven.note(credentials, principal, row, left)
        return principal

    def _bearer(self, credentials: str, value: str, scope: str) -> Principal:
        claims, left = self._signer.read_with_life(value) or (None, 0.0)
        row, user = self._find(claims.user) if claims is not None else (None, None)
        epoch = 0 if user is None else user.epoch
        if claims is None or claims.epoch != epoch or (claims.user and user is None):
            raise Unauthorized(
                challenge(self._realm, scope, "invalid_token"), "the token is not valid any more"
            )
        grants = {name: frozenset(actions) for name, actions in claims.grants.items()}
        is_admin = user is not None and user.is_admin
        principal = Principal(claims.user, is_admin=is_admin, grants=grants)
        self._proven.note(credentials, principal, row, left)
        return principal

    def _find(self, name: str) -> tuple[bytes | None, User | None]:
        """The account of a folded name, as it is kept and as it is read."""
        row = self._store.read(partial(_find, name=name)) if name else None
        return row, None if row is None else User.decode(row)


def _find(view: View, name: str) -> bytes | None:
    return find_row(view, name)


def _decode_basic(value: str) -> tuple[str, str] | None:
    """User and password of a Basic value; None when it is none. Source: RFC 7617."""
    try:
        text = base64.b64decode(value, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return None
    name, colon, password = text.partition(":")
    return (name, password) if colon else None
