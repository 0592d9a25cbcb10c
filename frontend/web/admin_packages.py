"""Packages of a repository, to be deleted: a list to choose from, what would go, and what went.

    /admin/repositories/<storage>/<name>/packages           the list, one page selected or none
    …/packages/confirm      POST   names what was chosen and what stays of it; changes nothing
    …/packages/delete       POST   deletes; who has all that he wanted is back at the list
    …/packages/purge        POST   empties a cache, of which all can be fetched again

A package in a form is `image:tag`, or `image@digest` of a manifest without a tag.
"""

from dataclasses import dataclass, replace
from typing import Final, Literal

import msgspec
import trio

from frontend.domain.faults import ImageUnknown, ManifestUnknown, RequestInvalid
from frontend.management.lists import PackageListing, PackagePage, PackageShown
from frontend.management.manifest_shapes import ManifestShown
from frontend.management.packages import Deleted, Package
from frontend.management.repositories import ONE
from frontend.management.repository_shapes import RepositoryWhole
from frontend.management.routing import OnRepository
from frontend.web.links import local_path
from frontend.web.page import Page, Redirect, Shown, Visit
from frontend.web.words import count_text, plural

PER_PAGE: Final = 100
MOST: Final = 100  # packages of one form: each is looked at before it is confirmed
FORM_LIMIT: Final = 256 << 10  # bytes: of so many packages with the longest names, percent-encoded
SELF: Final = "/admin/repositories/<storage>/<name>/packages"
FIELD: Final = "package"
PURGE_SECONDS: Final = 10.0  # of one request, which browsers and proxies in front wait for


