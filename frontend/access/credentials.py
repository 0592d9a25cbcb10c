"""Who asks: Basic or Bearer in, a principal out; without either, the anonymous one."""

import base64
import binascii
from collections.abc import Mapping
from functools import partial

from cas.verbs import Store, View
from frontend.access.passwords import Passwords
from frontend.access.tokens import Signer
from frontend.access.users import User, find, fold
from frontend.domain.faults import Unauthorized
from frontend.domain.message import Principal
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

    async def authenticate(self, headers: Mapping[str, str], scope: str = "") -> Principal:
        """The principal of a request; `scope` is what the challenge will ask for.

        Raises:
            Unauthorized: the credentials are wrong, ended, or of an unknown kind.
            TooManyRequests: too many passwords are being verified.
        """
        scheme, _, value = headers.get("authorization", "").strip().partition(" ")
        match scheme.lower():
            case "":
                return Principal()
            case "basic":
                return await self._basic(value.strip(), scope)
            case "bearer":
                return self._bearer(value.strip(), scope)
            case _:
                raise Unauthorized(challenge(self._realm, scope), "use Basic or Bearer credentials")

    def epoch(self, principal: Principal) -> int:
        """The epoch that a new token of this principal carries."""
        user = self._find(principal.name) if principal.name else None
        return 0 if user is None else user.epoch

    async def _basic(self, value: str, scope: str) -> Principal:
        pair = _decode_basic(value)
        if pair == ("", ""):
            return Principal()  # what some clients send when they have no credentials
        if pair is None:
            raise Unauthorized(challenge(self._realm, scope), _WRONG)
        name, password = fold(pair[0]), pair[1]
        user = self._find(name)
        encoded = None if user is None else user.hash
        is_right = await self._passwords.verify(name, encoded, password)
        if user is None or not is_right:
            raise Unauthorized(challenge(self._realm, scope), _WRONG)
        return Principal(name, is_admin=user.is_admin)

    def _bearer(self, value: str, scope: str) -> Principal:
        claims = self._signer.read(value)
        user = self._find(claims.user) if claims is not None and claims.user else None
        epoch = 0 if user is None else user.epoch
        if claims is None or claims.epoch != epoch or (claims.user and user is None):
            raise Unauthorized(
                challenge(self._realm, scope, "invalid_token"), "the token is not valid any more"
            )
        grants = {name: frozenset(actions) for name, actions in claims.grants.items()}
        is_admin = user is not None and user.is_admin
        return Principal(claims.user, is_admin=is_admin, grants=grants)

    def _find(self, name: str) -> User | None:
        return self._store.read(partial(_find, name=name))


def _find(view: View, name: str) -> User | None:
    return find(view, name)


def _decode_basic(value: str) -> tuple[str, str] | None:
    """User and password of a Basic value; None when it is none. Source: RFC 7617."""
    try:
        text = base64.b64decode(value, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return None
    name, colon, password = text.partition(":")
    return (name, password) if colon else None
