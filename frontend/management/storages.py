"""Storages: named places for repositories."""

import msgspec

from frontend.domain.deeds import Deed
from frontend.domain.faults import NameInvalid
from frontend.domain.names import is_component
from frontend.management.committing import commit
from frontend.management.problems import Conflict, NotFound
from frontend.management.replies import time_text
from frontend.management.routing import Admin, Asked, Paging, Reply, Route, page_of
from frontend.registry.call import Registry
from index.changes import CreateStorage, DeleteStorage
from index.errors import ExpectationsFailed
from index.expectations import StorageAbsent, StorageEmpty, StorageExists


class NewStorage(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /api/v1/storages`."""

    name: str


class StorageShown(msgspec.Struct, frozen=True):
    """A storage."""

    name: str
    created_at: str


class StoragePage(msgspec.Struct, frozen=True):
    """A page of storages, in the order of their names."""

    page: int
    per_page: int
    total: int
    items: list[StorageShown]


class Storages:
    """The handlers."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._store = registry.store

    def routes(self) -> tuple[Route, ...]:
        """The calls, and who may make them."""
        return (
            Route(
                method="GET",
                path="/api/v1/storages",
                access=Admin("list storages"),
                handler=self.list,
                summary="All storages.",
                query=Paging,
                answer=StoragePage,
            ),
            Route(
                method="POST",
                path="/api/v1/storages",
                access=Admin("create storages"),
                handler=self.create,
                summary="Create a storage.",
                body=NewStorage,
                answer=StorageShown,
                status=201,
            ),
            Route(
                method="GET",
                path="/api/v1/storages/<storage>",
                access=Admin("see storages"),
                handler=self.show,
                summary="A storage.",
                answer=StorageShown,
            ),
            Route(
                method="DELETE",
                path="/api/v1/storages/<storage>",
                access=Admin("delete storages"),
                handler=self.delete,
                summary="Delete a storage without repositories.",
                status=204,
            ),
        )

    async def list(self, asked: Asked) -> Reply:
        """List all of them."""
        rows = self._store.read(
            lambda view: [
                StorageShown(name, time_text(row.created_at)) for name, row in view.iter_storages()
            ]
        )
        return Reply(page_of(asked.query, rows))

    async def create(self, asked: Asked) -> Reply:
        """Create one.

        Raises:
            NameInvalid, Conflict
        """
        name = asked.body.name
        if not is_component(name):
            raise NameInvalid(name)
        try:
            deed, absent = Deed("storage.create", name), StorageAbsent(name)
            await commit(self._registry, asked, deed, [CreateStorage(name)], [absent])
        except ExpectationsFailed:
            raise Conflict(f"storage {name} exists") from None
        return Reply(StorageShown(name, time_text(self._registry.site.now())))

    async def show(self, asked: Asked) -> Reply:
        """Show one.

        Raises:
            NotFound
        """
        name = asked.place["storage"]
        row = self._store.read(lambda view: view.storage(name))
        if row is None:
            raise NotFound(f"there is no storage {name[:200]}")
        return Reply(StorageShown(name, time_text(row.created_at)))

    async def delete(self, asked: Asked) -> Reply:
        """Delete one that is empty.

        Raises:
            NotFound, Conflict
        """
        name = asked.place["storage"]
        expectations = (StorageExists(name), StorageEmpty(name))
        try:
            deed = Deed("storage.delete", name)
            await commit(self._registry, asked, deed, [DeleteStorage(name)], expectations)
        except ExpectationsFailed as error:
            if expectations[0] in error.failed:
                raise NotFound(f"there is no storage {name[:200]}") from None
            raise Conflict(f"storage {name} has repositories: delete these first") from None
        return Reply()
