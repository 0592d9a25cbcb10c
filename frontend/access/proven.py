"""A short memory of who a credential was proven to be, for reads that must not wait.

The credential is kept as a keyed hash. The account's row is compared on every use, so that whatever
changes in it, a revocation above all, counts from the next request on.
"""

import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from blake3 import blake3

from cas.verbs import View
from frontend.access.users import find_row
from frontend.domain.message import ANONYMOUS, Principal

MAX_PROVEN: Final = 4096  # credentials; about 500 bytes each
REMEMBER_SECONDS: Final = 60.0
_MAX_LENGTH: Final = 4096  # characters of a credential that is worth remembering


@dataclass(frozen=True, slots=True)
class Proof:
    """Who, on which account."""

    principal: Principal
    row: bytes | None  # the account's, as it was; None for the anonymous
    until: float  # on the monotonic clock


NOBODY: Final = Proof(ANONYMOUS, None, math.inf)  # needs no proof, and never ends


class Proven:
    """Authorization values and whom they proved."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._proofs: OrderedDict[bytes, Proof] = OrderedDict()

    def note(self, credentials: str, principal: Principal, row: bytes | None, left: float) -> None:
        """Remember a proof for `left` seconds, and never longer than a minute."""
        if len(credentials) > _MAX_LENGTH:
            return
        until = self._clock() + min(left, REMEMBER_SECONDS)
        name = self._name(credentials)
        self._proofs[name] = Proof(principal, row, until)
        self._proofs.move_to_end(name)
        if len(self._proofs) > MAX_PROVEN:
            self._proofs.popitem(last=False)

    def recall(self, credentials: str, view: View) -> Proof | None:
        """The proof, if it still holds."""
        if len(credentials) > _MAX_LENGTH:
            return None
        proof = self._proofs.get(self._name(credentials))
        if proof is None or proof.until <= self._clock():
            return None
        name = proof.principal.name
        return None if name and find_row(view, name) != proof.row else proof

    def _name(self, credentials: str) -> bytes:
        return blake3(credentials.encode("utf-8", "replace"), key=self._key).digest()
