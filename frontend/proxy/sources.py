"""The sources of proxy repositories: a client for each, as it is configured now.

The password of a source is a row of its own in the table `setting`, `upstream:` · storage/name,
which no call ever shows; the index is readable by its owner alone. It is written, or taken away, in
the commit that creates the repository.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from cas.verbs import Store, View
from frontend.domain.outbound import Credentials
from frontend.domain.upstream import Upstream
from frontend.registry.cached import source_of
from frontend.upstream.breaker import Health
from frontend.upstream.client import UpstreamClient
from index.changes import PutRecord
from index.records import Repository

TABLE: Final = "setting"
MAX_KEPT: Final = 1000  # clients; one that is not used holds no connection

Tell = Callable[[Health], None]
Make = Callable[[Upstream, Tell], UpstreamClient]  # what it is told of is its client's health


def secret_key(repository: str) -> bytes:
    """The key of the password of a repository's source."""
    return b"upstream:" + repository.encode()


def put_secret(repository: str, password: str | None) -> PutRecord:
    """The change that keeps a source's password, or forgets it."""
    value = None if password is None else password.encode()
    return PutRecord(TABLE, secret_key(repository), value)


class Sources:
    """Clients by repository. A changed setting, of which its revision tells, makes a new one."""

    def __init__(self, store: Store, make: Make, telling: Callable[[int], Tell]) -> None:
        """`telling` says what a new client of a repository's source is to tell."""
        self._store = store
        self._make = make
        self._telling = telling
        self._clients: OrderedDict[int, tuple[int, UpstreamClient]] = OrderedDict()

    async def client(self, name: str, record: Repository) -> UpstreamClient:
        """The client of the source of the proxy repository `storage/name`."""
        revision, client = self._clients.get(record.id, (-1, None))
        if client is not None and revision == record.revision:
            return client
        made = self._make(self._upstream(name, record), self._telling(record.id))
        self._clients[record.id] = (record.revision, made)
        self._clients.move_to_end(record.id)
        if client is not None:
            await client.aclose()
        while len(self._clients) > MAX_KEPT:
            _, (_, idle) = self._clients.popitem(last=False)
            await idle.aclose()
        return made

    def health(self, record: Repository) -> Health | None:
        """How a source is doing, if this process has asked it."""
        found = self._clients.get(record.id)
        return None if found is None else found[1].health()

    async def aclose(self) -> None:
        """Close all connections."""
        for _, client in self._clients.values():
            await client.aclose()
        self._clients.clear()

    def _upstream(self, name: str, record: Repository) -> Upstream:
        source = source_of(record)
        credentials = None
        if source.username:
            credentials = Credentials(source.username, self._password(name))
        return Upstream.parse(source.url, credentials)

    def _password(self, repository: str) -> str:
        def look(view: View) -> bytes | None:
            return view.record(TABLE, secret_key(repository))

        return (self._store.read(look) or b"").decode()