class PackageChoice(PackageListing, frozen=True, kw_only=True):
    """Which packages; `select=page` has all of the page chosen, for who has no scripts."""

    select: Literal["", "page"] = ""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A package that was chosen, and what is known of it before it goes."""

    package: Package
    value: str  # as the form has it
    found: ManifestShown | None  # None: it is gone already, or cannot be read
    kept_by: tuple[str, ...] = ()  # tags and indexes that need its manifest and stay


class AdminPackagePages:
    """The handlers."""

    def pages(self) -> tuple[Page, ...]:
        """The pages, and who may see them."""
        access = OnRepository("delete", "delete in")
        return (
            Page(method="GET", path=SELF, access=access, handler=self.show, query=PackageChoice),
            Page(
                method="POST",
                path=f"{SELF}/confirm",
                access=access,
                handler=self.confirm,
                again=self.refuse,
                body_limit=FORM_LIMIT,
            ),
            Page(
                method="POST",
                path=f"{SELF}/delete",
                access=access,
                handler=self.delete,
                again=self.refuse,
                body_limit=FORM_LIMIT,
            ),
            Page(
                method="POST",
                path=f"{SELF}/purge",
                access=access,
                handler=self.purge,
                again=self.refuse,
            ),
        )

    async def show(self, visit: Visit) -> Shown:
        """Show a page of the list."""
        query: PackageChoice = visit.query
        place = visit.place_of_repository
        found: PackagePage = await visit.calls.get(
            f"{ONE}/packages",
            image=query.image,
            q=query.q,
            sort=query.sort,
            order=query.order,
            page=query.page,
            per_page=PER_PAGE,
            **place,
        )
        repository = await visit.calls.get(ONE, **place)
        values = {"found": found, "repository": repository, "here": _list(visit), "field": FIELD}
        return Shown("admin_packages.html", values)

    async def refuse(self, visit: Visit) -> Shown:
        """Say what was wrong with the choice, and lead back to the list."""
        return Shown("admin_packages_refused.html", {"back": _back(visit)})

    async def confirm(self, visit: Visit) -> Shown:
        """Name what was chosen, with what goes and what stays."""
        chosen = [await _look(visit, value, _parse(value)) for value in _values(visit)]
        chosen = _kept(chosen)
        going = [each.found for each in chosen if each.found and not each.kept_by]
        # What is a part of an index goes with it, and is counted there.
        freed = {each.digest: each.own for each in going if not each.indexes}
        repository = await visit.calls.get(ONE, **visit.place_of_repository)
        values = {
            "chosen": chosen,
            "freed": sum(freed.values()),
            "repository": repository,
            "here": _list(visit),
            "back": _back(visit),
            "field": FIELD,
        }
        return Shown("admin_packages_confirm.html", values)

    async def delete(self, visit: Visit) -> Shown | Redirect:
        """Delete what was confirmed; tell of each when not all of it went."""
        packages = [_parse(value) for value in _values(visit)]
        done = await _delete(visit, packages)
        if not done.rejected and not done.missing:
            said = f"{plural(len(done.deleted), 'package')} deleted."
            return Redirect(_back(visit), said)
        return Shown("admin_packages_result.html", {"done": done, "back": _back(visit)})

    async def purge(self, visit: Visit) -> Redirect:
        """Delete all packages of a cache, or as many as there is time for, and say how many stay.

        Raises:
            RequestInvalid: it is no cache.
        """
        place = visit.place_of_repository
        repository: RepositoryWhole = await visit.calls.get(ONE, **place)
        if repository.kind != "proxy":
            raise RequestInvalid("images were pushed to it: choose what is to be deleted")
        until, deleted = trio.current_time() + PURGE_SECONDS, 0
        while True:
            found: PackagePage = await visit.calls.get(f"{ONE}/packages", per_page=MOST, **place)
            done = await _delete(visit, [_package(each) for each in found.items])
            deleted += len(done.deleted)
            left = found.total - len(done.deleted)
            if left <= 0 or not done.deleted or trio.current_time() > until:
                break
        said = f"{plural(deleted, 'package')} deleted"
        return Redirect(_list(visit), f"{said}; {count_text(left)} stay." if left else f"{said}.")


def _package(shown: PackageShown) -> Package:
    """A package of the list, by its tag if it has one."""
    digest = None if shown.tag else shown.digest
    return Package(image=shown.image, tag=shown.tag, digest=digest)


def _list(visit: Visit) -> str:
    """The path of the list."""
    place = visit.place
    return SELF.replace("<storage>", place["storage"]).replace("<name>", place["name"])


def _back(visit: Visit) -> str:
    """Where on the list he came from, as the form has it: a path of ours, in any case."""
    return local_path(visit.form["back"], _list(visit))


def _values(visit: Visit) -> list[str]:
    """What was chosen, each once.

    Raises:
        RequestInvalid: nothing, or too much.
    """
    values = list(dict.fromkeys(visit.form.texts(FIELD)))
    if not values:
        raise RequestInvalid("nothing was chosen: mark at least one package")
    if len(values) > MOST:
        raise RequestInvalid(f"more than {MOST} packages were chosen")
    return values


def _parse(value: str) -> Package:
    """A package as the form has it.

    Raises:
        RequestInvalid: it is none.
    """
    image, at, digest = value.partition("@")
    if at:
        return Package(image=image, digest=digest)
    image, colon, tag = value.rpartition(":")
    if not colon:
        raise RequestInvalid(f"not a package: {value[:200]}")
    return Package(image=image, tag=tag)


async def _look(visit: Visit, value: str, package: Package) -> Chosen:
    reference = package.tag or package.digest
    try:
        found = await visit.calls.get(
            f"{ONE}/manifest",
            image=package.image,
            reference=reference,
            **visit.place_of_repository,
        )
    except (ImageUnknown, ManifestUnknown):
        return Chosen(package, value, None)
    return Chosen(package, value, found)


def _kept(chosen: list[Chosen]) -> list[Chosen]:
    """With what keeps the manifest of each: of a tag other tags, of any the indexes that stay.

    An index that goes keeps nothing: it is deleted before what it needs is tried again.
    """
    tags = {(each.package.image, each.package.tag) for each in chosen if each.package.tag}
    going: set[tuple[str, str]] = set()  # (image, digest)
    while True:
        found = [replace(each, kept_by=_keepers(each, tags, going)) for each in chosen]
        free = {
            (each.package.image, each.found.digest)
            for each in found
            if each.found is not None and not each.kept_by
        }
        if free <= going:
            return found
        going |= free


def _keepers(
    chosen: Chosen, tags: set[tuple[str, str]], going: set[tuple[str, str]]
) -> tuple[str, ...]:
    found, image = chosen.found, chosen.package.image
    if found is None:
        return ()
    others = [f"the tag {tag}" for tag in found.tags if (image, tag) not in tags]
    indexes = [f"the index {each}" for each in found.indexes if (image, each) not in going]
    return (*(others if chosen.package.tag else ()), *indexes)


async def _delete(visit: Visit, packages: list[Package]) -> Deleted:
    """Delete them; what was kept while others went once more, now that those need it no longer."""
    place = visit.place_of_repository
    done: Deleted = await visit.calls.delete(f"{ONE}/packages", _body(packages), **place)
    if not (done.deleted and done.rejected):
        return done
    kept = [Package(image=each.image, tag=each.tag, digest=each.digest) for each in done.rejected]
    again: Deleted = await visit.calls.delete(f"{ONE}/packages", _body(kept), **place)
    return Deleted(
        deleted=[*done.deleted, *again.deleted],
        missing=[*done.missing, *again.missing],
        rejected=again.rejected,
    )


def _body(packages: list[Package]) -> dict[str, object]:
    return {"items": [msgspec.to_builtins(each) for each in packages]}
