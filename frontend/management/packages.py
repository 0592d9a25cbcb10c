"""Packages: an image's tag, or a manifest without one, as people see and delete them."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Final

import msgspec
import trio

from cas.digest import Digest
from frontend.domain.deeds import Deed
from frontend.domain.names import parse_name, parse_tag
from frontend.domain.tag_rules import rules_for
from frontend.errors import KNOWN_ERRORS, wire
from frontend.management.committing import commit
from frontend.management.problems import NotFound
from frontend.management.routing import Asked, OnRepository, Reply, Route
from frontend.registry.call import Registry
from frontend.registry.rules import fault_of
from index.changes import Change, DropPackage, Unlink
from index.errors import ExpectationsFailed, TargetMissing
from index.expectations import (
    Expectation,
    ManifestExists,
    NoParent,
    RepositoryRevision,
    TagExists,
)
from index.records import Repository

MOST: Final = 1000  # packages of one call: as many as a page has
AT_ONCE: Final = 16  # commits under way: they share one sync


class Package(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """One to be deleted: a tag, or by its digest a manifest with all of its tags."""

    image: str
    tag: str | None = None
    digest: str | None = None


class Selection(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `DELETE …/packages`."""

    items: Annotated[list[Package], msgspec.Meta(max_length=MOST)]


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """One package of a selection; `reason` says why it was rejected."""

    image: str
    tag: str | None = None
    digest: str | None = None
    reason: str | None = None


class Deleted(msgspec.Struct, frozen=True):
    """What became of a selection."""

    deleted: list[Outcome]
    missing: list[Outcome]
    rejected: list[Outcome]


class Packages:
    """The handlers."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._store = registry.store

    def routes(self) -> tuple[Route, ...]:
        """The calls, and who may make them."""
        return (
            Route(
                method="DELETE",
                path="/api/v1/repositories/<storage>/<name>/packages",
                access=OnRepository("delete", "delete in"),
                handler=self.delete,
                summary="Delete tags, with manifests that nothing else needs, or manifests.",
                body=Selection,
                body_limit=MOST
                * 600,  # an image of 255 characters, a tag of 128 or a digest of 135
                answer=Deleted,
            ),
        )

    async def delete(self, asked: Asked) -> Reply:
        """Delete each package by itself: what fails is told.

        A tag goes now, and its manifest with it unless another tag or an index needs it. The
        manifests that only this one needed, and those that referred to it, go by a collection when
        their grace and lease are over; so do bytes.
        """
        repository = asked.repository
        record: Repository | None = self._store.read(lambda view: view.repository(repository))
        if record is None:
            raise NotFound(f"no repository {repository[:200]} that you may use")
        packages: list[Package] = asked.body.items
        found: dict[int, tuple[str, str]] = {}
        limiter = trio.CapacityLimiter(AT_ONCE)

        async def delete_one(number: int) -> None:
            async with limiter:
                found[number] = await self._delete(asked, record, packages[number])

        async with trio.open_nursery() as nursery:
            for number in range(len(packages)):
                nursery.start_soon(delete_one, number)
        outcome = Deleted([], [], [])
        for number, (which, reason) in sorted(found.items()):
            each = packages[number]
            said = Outcome(each.image, each.tag, each.digest, reason or None)
            getattr(outcome, which).append(said)
        return Reply(outcome)

    async def _delete(self, asked: Asked, record: Repository, package: Package) -> tuple[str, str]:
        """Where the package belongs in the outcome, and why."""
        current = RepositoryRevision(asked.repository, record.revision)
        try:
            change, expectations = _deletion(asked.repository, package)
            rules = rules_for(record, asked.repository, [change])
            deed = Deed("package.delete", _target(asked.repository, package), asked.repository)
            await commit(self._registry, asked, deed, [change], [*expectations, *rules, current])
        except TargetMissing:
            return "missing", ""
        except ExpectationsFailed as error:
            return self._refusal(error.failed)
        except (*KNOWN_ERRORS, ValueError) as error:  # what else was deleted is to be told
            return "rejected", wire(error).message or str(error)
        return "deleted", ""

    def _refusal(self, failed: Sequence[Expectation]) -> tuple[str, str]:
        """Why a package was not deleted: a missing one needs no other reason."""
        if any(isinstance(each, TagExists | ManifestExists) for each in failed):
            return "missing", ""
        if any(isinstance(each, NoParent) for each in failed):
            return "rejected", "an index needs it: delete that first"
        if any(isinstance(each, RepositoryRevision) for each in failed):
            return "rejected", "the repository's settings were changed meanwhile: try again"
        return "rejected", str(self._store.read(partial(fault_of, failed=failed)))


def _target(repository: str, package: Package) -> str:
    """A package that was parsed."""
    reference = f":{package.tag}" if package.digest is None else f"@{package.digest}"
    return f"{repository}/{package.image}{reference}"


def _deletion(repository: str, package: Package) -> tuple[Change, Sequence[Expectation]]:
    """What deletes a package.

    Raises:
        FrontendFault, DigestInvalid, ValueError: there can be no such package.
    """
    image = parse_name(f"{repository}/{package.image}")
    if (package.tag is None) == (package.digest is None):
        raise ValueError("a package is named by its tag or by its digest")
    if package.tag is not None:
        tag = parse_tag(package.tag)
        return DropPackage(image, tag), [TagExists(image, tag)]
    key = Digest.parse(package.digest or "").key
    return Unlink(image, key), [ManifestExists(image, key), NoParent(image, key)]
