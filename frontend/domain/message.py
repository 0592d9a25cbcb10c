"""A request and a response as values, the same for every adapter that carries them."""

import math
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from cas.digest import Digest
from cas.verbs import Blob
from index.changes import ImageName


@dataclass(frozen=True, slots=True)
class Realm:
    """Where tokens come from: an absolute URL, and the name of this service."""

    url: str
    service: str


@dataclass(frozen=True, slots=True)
class Client:
    """Who is at the other end: an address, and the realm of the name by which it reached us."""

    address: str
    realm: Realm


@dataclass(frozen=True, slots=True)
class Scope:
    """What an access token covers: "*", "storage/*" or "storage/name", and actions there."""

    repository: str
    actions: frozenset[str]


@dataclass(frozen=True, slots=True)
class Evidence:
    """A row of the index on which a decision rests: when it changes, the decision falls."""

    table: str
    key: bytes
    value: bytes | None = field(repr=False)  # may hold a secret's hash


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. `name` is empty for anonymous; `is_admin` may do everything, but for `scopes`.

    `scopes` is what an access token narrows its account to, `grants` what a short-lived token was
    asked for: image name → actions. None: not narrowed. `via` says how it was proven: "password",
    "session:ID", "token:ID", "socket", or nothing; and `evidence` by which rows.
    """

    name: str = ""
    is_admin: bool = False
    grants: Mapping[str, frozenset[str]] | None = None
    scopes: tuple[Scope, ...] | None = None
    via: str = ""
    evidence: tuple[Evidence, ...] = ()

    @property
    def is_anonymous(self) -> bool:
        """Nobody signed in (an anonymous token is anonymous too)."""
        return not self.name

    @property
    def is_direct(self) -> bool:
        """The person itself: no token of any kind, which may be in many hands."""
        return self.grants is None and self.via.partition(":")[0] in (
            "password",
            "session",
            "socket",
        )

    @property
    def is_administrator(self) -> bool:
        """May do what concerns no single repository."""
        return self.is_admin and self.scopes is None and self.grants is None


ANONYMOUS: Final = Principal()
SOCKET: Final = Principal("admin", is_admin=True, via="socket")  # whoever owns the data directory


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked: the raw path (still percent-encoded) and query, lower-case header names.

    Header fields that came several times are joined with ", " (RFC 9110, 5.3). `address` is the
    client's, as `domain.peer` finds it.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # may hold a password
    principal: Principal = field(default_factory=Principal)
    address: str = ""


@dataclass(frozen=True, slots=True)
class Slice:
    """Bytes `start` to `stop` of a blob that is held open; the adapter sends and closes it."""

    blob: Blob
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


class Flow(Protocol):
    """Bytes that are still coming: a part of a blob that is fetched from elsewhere meanwhile."""

    def iter_parts(self) -> AsyncGenerator[Slice | bytes, None]:
        """Them, as they come, all that are there at once.

        An error ends the connection: what was sent may be wrong.
        """

    def close(self) -> None:
        """Let go of what is held open; a second close does nothing."""


@dataclass(frozen=True, slots=True)
class Extend:
    """A lease to renew before the answer is sent (rare: see design, invariant 3)."""

    image: ImageName
    digest: Digest


@dataclass(frozen=True, slots=True)
class Response:
    """What is answered. Content-Length is among the headers; HEAD carries it with an empty body."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: tuple[bytes | Slice, ...] = ()
    extend: Extend | None = None
    pulled: str = ""  # "image@digest" of the manifest that this hands out
    cached: int = 0  # the id of the proxy repository that had it
    flow: Flow | None = None  # what follows the body; of a HEAD, never
    lasts: float = math.inf  # seconds for which the same request on the same snapshot gets the same
