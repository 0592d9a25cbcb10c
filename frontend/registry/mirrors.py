"""Proxy repositories under the names that clients of mirrors use.

    /v2/library/nginx/…?ns=docker.io        containerd's hosts files, and k3s': the repository whose
                                            upstream is docker.io; never an address to ask
    /mirror/local/hub/v2/library/nginx/…    dockerd's registry-mirrors: the repository local/hub

Both are the same as `/v2/local/hub/library/nginx/…`, rights included: a namespace leads to what the
caller may pull, and says nothing of other repositories. The rows by which one is found, `mirror:` ·
host · 0 · storage/name in the table `setting`, are written in the commit that gives a repository
its upstream. Source: distribution-spec, "Registry Proxying".
"""

import re
from dataclasses import dataclass, replace
from typing import Final

from cas.verbs import View
from frontend.access.standing import may
from frontend.domain.message import ANONYMOUS, Principal
from frontend.domain.paging import first, parse_query
from frontend.domain.upstream import Upstream
from index.changes import ImageName, PutRecord
from index.records import Source

TABLE: Final = "setting"
_PATH: Final = re.compile(r"/mirror/([a-z0-9._-]+/[a-z0-9._-]+)/v2(/.*)?")
_HOST: Final = re.compile(r"[a-z0-9.-]{1,253}(?::[0-9]{1,5})?|\[[0-9a-f:]+\](?::[0-9]{1,5})?")
_HUB: Final = "docker.io"


@dataclass(frozen=True, slots=True)
class Mirrored:
    """What a path means: another, and the namespace that was named, if one was.

    `sought` is a namespace that leads nowhere, for this caller.
    """

    path: str
    repository: str = ""
    namespace: str = ""
    sought: str = ""
    is_open: bool = False  # a public repository's base: its clients cannot say who they are

    @property
    def is_base(self) -> bool:
        """Only whether this is a registry was asked."""
        return bool(self.repository) and self.path == f"/v2/{self.repository}/"


def is_mirrored(path: str, query: str) -> bool:
    """Whether a request may be of a client of a mirror."""
    return path.startswith("/mirror/") or "ns=" in query


def find_mirrored(path: str, query: str, principal: Principal, view: View) -> Mirrored:
    """What a request of such a client means; the same path, if nothing."""
    match = _PATH.fullmatch(path)
    if match is not None:
        record = view.repository(match[1])
        is_open = record is not None and record.visibility == "public"
        return Mirrored(f"/v2/{match[1]}{match[2] or '/'}", match[1], is_open=is_open)
    namespace = (first(parse_query(query), "ns") or "").lower()
    is_fixed = path in ("/v2/", "/v2/token", "/v2/_catalog") or not path.startswith("/v2/")
    if is_fixed or _HOST.fullmatch(namespace) is None:
        return Mirrored(path)
    repository = find_repository(view, namespace, principal)
    if repository is None:
        return Mirrored(path, sought=namespace)
    return Mirrored(f"/v2/{repository}/{path.removeprefix('/v2/')}", repository, namespace)


def find_repository(view: View, namespace: str, principal: Principal = ANONYMOUS) -> str | None:
    """The proxy repository of a namespace: the first public one by name, or the first he may pull.

    `namespace` is one that there may be.
    """
    found: str | None = None
    prefix = _prefix(namespace)
    for key, _ in view.iter_records(TABLE, prefix):
        name = key[len(prefix) :].decode()
        record = view.repository(name)
        if record is not None and record.visibility == "public":
            return name
        if found is None and may(view, principal, "pull", name, record):
            found = name
    return found


def as_asked(principal: Principal, mirrored: Mirrored, name: ImageName | None) -> Principal:
    """The principal, whose short-lived token may be for the image by the name its client knows."""
    if principal.grants is None or not mirrored.repository or name is None:
        return principal
    own = principal.grants.get(str(name), frozenset())
    asked = principal.grants.get(name.path, frozenset())
    return replace(principal, grants={**principal.grants, str(name): own | asked})


def put_mirror(repository: str, before: Source | None, after: Source | None) -> list[PutRecord]:
    """The changes that have a repository found by its upstream's namespace."""
    old, new = namespace_of(before), namespace_of(after)
    if old == new:
        return []
    keys = ((old, None), (new, b"\1"))
    return [
        PutRecord(TABLE, _prefix(namespace) + repository.encode(), value)
        for namespace, value in keys
        if namespace is not None
    ]


def namespace_of(source: Source | None) -> str | None:
    """What clients call an upstream: its host, with a port that is not the usual one."""
    if source is None:
        return None
    upstream = Upstream.parse(source.url)
    if upstream.is_docker_hub:
        return _HUB
    origin = upstream.origin
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    usual = 443 if origin.scheme == "https" else 80
    return host if origin.port == usual else f"{host}:{origin.port}"


def _prefix(namespace: str) -> bytes:
    return b"mirror:" + namespace.encode() + b"\0"
