"""What is on its way: pushes, and downloads of proxy repositories; for administrators."""

from collections.abc import Iterable
from typing import Literal

import msgspec

from cas.uploads.underway import UnderWay
from frontend.management.routing import Admin, Asked, Reply, Route
from frontend.proxy.transfers import digest_of_key
from frontend.registry.call import Registry


class Transfer(msgspec.Struct, frozen=True):
    """One blob on its way. Of one that rests since a restart only size and time are known."""

    kind: Literal["push", "fetch", "resting"]
    image: str  # storage/repository/path; empty for a download: several may wait for it
    user: str
    digest: str  # of a download; who pushes says it at the end
    size: int  # bytes that are here
    idle_seconds: float  # since it grew, or was asked for


class TransferPage(msgspec.Struct, frozen=True):
    """The ones that grew last, at most 1,000."""

    items: list[Transfer]


class Transfers:
    """The handler."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def routes(self) -> tuple[Route, ...]:
        """The calls, and who may make them."""
        return (
            Route(
                method="GET",
                path="/api/v1/transfers",
                access=Admin("see the uploads of all repositories"),
                handler=self.show,
                summary="Uploads and downloads under way, the ones that grew last first.",
                answer=TransferPage,
            ),
        )

    async def show(self, _: Asked) -> Reply:
        """List them."""
        return Reply(TransferPage(list(_shown(await self._registry.under_way()))))


def _shown(found: Iterable[UnderWay]) -> Iterable[Transfer]:
    for each in found:
        if not each.key:
            kind: Literal["push", "resting"] = "push" if each.image else "resting"
            yield Transfer(kind, each.image, each.principal, "", each.size, each.idle_seconds)
        elif digest := digest_of_key(each.key):  # other keys are claims, and have no bytes
            yield Transfer("fetch", "", "", digest, each.size, each.idle_seconds)
