"""The connection's side of `/v2/`: reads that need nothing but one snapshot, answered at once.

`/v2/`, manifests and blobs, for whoever is anonymous or was proven a short while ago; others are
proven first, which may take a thread. Everything else, and whatever goes wrong, is left to the
application (`adapter`), which answers the same: both are adapters around `respond`.
"""

import time
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import Final

from cas.verbs import View
from frontend import access_log
from frontend.access.credentials import credentials_of
from frontend.access.proven import Proof
from frontend.access.uses import tokens_of
from frontend.domain import routes
from frontend.domain.faults import TooManyRequests
from frontend.domain.message import ANONYMOUS, Client, Principal, Request, Response, Slice
from frontend.errors import KNOWN_ERRORS, error_response
from frontend.figures.counting import Counting
from frontend.registry.adapter import finished, join_headers, wanted_scope
from frontend.registry.call import Registry
from frontend.registry.mirrors import is_mirrored
from frontend.registry.recent import Answer, Recent
from frontend.registry.respond import answer
from frontend.server.answers import begin_head
from frontend.server.heads import Head

_HOT: Final = (routes.Base, routes.Manifest, routes.Blob)
_MAX_PATH: Final = 512  # bytes of a path whose meaning is remembered: 1,024 of them take 1 MiB


class RegistryRead:
    """An answer at hand (`frontend.server.hot.HotRead`)."""

    __slots__ = ("_address", "_answer", "_counting", "_started", "beginning", "body", "is_last")

    def __init__(self, answer: Answer, address: str, started: float, counting: Counting) -> None:
        self._answer = answer
        self._counting = counting
        self._address = address
        self._started = started  # on the performance counter
        self.beginning = answer.beginning
        self.body: Sequence[bytes | Slice] = answer.body
        self.is_last = answer.is_last

    def finish(self, sent: int) -> None:
        """Close the blobs, count, and write the access line."""
        _close(self.body)
        made = self._answer
        self._counting.request(made.method, made.status, sent)
        if made.cached:
            self._counting.hit(made.cached, sent)
        if access_log.is_wanted():
            seconds = time.perf_counter() - self._started
            access_log.write(
                access_log.Line(
                    made.method, made.path, made.status, sent, seconds, made.user, self._address
                )
            )


class HotRegistry:
    """Answers what is hot (`frontend.server.hot.HotReads`)."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._recent = Recent()
        self._newest = partial(registry.store.read, View.snapshot)

    def recall(self, block: bytes, address: str) -> RegistryRead | None:
        """The answer to a request that was just asked, to the byte, on the snapshot of now."""
        started = time.perf_counter()
        try:
            made = self._recent.find(block, self._newest)
        except Exception:  # noqa: BLE001 - nothing was answered: the application will say why
            return None
        return None if made is None else self._counted(made, address, started)

    def find(self, block: bytes, head: Head, address: str) -> RegistryRead | None:
        """The answer, if whoever asks is anonymous or was proven a short while ago."""
        route = _hot_route(head)
        if route is None:
            return None
        started = time.perf_counter()
        look = partial(self._look, block, head, route)
        try:
            made = self._registry.store.read(look)
        except Exception:  # noqa: BLE001 - nothing was answered: the application will say why
            return None
        return None if made is None else self._counted(made, address, started)

    async def prove(self, block: bytes, head: Head, address: str) -> RegistryRead | None:
        """The answer to somebody new, be it a refusal: a password is never verified twice."""
        route = _hot_route(head)
        headers = join_headers(head.fields)
        credentials = credentials_of(headers)
        if route is None or not credentials or self._registry.has_many_names:
            return None
        authenticator, store = self._registry.authenticator, self._registry.store
        started, realm = time.perf_counter(), self._registry.site.realm
        try:
            if store.read(partial(authenticator.recall, credentials)) is not None:
                return None  # the application is to answer for another reason
            client = Client(self._client(self._told(headers), address), realm)
            scope = wanted_scope(route, head.method)
            await authenticator.authenticate(headers, client, scope, head.method)
        except KNOWN_ERRORS as error:
            refusal = finished(error_response(error, method=head.method, realm=realm), "")
            refused = _encoded(head, refusal, ANONYMOUS, 0.0)
            refused = refused._replace(told=self._told(headers))
            return self._counted(refused, address, started)
        return self.find(block, head, address)

    def _told(self, headers: Mapping[str, str]) -> str:
        proxies = self._registry.proxies
        return proxies.told(headers) if proxies else ""

    def _client(self, told: str, connected: str) -> str:
        """The client's address; what was told counts only if a proxy of ours did."""
        return told if told and self._registry.proxies.has(connected) else connected

    def _counted(self, made: Answer, connected: str, started: float) -> RegistryRead:
        """The answer; or, to whoever asks too often, that it is so."""
        address = self._client(made.told, connected)
        limits, counting = self._registry.limits, self._registry.figures.counting
        if limits.is_rated:
            try:
                limits.check_rate(made.user, address)
            except TooManyRequests as error:
                _close(made.body)
                refusal = finished(error_response(error, method=made.method), made.user)
                beginning = begin_head(refusal.status, refusal.headers)
                status, body = int(refusal.status), refusal.body
                made = made._replace(status=status, beginning=beginning, body=body, cached=0)
                return RegistryRead(made, address, started, counting)
        if made.pulled:
            self._registry.pulls.note(made.pulled)
        for token in made.used:
            self._registry.uses.note(token)
        return RegistryRead(made, address, started, counting)

    def _look(self, block: bytes, head: Head, route: routes.Route, view: View) -> Answer | None:
        headers = join_headers(head.fields)
        proof = self._registry.authenticator.recall(credentials_of(headers), view)
        if proof is None:
            return None
        made = self._answer(head, route, headers, proof, view)
        if made is not None:
            made = made._replace(told=self._told(headers))
            self._recent.keep(block, view.snapshot(), made)
        return made

    def _answer(
        self,
        head: Head,
        route: routes.Route,
        headers: Mapping[str, str],
        proof: Proof,
        view: View,
    ) -> Answer | None:
        request = Request(head.method, head.path, head.query, headers, proof.principal)
        response = answer(request, view, self._registry.site, route)
        if response.status == 401 and self._registry.has_many_names:
            return None  # which of them the challenge has to name, the application finds out
        if response.extend is not None:
            return None  # to renew a lease is a write. HEAD alone asks for it, and opens no blob
        until = min(proof.until, time.monotonic() + response.lasts)
        return _encoded(head, finished(response, proof.principal.name), proof.principal, until)


def _encoded(head: Head, response: Response, who: Principal, until: float) -> Answer:
    try:
        beginning = begin_head(response.status, response.headers)
    except Exception:  # whatever it was, nobody else knows of the blobs
        _close(response.body)
        raise
    status, body = int(response.status), response.body
    about = (head.method, head.path, who.name, status)
    kept = (response.pulled, tokens_of(who), response.cached)
    return Answer(*about, beginning, body, head.is_last, until, *kept)


def _close(body: Sequence[bytes | Slice]) -> None:
    for part in body:
        if isinstance(part, Slice):
            part.blob.close()


def _hot_route(head: Head) -> routes.Route | None:
    if head.method not in ("GET", "HEAD") or head.length != 0 or len(head.path) > _MAX_PATH:
        return None
    if is_mirrored(head.path, head.query):
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
