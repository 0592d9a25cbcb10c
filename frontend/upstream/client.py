"""Asking another registry: authorization, redirects, faults and figures, around one exchange.

    client = UpstreamClient(upstream, way)
    async with client.open("GET", Wanted("library/nginx", "manifests", "1.27", accept)) as answer:
        content = await answer.read(limit)

Nothing of a client of ours can be passed on: there is no parameter for it.
"""

import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, Literal

import trio

from frontend.domain.challenges import parse_challenges
from frontend.domain.fields import parse_rate
from frontend.domain.upstream import Upstream
from frontend.domain.urls import Url, UrlInvalid
from frontend.upstream.addresses import Resolve
from frontend.upstream.answers import Answer, Wanted, begin
from frontend.upstream.breaker import Breaker, Health, Permit, Rest
from frontend.upstream.connection import Fields
from frontend.upstream.errors import (
    RedirectRefused,
    UpstreamBroken,
    UpstreamChanged,
    UpstreamDenied,
    UpstreamFault,
    UpstreamLimited,
    UpstreamRefused,
    UpstreamResting,
    UpstreamUnauthorized,
    UpstreamUnavailable,
)
from frontend.upstream.statuses import AGENT, absence_of, fault_of
from frontend.upstream.tokens import Tokens
from frontend.upstream.transport import Reply, Transport, Way

MAX_REDIRECTS: Final = 5
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_CODE: Final = re.compile(rb'"code"\s*:\s*"([A-Z_]{1,40})"')  # of the specification's errors

# What the upstream is not to blame for, but an administrator should see.
_MENDABLE: Final = (UpstreamUnauthorized, UpstreamRefused)

Method = Literal["GET", "HEAD"]


