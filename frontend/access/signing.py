"""Short-lived tokens of `/v2/token`: signed, never stored, and granting nothing by themselves.

A token says who asked, what proved it and the scopes that were asked for. Whether that is still so,
and the rights, are decided again whenever it is used.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import msgspec
from itsdangerous import BadData, TimestampSigner, URLSafeTimedSerializer

from cas.verbs import View
from index.keys import META_SECRET

LIFETIME: Final = 300  # seconds


class Claims(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a token says: whose it is, by what it was proven, and what it was asked for.

    `user` is empty for the anonymous; `token` is the id of an access or refresh token, if it was
    one that proved the account.
    """

    user: str = msgspec.field(default="", name="u")
    id: int = msgspec.field(default=0, name="i")
    epoch: int = msgspec.field(default=0, name="e")
    token: str = msgspec.field(default="", name="t")
    grants: dict[str, list[str]] = msgspec.field(default={}, name="g")


@dataclass(frozen=True, slots=True)
class Issued:
    """A new token and when it was made, in seconds since 1970."""

    token: str = field(repr=False)
    issued_at: int


class Signer:
    """Makes tokens and reads its own; every worker of one store can read all of them."""

    def __init__(self, secret: bytes, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._serializer = URLSafeTimedSerializer(
            secret,
            salt=b"orlop.v2.token",  # the same secret signs upload ids: salts keep them apart
            signer=_signer(clock),
            signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
        )

    @classmethod
    def of(cls, view: View) -> "Signer":
        """The signer of a store, whose secret is in its index."""
        secret = view.get("meta", META_SECRET)
        if not secret:
            raise LookupError(META_SECRET)
        return cls(secret)

    def issue(self, claims: Claims) -> Issued:
        """A token that says `claims` for `LIFETIME` seconds."""
        return Issued(self._serializer.dumps(msgspec.to_builtins(claims)), int(self._clock()))

    def read(self, token: str) -> Claims | None:
        """What a token says; None when it is not ours or has ended."""
        found = self.read_with_life(token)
        return None if found is None else found[0]

    def read_with_life(self, token: str) -> tuple[Claims, float] | None:
        """What a token says, and for how many seconds more; None as `read`."""
        try:
            said, made = self._serializer.loads(token, max_age=LIFETIME, return_timestamp=True)
            return msgspec.convert(said, Claims), made.timestamp() + LIFETIME - self._clock()
        except (BadData, msgspec.ValidationError, UnicodeEncodeError):
            return None


def _signer(clock: Callable[[], float]) -> type[TimestampSigner]:
    class Signed(TimestampSigner):
        """itsdangerous asks its own clock; tests need another."""

        def get_timestamp(self) -> int:
            return int(clock())

    return Signed
