"""The management API under `/api/v1`, and what a supervisor asks: JSON in, JSON out.

Errors are in `frontend.management.problems`. Lists answer `{"page", "per_page", "total", "items"}`.
"""

import shutil
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Literal, TypeVar

import msgspec
from quart import Quart, Response, request

from cas.verbs import Fsck, Report, View
from frontend.access.users import ADMIN
from frontend.domain.faults import NameInvalid, RequestInvalid
from frontend.domain.message import Principal
from frontend.domain.names import is_component, parse_repository
from frontend.domain.rights import allowed, require_account
from frontend.management.problems import Conflict, Forbidden, NotFound, problem
from frontend.registry.call import Registry
from frontend.server.serving import LOCAL_STATE
from index.changes import (
    CreateStorage,
    PutRepository,
    RepositoryAbsent,
    StorageAbsent,
    StorageExists,
)
from index.errors import ExpectationsFailed
from index.records import Repository

MAX_PER_PAGE: Final = 1000
PER_PAGE: Final = 100

T = TypeVar("T")


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
    api = Management(registry)
    routes: tuple[tuple[str, str, Callable[..., Awaitable[Response]]], ...] = (
        ("GET", "/healthz", api.healthz),
        ("GET", "/readyz", api.readyz),
        ("GET", "/api/v1/storages", api.list_storages),
        ("POST", "/api/v1/storages", api.create_storage),
        ("GET", "/api/v1/repositories", api.list_repositories),
        ("POST", "/api/v1/repositories", api.create_repository),
        ("GET", "/api/v1/repositories/<storage>/<name>", api.show_repository),
        ("GET", "/api/v1/stats", api.show_stats),
        ("POST", "/api/v1/fsck", api.fsck),
    )
    for method, path, handler in routes:
        app.add_url_rule(path, f"{method} {path}", handler, methods=[method])
    app.register_error_handler(Exception, problem)


class Management:
    """The handlers. Each says first who may call it."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._store = registry.store

    async def healthz(self) -> Response:
        """Anybody: the process answers."""
        return _json({"status": "ok"})

    async def readyz(self) -> Response:
        """Anybody: whether to send requests here."""
        if self._registry.health.is_draining:
            return _json({"status": "draining"}, 503)
        self._store.read(lambda view: view.revision())  # StoreFailed is a 503 too
        storage = self._registry.settings.storage
        if shutil.disk_usage(storage.data).free < storage.min_free_bytes:
            return _json({"status": "full"}, 503)
        if not self._registry.health.can_write():  # pulls work: send them here
            return _json({"status": "ready", "writes": "waiting for the storage daemon"})
        return _json({"status": "ready"})

    async def list_storages(self) -> Response:
        """Administrators."""
        await self._admin("list storages")
        rows = self._store.read(
            lambda view: [
                {"name": name, "created_at": _time(row.created_at)}
                for name, row in view.iter_storages()
            ]
        )
        return _page(rows)

    async def create_storage(self) -> Response:
        """Administrators."""
        await self._admin("create storages")
        wanted = await _body(NewStorage)
        if not is_component(wanted.name):
            raise NameInvalid(wanted.name)
        try:
            await self._store.commit([CreateStorage(wanted.name)], [StorageAbsent(wanted.name)])
        except ExpectationsFailed:
            raise Conflict(f"storage {wanted.name} exists") from None
        return _json({"name": wanted.name}, 201)

    async def list_repositories(self) -> Response:
        """Every account: those that it may pull."""
        principal = await self._account()
        return _page(self._store.read(partial(_repositories, principal=principal)))

    async def create_repository(self) -> Response:
        """Administrators."""
        await self._admin("create repositories")
        wanted = await _body(NewRepository)
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
        return _json(_described(name, record), 201)

    async def show_repository(self, storage: str, name: str) -> Response:
        """Every account that may pull it."""
        principal = await self._account()
        found = self._store.read(
            partial(_repository, name=f"{storage}/{name}", principal=principal)
        )
        if found is None:
            raise NotFound(f"no repository {storage[:200]}/{name[:200]} that you may use")
        return _json(found)

    async def show_stats(self) -> Response:
        """Administrators."""
        await self._admin("see the statistics of all repositories")
        found = await self._registry.stats()
        return _json(msgspec.to_builtins(found) | {"dedup_ratio": found.dedup_ratio})

    async def fsck(self) -> Response:
        """Administrators. Recounts everything; answers when it is done."""
        await self._admin("check the store")
        report = Report({}, [])
        async for item in self._store.maintain(Fsck()):
            if isinstance(item, Report):
                report = item
        return _json(report)

    async def _account(self) -> Principal:
        state: dict[str, Any] = dict(request.scope.get("state", {}))
        if state.get(LOCAL_STATE):
            principal = Principal(ADMIN, is_admin=True)
        else:
            headers = {name.lower(): value for name, value in request.headers.items()}
            principal = await self._registry.authenticator.authenticate(headers)
        require_account(principal, self._registry.site.realm)
        if principal.grants is not None:
            raise Forbidden("a registry token is for the registry: use the password here")
        request.scope["state"]["orlop.user"] = principal.name  # for the access line
        return principal

    async def _admin(self, action: str) -> None:
        principal = await self._account()
        if not principal.is_admin:
            raise Forbidden(f"only an administrator may {action}")


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
        "created_at": _time(record.created_at),
    }


async def _body(kind: type[T]) -> T:
    content = await request.get_data(as_text=False)
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestInvalid(f"the body is not as expected: {error}") from None


def _page(items: Sequence[dict[str, Any]]) -> Response:
    page, size = _number("page", 1, 1 << 31), _number("per_page", PER_PAGE, MAX_PER_PAGE)
    start = (page - 1) * size
    found = items[start : start + size]
    return _json({"page": page, "per_page": size, "total": len(items), "items": found})


def _number(name: str, default: int, limit: int) -> int:
    text = request.args.get(name, str(default))
    if not (text.isascii() and text.isdigit()) or len(text) > 10 or int(text) < 1:
        raise RequestInvalid(f"{name} must be a number from 1")
    return min(int(text), limit)


def _json(value: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, content_type="application/json")


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