class UpstreamClient:
    """One upstream: its connections, tokens, circuit breaker and figures."""

    def __init__(
        self,
        upstream: Upstream,
        way: Way,
        resolve: Resolve | None = None,
        tell: Callable[[Health], None] | None = None,
    ) -> None:
        """Of the loop that it is made in. Changed settings need a new one, and this one closed.

        `tell` hears of its health whenever that changed.
        """
        self.upstream = upstream
        self._tell = tell
        self._label = str(upstream.origin)
        self._transport = Transport(upstream.origin, way, resolve)
        self._tokens = Tokens(upstream, self._transport, way.allowance)
        self._breaker = Breaker(trio.current_time())

    @asynccontextmanager
    async def open(self, method: Method, wanted: Wanted) -> AsyncIterator[Answer]:
        """Ask for something; yields an answer that has it.

        Raises:
            UpstreamFault: there is none, and why.
            UrlInvalid: `wanted` has no name or reference of the grammar.
        """
        url = wanted.url(self.upstream)
        permit = self._admitted()
        async with AsyncExitStack() as stack:
            try:
                reply = await self._authorized(stack, method, wanted, url)
                answer = begin(reply, wanted, url, self._label)
            except UpstreamFault as fault:
                self._settle(permit, fault)
                raise
            except BaseException:  # cancelled, or a bug: it says nothing about the upstream
                self._breaker.abandon(permit)
                raise
            self._breaker.succeed(permit, trio.current_time())
            self._changed()
            answer.watch(self._count, lambda fault: self._settle(permit, fault))
            yield answer

    def health(self) -> Health:
        """Figures for people: `since` and `failed_at` are Unix times."""
        now, shift = trio.current_time(), time.time() - trio.current_time()
        found = self._breaker.health(now)
        failed_at = None if found.failed_at is None else found.failed_at + shift
        return found.at(found.since + shift, failed_at)

    async def aclose(self) -> None:
        """Close idle connections; who is using one may go on to the end of its answer."""
        await self._transport.aclose()

    def _count(self, count: int) -> None:
        self._breaker.bytes_fetched += count
        self._changed()

    def _changed(self) -> None:
        if self._tell is not None:
            self._tell(self.health())

    def _admitted(self) -> Permit:
        found = self._breaker.admit(trio.current_time())
        if isinstance(found, Permit):
            self._changed()
            return found
        raise self._resting(found)

    def _resting(self, rest: Rest) -> UpstreamFault:
        kind = UpstreamLimited if rest.is_limited else UpstreamResting
        last = self._breaker.health(trio.current_time()).last_error
        return kind(self._label, f"not asked for {rest.seconds:.0f} s: {last}", rest.seconds)

    def _settle(self, permit: Permit, fault: UpstreamFault) -> None:
        """Tell the breaker; a fault that says when to come again gets that from it."""
        now, why = trio.current_time(), fault.why
        if isinstance(fault, UpstreamLimited):
            self._breaker.limit(permit, now, why, fault.retry_after)
        elif isinstance(fault, UpstreamUnavailable):
            self._breaker.fail(permit, now, why, fault.retry_after)
        elif isinstance(fault, UpstreamBroken):
            self._breaker.fail(permit, now, why)
        else:
            self._breaker.succeed(permit, now)
            if isinstance(fault, _MENDABLE):
                self._breaker.note(now, why)
        if isinstance(fault, UpstreamLimited | UpstreamUnavailable):
            fault.retry_after = self._breaker.health(now).retry_in
        self._changed()

    async def _authorized(
        self, stack: AsyncExitStack, method: Method, wanted: Wanted, url: Url
    ) -> Reply:
        """The answer to a request that says who asks; a challenge is met once."""
        said = await self._tokens.known(wanted.path)
        reply, at = await self._followed(stack, method, wanted.fields(), url, said)
        if reply.status == 401 and at.origin == self.upstream.origin:
            challenges = parse_challenges(reply.fields.get("www-authenticate", ""))
            await reply.drain()
            await stack.aclose()  # the token may come over the same connection
            more = await self._tokens.answer(challenges, wanted.path, said)
            if more is not None:
                said = more
                reply, at = await self._followed(stack, method, wanted.fields(), url, said)
        if reply.status not in (200, 206):
            raise await self._fault(reply, wanted, at, said)
        return reply

    async def _followed(
        self, stack: AsyncExitStack, method: Method, fields: Fields, url: Url, said: str | None
    ) -> tuple[Reply, Url]:
        """The answer at the end of redirects, and where that is; `said` is for our origin alone."""
        at, may_say = url, said is not None
        for _ in range(MAX_REDIRECTS + 1):
            own = [("User-Agent", AGENT), ("Accept-Encoding", "identity"), *fields]
            may_say = may_say and at.origin == self.upstream.origin
            if may_say and said is not None:
                own.append(("Authorization", said))
            async with AsyncExitStack() as inner:
                exchange = self._transport.exchange(method, at, own)
                reply = await inner.enter_async_context(exchange)
                self._learn(reply)
                if reply.status not in _REDIRECTS:
                    stack.push_async_exit(inner.pop_all())
                    return reply, at
                await reply.drain()
            at = self._redirected(at, reply)
        raise RedirectRefused(self._label, f"more than {MAX_REDIRECTS} redirects")

    def _redirected(self, at: Url, reply: Reply) -> Url:
        try:
            target = at.join(reply.fields["location"])
        except KeyError:
            raise UpstreamBroken(self._label, "a redirect to nowhere") from None
        except UrlInvalid as error:
            raise RedirectRefused(self._label, f"a redirect to {error}") from None
        if at.origin.scheme == "https" and target.origin.scheme != "https":
            raise RedirectRefused(self._label, f"a redirect out of TLS, to {target.shown}")
        return target

    def _learn(self, reply: Reply) -> None:
        limit, remaining = (
            parse_rate(reply.fields.get(name))
            for name in ("ratelimit-limit", "ratelimit-remaining")
        )
        self._breaker.learn(limit, remaining)

    async def _fault(
        self, reply: Reply, wanted: Wanted, at: Url, said: str | None
    ) -> UpstreamFault:
        """What an answer without what was wanted means."""
        code = _CODE.search(await reply.drain())
        why = f"{at.shown} answered {reply.status}{f' {code[1].decode()}' if code else ''}"
        if reply.status in (401, 403):
            # A token that was given and is not enough says nothing against the credentials.
            is_wrong = reply.status == 401 and (said or "").startswith("Basic ")
            return (UpstreamUnauthorized if is_wrong else UpstreamDenied)(self._label, why)
        if reply.status == 416 and wanted.start:
            return UpstreamChanged(self._label, why)
        found = absence_of(reply, self._label, wanted.kind, why) or fault_of(
            reply, self._label, why
        )
        return found or UpstreamBroken(self._label, why)
