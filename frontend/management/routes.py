"""The management API under `/api/v1`, and what a supervisor asks: JSON in, JSON out.

Errors are in `frontend.management.problems`. Lists answer `{"page", "per_page", "total", "items"}`.
"""

import shutil
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Literal

import msgspec
from quart import Quart, Response

from cas.verbs import View
from frontend.domain.faults import NameInvalid
from frontend.domain.message import Principal
from frontend.domain.names import is_component, parse_repository
from frontend.domain.rights import allowed
from frontend.management.callers import Callers
from frontend.management.maintenance import Maintenance
from frontend.management.packages import Packages
from frontend.management.problems import Conflict, NotFound, problem
from frontend.management.replies import body, json, page, time_text
from frontend.registry.call import Registry
from index.changes import (
    CreateStorage,
    PutRepository,
    RepositoryAbsent,
    StorageAbsent,
    StorageExists,
)
from index.errors import ExpectationsFailed
from index.records import Repository


class NewStorage(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /api/v1/storages`."""

    name: str


class NewRepository(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Body of `POST /api/v1/repositories`."""

    storage: str
    name: str
    kind: Literal["hosted"] = "hosted"
    visibility: Literal["private", "public"] = "private"
    description: str = ""


def register(app: Quart, registry: Registry) -> None:
    """Add all routes to `app`."""
    api, maintenance, packages = Management(registry), Maintenance(registry), Packages(registry)
    routes: tuple[tuple[str, str, Callable[..., Awaitable[Response]]], ...] = (
        ("GET", "/healthz", api.healthz),
        ("GET", "/readyz", api.readyz),
        ("GET", "/api/v1/storages", api.list_storages),
        ("POST", "/api/v1/storages", api.create_storage),
        ("GET", "/api/v1/repositories", api.list_repositories),
        ("POST", "/api/v1/repositories", api.create_repository),
        ("GET", "/api/v1/repositories/<storage>/<name>", api.show_repository),
        ("GET", "/api/v1/stats", api.show_stats),
        ("DELETE", "/api/v1/repositories/<storage>/<name>/packages", packages.delete),
        ("POST", "/api/v1/fsck", maintenance.fsck),
        ("GET", "/api/v1/gc", maintenance.show_collections),
        ("POST", "/api/v1/gc", maintenance.collect),
        ("GET", "/api/v1/scrub", maintenance.show_scrubs),
        ("POST", "/api/v1/scrub", maintenance.scrub),
    )
    for method, path, handler in routes:
        app.add_url_rule(path, f"{method} {path}", handler, methods=[method])
    app.register_error_handler(Exception, problem)


class Management:
    """The handlers. Each says first who may call it."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._store = registry.store
        self._callers = Callers(registry)

    async def healthz(self) -> Response:
        """Anybody: the process answers."""
        return json({"status": "ok"})

    async def readyz(self) -> Response:
        """Anybody: whether to send requests here."""
        if self._registry.health.is_draining:
            return json({"status": "draining"}, 503)
        self._store.read(lambda view: view.revision())  # StoreFailed is a 503 too
        storage = self._registry.settings.storage
        if shutil.disk_usage(storage.data).free < storage.min_free_bytes:
            return json({"status": "full"}, 503)
        if not self._registry.health.can_write():  # pulls work: send them here
            return json({"status": "ready", "writes": "waiting for the storage daemon"})
        return json({"status": "ready"})

    async def list_storages(self) -> Response:
        """Administrators."""
        await self._callers.admin("list storages")
        rows = self._store.read(
            lambda view: [
                {"name": name, "created_at": time_text(row.created_at)}
                for name, row in view.iter_storages()
            ]
        )
        return page(rows)

    async def create_storage(self) -> Response:
        """Administrators."""
        await self._callers.admin("create storages")
        wanted = await body(NewStorage)
        if not is_component(wanted.name):
            raise NameInvalid(wanted.name)
        try:
            await self._store.commit([CreateStorage(wanted.name)], [StorageAbsent(wanted.name)])
        except ExpectationsFailed:
            raise Conflict(f"storage {wanted.name} exists") from None
        return json({"name": wanted.name}, 201)

    async def list_repositories(self) -> Response:
        """Every account: those that it may pull."""
        principal = await self._callers.account()
        return page(self._store.read(partial(_repositories, principal=principal)))

    async def create_repository(self) -> Response:
        """Administrators."""
        await self._callers.admin("create repositories")
        wanted = await body(NewRepository)
        name = f"{wanted.storage}/{wanted.name}"
        parse_repository(name)
        record = Repository(
            kind=wanted.kind,
            visibility=wanted.visibility,
            description=wanted.description,
            created_at=self._registry.site.now(),
        )
        expectations = (StorageExists(wanted.storage), RepositoryAbsent(name))
        try:
            await self._store.commit([PutRepository(name, record)], expectations)
        except ExpectationsFailed as error:
            if expectations[0] in error.failed:
                raise NotFound(f"there is no storage {wanted.storage}") from None
            raise Conflict(f"repository {name} exists") from None
        return json(_described(name, record), 201)

    async def show_repository(self, storage: str, name: str) -> Response:
        """Every account that may pull it."""
        principal = await self._callers.account()
        found = self._store.read(
            partial(_repository, name=f"{storage}/{name}", principal=principal)
        )
        if found is None:
            raise NotFound(f"no repository {storage[:200]}/{name[:200]} that you may use")
        return json(found)

    async def show_stats(self) -> Response:
        """Administrators."""
        await self._callers.admin("see the statistics of all repositories")
        found = await self._registry.stats()
        return json(msgspec.to_builtins(found) | {"dedup_ratio": found.dedup_ratio})


def _repositories(view: View, principal: Principal) -> list[dict[str, object]]:
    return [
        _described(name, record)
        for name, record in view.iter_repositories()
        if allowed(principal, "pull", record)
    ]


def _repository(view: View, name: str, principal: Principal) -> dict[str, object] | None:
    record = view.repository(name)
    if record is None or not allowed(principal, "pull", record):
        return None
    usage = view.usage(record.id)
    return _described(name, record) | {
        "size": usage.linked,
        "images": usage.images,
        "manifests": usage.manifests,
    }


def _described(name: str, record: Repository) -> dict[str, object]:
    storage, _, own = name.partition("/")
    return {
        "storage": storage,
        "name": own,
        "kind": record.kind,
        "visibility": record.visibility,
        "description": record.description,
        "created_at": time_text(record.created_at),
    }
