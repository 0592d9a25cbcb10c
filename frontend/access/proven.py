"""A short memory of who a credential was proven to be, for reads that must not wait.

The credential is kept as a keyed hash. The rows that it was proven by are compared on every use, so
that whatever changes in them, a revocation above all, counts from the next request on.
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
from frontend.access.standing import holds
from frontend.domain.message import ANONYMOUS, Principal

MAX_PROVEN: Final = 4096  # credentials; about 700 bytes each
REMEMBER_SECONDS: Final = 60.0
_MAX_LENGTH: Final = 4096  # characters of a credential that is worth remembering


@dataclass(frozen=True, slots=True)
class Proof:
    """Who, and until when that may be believed without another look at the credential."""

    principal: Principal
    until: float  # on the monotonic clock


NOBODY: Final = Proof(ANONYMOUS, math.inf)  # needs no proof, and never ends


class Proven:
    """Credentials and whom they proved."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._proofs: OrderedDict[bytes, Proof] = OrderedDict()

    def note(self, credentials: str, principal: Principal, left: float) -> None:
        """Remember a proof for `left` seconds, and never longer than a minute."""
        if len(credentials) > _MAX_LENGTH:
            return
        name = self._name(credentials)
        self._proofs[name] = Proof(principal, self._clock() + min(left, REMEMBER_SECONDS))
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
        return proof if holds(view, proof.principal.evidence) else None

    def _name(self, credentials: str) -> bytes:
        return blake3(credentials.encode("utf-8", "replace"), key=self._key).digest()
