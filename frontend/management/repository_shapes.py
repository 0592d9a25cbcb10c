"""Repositories as the management API has them: what is asked for, and what is shown."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from frontend.domain.faults import RequestInvalid
from frontend.domain.tag_rules import parse_patterns
from frontend.management.health import HealthShown
from frontend.management.problems import Conflict, Forbidden
from frontend.management.replies import time_text
from frontend.management.upstreams import (
    NewUpstream,
    UpstreamChange,
    UpstreamShown,
    shown_upstream,
)
from index.records import Repository, Source, Usage

Kind = Literal["hosted", "proxy"]
Visibility = Literal["private", "public"]
Description = Annotated[str, msgspec.Meta(max_length=1000)]
Quota = Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]  # bytes; 0: no limit


class NewRepository(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Body of `POST /api/v1/repositories`."""

    storage: str
    name: str
    kind: Kind = "hosted"
    visibility: Visibility = "private"
    description: Description = ""
    immutable_tags: list[str] = []
    quota_bytes: Quota = 0
    upstream: NewUpstream | None = None  # of a proxy

    def record(self) -> Repository:
        """The settings of the new repository.

        Raises:
            PatternsInvalid, RequestInvalid
        """
        is_proxy = self.kind == "proxy"
        if is_proxy != (self.upstream is not None):
            raise RequestInvalid("a proxy has an upstream, and a hosted repository has none")
        if is_proxy and (self.immutable_tags or self.quota_bytes):
            raise RequestInvalid("immutable_tags and quota_bytes are for hosted repositories")
        return Repository(
            kind=self.kind,
            visibility=self.visibility,
            description=self.description,
            immutable_tags=parse_patterns(self.immutable_tags),
            quota_bytes=self.quota_bytes,
            source=None if self.upstream is None else self.upstream.source(),
        )


class RepositoryChange(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Body of `PATCH`, a JSON merge patch (RFC 7396): absent stays, null is the default again."""

    kind: Kind | UnsetType | None = UNSET
    visibility: Visibility | UnsetType | None = UNSET
    description: Description | UnsetType | None = UNSET
    immutable_tags: list[str] | UnsetType | None = UNSET
    quota_bytes: Quota | UnsetType | None = UNSET
    upstream: UpstreamChange | UnsetType = UNSET

    def merged(self, record: Repository, *, is_administrator: bool) -> Repository:
        """The settings after the change.

        Raises:
            Conflict: the kind would change.
            Forbidden: the quota or the upstream would, and the caller is no administrator.
            PatternsInvalid, RequestInvalid
        """
        wanted = {
            name: DEFAULTS[name] if value is None else value
            for name in DEFAULTS
            if (value := getattr(self, name)) is not UNSET
        }
        wanted["source"] = self._source(record, is_administrator=is_administrator)
        patterns = wanted.get("immutable_tags")
        if patterns is not None:
            wanted["immutable_tags"] = parse_patterns(patterns)
        changed = msgspec.structs.replace(record, **wanted)
        if changed.kind != record.kind:
            raise Conflict(f"a repository's kind cannot change: this one is {record.kind}")
        if changed.quota_bytes != record.quota_bytes and not is_administrator:
            raise Forbidden("only an administrator of the registry may set quota_bytes")
        if changed.kind == "proxy" and (changed.immutable_tags or changed.quota_bytes):
            raise RequestInvalid("immutable_tags and quota_bytes are for hosted repositories")
        return changed

    def _source(self, record: Repository, *, is_administrator: bool) -> Source | None:
        if self.upstream is UNSET:
            return record.source
        if record.source is None:
            raise RequestInvalid("a hosted repository has no upstream")
        if not is_administrator:
            raise Forbidden("only an administrator of the registry may change the upstream")
        return self.upstream.merged(record.source)

    @property
    def password(self) -> str | UnsetType | None:
        """The upstream's, if it is to be another one; None: none any more."""
        return UNSET if self.upstream is UNSET else self.upstream.password


DEFAULTS: dict[str, Any] = {
    "kind": "hosted",
    "visibility": "private",
    "description": "",
    "immutable_tags": (),
    "quota_bytes": 0,
}


class RepositoryShown(msgspec.Struct, frozen=True, kw_only=True):
    """A repository's settings; `quota_bytes` is 0 without a limit."""

    storage: str
    name: str
    kind: str
    visibility: str
    description: str
    immutable_tags: tuple[str, ...]
    quota_bytes: int
    upstream: UpstreamShown | None  # of a proxy
    created_at: str


class RepositoryListed(RepositoryShown, frozen=True, kw_only=True):
    """A repository and how much it holds; `size` in bytes, each digest counted once."""

    size: int
    images: int
    manifests: int


class RepositoryWhole(RepositoryListed, frozen=True, kw_only=True):
    """A repository by itself."""

    health: HealthShown | None = None  # of a proxy


class RepositoryPage(msgspec.Struct, frozen=True):
    """A page of repositories, in the order of their names."""

    page: int
    per_page: int
    total: int
    items: list[RepositoryListed]


def shown(name: str, record: Repository) -> RepositoryShown:
    """A repository's settings."""
    return RepositoryShown(**_described(name, record))


def listed(name: str, record: Repository, usage: Usage) -> RepositoryListed:
    """A repository for a list."""
    return RepositoryListed(**_described(name, record), **_used(usage))


def whole(
    name: str, record: Repository, usage: Usage, health: HealthShown | None
) -> RepositoryWhole:
    """A repository by itself."""
    return RepositoryWhole(**_described(name, record), **_used(usage), health=health)


def _used(usage: Usage) -> dict[str, Any]:
    return {"size": usage.linked, "images": usage.images, "manifests": usage.manifests}


def _described(name: str, record: Repository) -> dict[str, Any]:
    storage, _, own = name.partition("/")
    return {
        "storage": storage,
        "name": own,
        "kind": record.kind,
        "visibility": record.visibility,
        "description": record.description,
        "immutable_tags": record.immutable_tags,
        "quota_bytes": record.quota_bytes,
        "upstream": shown_upstream(record.source),
        "created_at": time_text(record.created_at),
    }
