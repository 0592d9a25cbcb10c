"""Maintenance over the API: collections, checks and scrubs of the store, for administrators."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import asdict
from functools import partial
from itertools import islice
from typing import Annotated, Final

import msgspec
from quart import Response, request

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
from frontend.errors import KNOWN_ERRORS
from frontend.management.callers import Callers
from frontend.management.problems import Ending, problem
from frontend.management.replies import body, json, time_text
from frontend.registry.call import Registry

STREAM: Final = "application/x-ndjson"  # whoever accepts it hears how far the work is
SHOWN: Final = 20  # runs


class Collection(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /api/v1/gc`; it may be left out."""

    dry_run: bool = False


class Scrubbing(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /api/v1/scrub`; it may be left out."""

    bytes_per_second: Annotated[int, msgspec.Meta(ge=0, le=1 << 62)] = 0  # 0: as fast as it goes


class Maintenance:
    """The handlers. Each says first who may call it."""

    def __init__(self, registry: Registry) -> None:
        self._store = registry.store
        self._damaged = registry.damaged
        self._health = registry.health
        self._callers = Callers(registry)

    async def fsck(self) -> Response:
        """Administrators. Recounts everything; answers when it is done."""
        await self._callers.admin("check the store")
        return await _answer(self._store.maintain(Fsck()))

    async def show_collections(self) -> Response:
        """Administrators. Whether one runs, and how the last ones ended, the newest first."""
        await self._callers.admin("see the collections")
        runs = self._store.read(partial(_runs, kind="gc"))
        return json({"is_running": bool(runs) and runs[0]["ended_at"] is None, "runs": runs})

    async def collect(self) -> Response:
        """Administrators. Frees what nothing refers to; answers when it is done.

        A run under way is waited for. It goes on to its end also when the client leaves.
        """
        await self._callers.admin("collect garbage")
        wanted = await body(Collection) if await request.get_data() else Collection()
        return await _answer(self._store.maintain(Collect(is_dry=wanted.dry_run)))

    async def show_scrubs(self) -> Response:
        """Administrators. Whether one runs, how the last ones ended, and what is damaged now."""
        await self._callers.admin("see the scrubs")
        runs = self._store.read(partial(_runs, kind="scrub"))
        damaged = [{"what": each.what, "images": each.images} for each in await self._damaged()]
        is_running = any(run["ended_at"] is None for run in runs)
        return json({"is_running": is_running, "damaged": damaged, "runs": runs})

    async def scrub(self) -> Response:
        """Administrators. Hashes all that is stored; answers when it is done.

        It goes on to its end also when the client leaves, without rests once somebody else asks;
        but not when the server is to end.
        """
        await self._callers.admin("scrub the store")
        wanted = await body(Scrubbing) if await request.get_data() else Scrubbing()
        task = Scrub(bytes_per_second=wanted.bytes_per_second)
        return await _answer(self._while_serving(self._store.maintain(task)))

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


async def _answer(steps: AsyncGenerator[Told, None]) -> Response:
    """The report; or, for who accepts STREAM, a line of JSON for each thing that is told."""
    if STREAM in request.headers.get("Accept", ""):
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
    return json(report | {"due": due} if due else report)


async def _lines(steps: AsyncGenerator[Told, None]) -> AsyncIterator[bytes]:
    try:
        async with aclosing(steps):
            async for told in steps:
                yield _line(_name(told), told)
    except (*KNOWN_ERRORS, Ending) as error:  # the head has gone out: the last line says it
        answer = problem(error)
        yield _line("problem", msgspec.Raw(await answer.get_data(as_text=False)))


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
