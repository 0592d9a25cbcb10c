"""A request and a response as values, the same for every adapter that carries them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cas.digest import Digest
from cas.verbs import Blob
from index.changes import ImageName


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. `name` is empty for anonymous; `is_admin` may do everything.

    `grants` narrows what a short-lived token may do: image name → actions; None: not narrowed.
    """

    name: str = ""
    is_admin: bool = False
    grants: Mapping[str, frozenset[str]] | None = None

    @property
    def is_anonymous(self) -> bool:
        """Nobody signed in (an anonymous token is anonymous too)."""
        return not self.name


ANONYMOUS: Final = Principal()


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked: the raw path (still percent-encoded) and query, lower-case header names.

    Header fields that came several times are joined with ", " (RFC 9110, 5.3).
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    principal: Principal = field(default_factory=Principal)


@dataclass(frozen=True, slots=True)
class Slice:
    """Bytes `start` to `stop` of a blob that is held open; the adapter sends and closes it."""

    blob: Blob
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


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
    is_lasting: bool = True  # the same request on the same snapshot gets the same; no clock decides
