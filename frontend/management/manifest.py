"""One manifest with all that people ask of it: how it runs, what it holds, and what is about it."""

from functools import partial
from typing import Annotated, Final

import msgspec
import trio

from frontend.domain.names import parse_name, parse_reference
from frontend.management.manifest_shapes import ManifestShown
from frontend.management.manifest_view import Looked, look_at
from frontend.management.routing import Asked, OnRepository, Reply, Route
from frontend.registry.call import Registry

AT_ONCE: Final = 2  # under way: each may hold a manifest of 4 MiB and a config of 1 MiB as objects


class ManifestQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which manifest: a path in the repository, and a tag or a digest of it."""

    image: Annotated[str, msgspec.Meta(max_length=255)]
    reference: Annotated[str, msgspec.Meta(max_length=150)]


class Manifests:
    """The handler."""

    def __init__(self, registry: Registry) -> None:
        self._store = registry.store
        self._limiter = trio.CapacityLimiter(AT_ONCE)

    def routes(self) -> tuple[Route, ...]:
        """The call, and who may make it."""
        return (
            Route(
                method="GET",
                path="/api/v1/repositories/<storage>/<name>/manifest",
                access=OnRepository("pull", "see"),
                handler=self.show,
                summary="A manifest: config, layers, platforms, history, sizes, referrers.",
                query=ManifestQuery,
                answer=ManifestShown,
            ),
        )

    async def show(self, asked: Asked) -> Reply:
        """Show one that is here: of a proxy repository, one that was pulled.

        Raises:
            NameInvalid, NameUnknown, TagInvalid, DigestInvalid, ImageUnknown, ManifestUnknown,
            ManifestDamaged
        """
        wanted = Looked(
            name=parse_name(f"{asked.repository}/{asked.query.image}"),
            reference=parse_reference(asked.query.reference),
            principal=asked.principal,
        )
        look = partial(look_at, wanted=wanted)
        return Reply(await trio.to_thread.run_sync(self._store.read, look, limiter=self._limiter))
