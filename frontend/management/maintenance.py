"""Maintenance over the API: collections, checks and scrubs of the store, for administrators."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from typing import Annotated, Final

import msgspec
from quart import Response

from cas.verbs import (
    Collect,
    Collected,
    Due,
    Fsck,
    Progress,
    Report,
    Scrub,
    Scrubbed,
    Told,
    View,
)
from frontend.domain.deeds import Deed
from frontend.errors import KNOWN_ERRORS
from frontend.management.committing import commit
from frontend.management.problems import Ending, problem_response
from frontend.management.replies import time_text
from frontend.management.routing import STREAM, Admin, Asked, Reply, Route
from frontend.registry.call import Registry

SHOWN: Final = 20  # runs


class Collection(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /api/v1/gc`; it may be left out."""

    dry_run: bool = False


class Scrubbing(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /api/v1/scrub`; it may be left out."""

    bytes_per_second: Annotated[int, msgspec.Meta(ge=0, le=1 << 62)] = 0  # 0: as fast as it goes


@dataclass(frozen=True, slots=True)
class Rehearsed(Collected):
    """What a collection took; of a dry one what it would take, and each thing in `due`."""

    due: Sequence[Due] = ()


class Runs(msgspec.Struct, frozen=True):
    """Whether one runs, and how the last ones ended, the newest first."""

    is_running: bool
    runs: list[dict[str, object]]


class Damaged(msgspec.Struct, frozen=True):
    """A place that is damaged, and the images that it hurts."""

    what: str
    images: Sequence[str]


class Scrubs(msgspec.Struct, frozen=True):
    """Whether one runs, what is damaged now, and how the last ones ended, the newest first."""

    is_running: bool
    damaged: list[Damaged]
    runs: list[dict[str, object]]


class Maintenance:
    """The handlers."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._store = registry.store
        self._damaged = registry.damaged
        self._health = registry.health

    def routes(self) -> tuple[Route, ...]:
        """The calls, and who may make them."""
        return (
            Route(
                method="POST",
                path="/api/v1/fsck",
                access=Admin("check the store"),
                handler=self.fsck,
                summary=f"Recount everything; with `Accept: {STREAM}` it tells how far it is.",
                answer=Report,
                is_streamed=True,
            ),
            Route(
                method="GET",
                path="/api/v1/gc",
                access=Admin("see the collections"),
                handler=self.show_collections,
                summary="Whether a collection runs, and the last ones.",
                answer=Runs,
            ),
            Route(
                method="POST",
                path="/api/v1/gc",
                access=Admin("collect garbage"),
                handler=self.collect,
                summary=f"Free what nothing refers to; `Accept: {STREAM}` as for fsck.",
                body=Collection,
                is_body_optional=True,
                answer=Rehearsed,
                is_streamed=True,
            ),
            Route(
                method="GET",
                path="/api/v1/scrub",
                access=Admin("see the scrubs"),
                handler=self.show_scrubs,
                summary="Whether a scrub runs, the last ones, and what is damaged.",
                answer=Scrubs,
            ),
            Route(
                method="POST",
                path="/api/v1/scrub",
                access=Admin("scrub the store"),
                handler=self.scrub,
                summary=f"Hash all that is stored; `Accept: {STREAM}` as for fsck.",
                body=Scrubbing,
                is_body_optional=True,
                answer=Scrubbed,
                is_streamed=True,
            ),
        )

    async def fsck(self, asked: Asked) -> Response:
        """Recount everything; answers when it is done."""
        return await _answer(asked, self._store.maintain(Fsck()))

    async def show_collections(self, _: Asked) -> Reply:
        """Show the last ones."""
        runs = self._store.read(partial(_runs, kind="gc"))
        return Reply(Runs(bool(runs) and runs[0]["ended_at"] is None, runs))

    async def collect(self, asked: Asked) -> Response:
        """Free what nothing refers to; answers when it is done.

        A run under way is waited for. It goes on to its end also when the client leaves.
        """
        is_dry = asked.body.dry_run
        if not is_dry:
            await commit(self._registry, asked, Deed("gc.run"), ())
        return await _answer(asked, self._store.maintain(Collect(is_dry=is_dry)))

    async def show_scrubs(self, _: Asked) -> Reply:
        """Show the last ones, and what is damaged."""
        runs = self._store.read(partial(_runs, kind="scrub"))
        damaged = [Damaged(each.what, each.images) for each in await self._damaged()]
        return Reply(Scrubs(any(run["ended_at"] is None for run in runs), damaged, runs))

    async def scrub(self, asked: Asked) -> Response:
        """Hash all that is stored; answers when it is done.

        It goes on to its end also when the client leaves, without rests once somebody else asks;
        but not when the server is to end.
        """
        await commit(self._registry, asked, Deed("scrub.run"), ())
        task = Scrub(bytes_per_second=asked.body.bytes_per_second)
        return await _answer(asked, self._while_serving(self._store.maintain(task)))

    async def _while_serving(self, steps: AsyncGenerator[Told, None]) -> AsyncGenerator[Told, None]:
        """What may take hours holds up neither a restart nor a reload.

        Raises:
            Ending: the server does, so the work did.
        """
        async with aclosing(steps):
            async for told in steps:
                yield told
                if self._health.is_draining and isinstance(told, Progress):
                    raise Ending


async def _answer(asked: Asked, steps: AsyncGenerator[Told, None]) -> Response:
    """The report; or, for who accepts STREAM, a line of JSON for each thing that is told."""
    if STREAM in asked.headers.get("accept", ""):
        return Response(_lines(steps), content_type=STREAM)
    due: list[Due] = []
    report: dict[str, object] = {}
    async with aclosing(steps):
        async for told in steps:
            match told:
                case Due():
                    due.append(told)
                case Report() | Collected() | Scrubbed():
                    report = asdict(told)
    content = msgspec.json.encode(report | {"due": due} if due else report)
    return Response(content, content_type="application/json")


async def _lines(steps: AsyncGenerator[Told, None]) -> AsyncIterator[bytes]:
    try:
        async with aclosing(steps):
            async for told in steps:
                yield _line(_name(told), told)
    except (*KNOWN_ERRORS, Ending) as error:  # the head has gone out: the last line says it
        answer = problem_response(error, None)
        content = b"".join(part for part in answer.body if isinstance(part, bytes))
        yield _line("problem", msgspec.Raw(content))


def _name(told: Told) -> str:
    match told:
        case Progress():
            return "progress"
        case Due():
            return "due"
        case Report() | Collected() | Scrubbed():
            return "report"


def _line(name: str, value: object) -> bytes:
    return msgspec.json.encode({name: value}) + b"\n"


def _runs(view: View, kind: str) -> list[dict[str, object]]:
    runs = islice((each for each in view.iter_runs() if each[1].kind == kind), SHOWN)
    return [
        {
            "began_at": time_text(began / 1000),
            "ended_at": time_text(run.ended_at / 1000) if run.ended_at else None,
            "is_asked": run.is_asked,
            "error": run.error or None,
            **run.figures,
        }
        for began, run in runs
    ]
