"""Short-lived tokens of `GET /v2/token`: signed, never stored, and granting nothing by themselves.

A token says who asked, the account's epoch and the scopes that were asked for. Rights are decided
again whenever it is used, and a raised epoch ends it at once.
"""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
from itsdangerous import BadData, TimestampSigner, URLSafeTimedSerializer

from cas.verbs import View
from frontend.domain.message import Principal, Response
from frontend.domain.rights import parse_scopes
from index.keys import META_SECRET

LIFETIME: Final = 300  # seconds


class Claims(msgspec.Struct, frozen=True, rename={"user": "u", "epoch": "e", "grants": "g"}):
    """What a token says; `user` is empty for the anonymous."""

    user: str
    epoch: int
    grants: dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class Issued:
    """A new token and when it was made, in seconds since 1970."""

    token: str
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

    def issue(
        self, principal: Principal, epoch: int, grants: Mapping[str, frozenset[str]]
    ) -> Issued:
        """A token for `principal` that covers `grants` for `LIFETIME` seconds."""
        plain = {name: sorted(actions) for name, actions in grants.items()}
        claims = msgspec.to_builtins(Claims(principal.name, epoch, plain))
        return Issued(self._serializer.dumps(claims), int(self._clock()))

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


def token_response(
    signer: Signer, principal: Principal, epoch: int, parameters: tuple[tuple[str, str], ...]
) -> Response:
    """Answer a request for a token; scopes that it will not be good for are no error.

    Source: distribution, docs/content/spec/auth/token.md, "Token Response Fields".
    """
    scopes = [value for name, value in parameters if name == "scope"]
    issued = signer.issue(principal, epoch, parse_scopes(scopes))
    body = msgspec.json.encode(
        {
            "token": issued.token,
            "access_token": issued.token,
            "expires_in": LIFETIME,
            "issued_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(issued.issued_at)),
        }
    )
    headers = (
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
    )
    return Response(200, headers, (body,))


def _signer(clock: Callable[[], float]) -> type[TimestampSigner]:
    class Signed(TimestampSigner):
        """itsdangerous asks its own clock; tests need another."""

        def get_timestamp(self) -> int:
            return int(clock())

    return Signed
