"""The connection's side of `/v2/`: reads that need nothing but one snapshot, answered at once.

`/v2/`, manifests and blobs, for whoever is anonymous or was proven a short while ago; others are
proven first, which may take a thread. Everything else, and whatever goes wrong, is left to the
application (`adapter`), which answers the same: both are adapters around `respond`.
"""

import time
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import Final, NamedTuple

from cas.verbs import View
from frontend import access_log
from frontend.domain import routes
from frontend.domain.message import ANONYMOUS, Principal, Request, Response, Slice
from frontend.errors import KNOWN_ERRORS, error_response
from frontend.registry.adapter import join_headers, versioned, wanted_scope
from frontend.registry.call import Registry
from frontend.registry.respond import answer
from frontend.server.answers import begin_head
from frontend.server.heads import Head

_HOT: Final = (routes.Base, routes.Manifest, routes.Blob)
_MAX_PATH: Final = 512  # bytes of a path whose meaning is remembered: 1,024 of them take 1 MiB
_MAX_KEPT: Final = 8 << 20  # bytes of answers that are remembered


class Answer(NamedTuple):
    """What goes out. `principal` is whom it was made for."""

    principal: Principal
    status: int
    beginning: bytes
    body: tuple[bytes | Slice, ...]

    @property
    def size(self) -> int:
        """Bytes of memory, roughly."""
        return 500 + len(self.beginning) + sum(map(len, self.body))


class RegistryRead:
    """An answer at hand (`frontend.server.hot.HotRead`)."""

    __slots__ = ("_answer", "_head", "_started", "beginning", "body")

    def __init__(self, head: Head, answer: Answer, started: float) -> None:
        self._head = head
        self._answer = answer
        self._started = started  # on the performance counter
        self.beginning = answer.beginning
        self.body: Sequence[bytes | Slice] = answer.body

    def finish(self, sent: int) -> None:
        """Close the blobs and write the access line."""
        for part in self.body:
            if isinstance(part, Slice):
                part.blob.close()
        if access_log.is_wanted():
            head, made = self._head, self._answer
            seconds = time.perf_counter() - self._started
            access_log.write(
                access_log.Line(
                    head.method, head.path, made.status, sent, seconds, made.principal.name
                )
            )


class HotRegistry:
    """Answers what is hot (`frontend.server.hot.HotReads`)."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._kept = Kept()

    def find(self, head: Head) -> RegistryRead | None:
        """The answer, if whoever asks is anonymous or was proven a short while ago."""
        route = _hot_route(head)
        if route is None:
            return None
        started = time.perf_counter()
        look = partial(self._look, head, route, join_headers(head.fields))
        try:
            found = self._registry.store.read(look)
        # Nothing was answered yet, and so nothing is lost: the application will fail the same way,
        # in its own words, and log it.
        except Exception:  # noqa: BLE001 - see above
            return None
        return None if found is None else RegistryRead(head, found, started)

    async def prove(self, head: Head) -> RegistryRead | None:
        """The answer to somebody new, be it a refusal: a password is never verified twice."""
        route = _hot_route(head)
        headers = join_headers(head.fields)
        credentials = headers.get("authorization", "")
        if route is None or not credentials:
            return None
        authenticator, store = self._registry.authenticator, self._registry.store
        started = time.perf_counter()
        try:
            if store.read(partial(authenticator.recall, credentials)) is not None:
                return None  # the application is to answer for another reason
            await authenticator.authenticate(headers, wanted_scope(route, head.method))
        except KNOWN_ERRORS as error:
            refusal = versioned(error_response(error, method=head.method))
            return RegistryRead(head, _encoded(refusal, ANONYMOUS), started)
        return self.find(head)

    def _look(
        self, head: Head, route: routes.Route, headers: Mapping[str, str], view: View
    ) -> Answer | None:
        principal = self._registry.authenticator.recall(headers.get("authorization", ""), view)
        if principal is None:
            return None
        request = Request(head.method, head.path, head.query, headers, principal)
        if head.method != "GET" or "range" in headers or "if-none-match" in headers:
            return self._answer(request, route, view)
        kept = self._kept.find(head.target, principal, view.snapshot())
        if kept is None:
            kept = self._answer(request, route, view)
            if kept is not None:
                self._kept.keep(head.target, kept)
        return kept

    def _answer(self, request: Request, route: routes.Route, view: View) -> Answer | None:
        response = answer(request, view, self._registry.site, route)
        if response.extend is not None:
            return None  # to renew a lease is a write. HEAD alone asks for it, and opens no blob
        return _encoded(versioned(response), request.principal)


class Kept:
    """Plain GETs answered on the newest snapshot: the same one gives the same answer.

    Exact, not nearly so: any commit ends all of it. Who asks is decided anew each time.
    """

    def __init__(self) -> None:
        self._snapshot = -1
        self._size = 0
        self._answers: dict[tuple[bytes, int], Answer] = {}

    def find(self, target: bytes, principal: Principal, snapshot: int) -> Answer | None:
        """What was answered to this principal on this snapshot."""
        if snapshot != self._snapshot:
            self._snapshot, self._size = snapshot, 0
            self._answers.clear()
        # An answer holds its principal, so that no other one can have the same id.
        return self._answers.get((target, id(principal)))

    def keep(self, target: bytes, made: Answer) -> None:
        """Remember an answer on the snapshot that was just looked at.

        Not one of open blobs, nor one that something else than the snapshot made fail.
        """
        has_blobs = any(isinstance(part, Slice) for part in made.body)
        if has_blobs or made.status >= 500 or len(target) > _MAX_PATH:
            return
        if self._size > _MAX_KEPT:
            self._size = 0
            self._answers.clear()
        self._size += made.size
        self._answers[target, id(made.principal)] = made


def _encoded(response: Response, principal: Principal) -> Answer:
    try:
        beginning = begin_head(response.status, response.headers)
    except Exception:
        for part in response.body:
            if isinstance(part, Slice):
                part.blob.close()
        raise
    return Answer(principal, int(response.status), beginning, response.body)


def _hot_route(head: Head) -> routes.Route | None:
    if head.method not in ("GET", "HEAD") or head.length != 0 or len(head.path) > _MAX_PATH:
        return None
    return _route(head.path)


@lru_cache(maxsize=1024)
def _route(path: str) -> routes.Route | None:
    """The hot route that a path means."""
    try:
        route = routes.match(path)
    except KNOWN_ERRORS:
        return None
    return route if isinstance(route, _HOT) else None
