"""What somebody does, as the journal tells it. Nothing in it is secret, whoever reads it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from frontend.domain.message import Principal
from index.records import Entry

Action = Literal[
    "login",
    "login.failed",
    "storage.create",
    "storage.delete",
    "repository.create",
    "repository.update",
    "repository.delete",
    "grant.set",
    "grant.delete",
    "user.create",
    "user.update",
    "user.password",
    "user.delete",
    "token.create",
    "token.delete",
    "session.delete",
    "manifest.push",
    "manifest.delete",
    "tag.delete",
    "blob.delete",
    "package.delete",
    "gc.run",
    "scrub.run",
]


@dataclass(frozen=True, slots=True)
class Deed:
    """One of them. Of a `repository` its administrators are told, of others only the registry's."""

    action: Action
    target: str = ""
    repository: str = ""
    detail: Mapping[str, str | int] = field(default_factory=dict)


def way_of(principal: Principal) -> str:
    """How somebody proved who he is: an access token is named, also behind a short-lived one."""
    if principal.grants is not None and not principal.via.startswith("token:"):
        return "registry token"
    return principal.via


def entry_of(deed: Deed, principal: Principal, address: str, now: int) -> Entry:
    """The journal's entry; `now` is milliseconds since 1970."""
    return Entry(
        at=now,
        action=deed.action,
        actor=principal.name,
        via=way_of(principal),
        address=address,
        target=deed.target,
        detail=dict(deed.detail),
    )
