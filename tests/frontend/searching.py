"""What tests of searches have in common: packages without bytes, and a search on a snapshot."""

import hashlib
from functools import partial

from frontend.access.grants import put_grant
from frontend.access.standing import iter_visible
from frontend.domain.manifests import OCI_MANIFEST
from frontend.domain.message import Principal
from frontend.domain.search import parse_query
from frontend.search.pace import Pace
from frontend.search.searcher import Wanted, find
from index.changes import (
    CreateStorage,
    EdgeKind,
    ImageName,
    Link,
    PutManifest,
    PutObject,
    PutRepository,
    SetTag,
)
from index.records import Manifest, Repository

ADMIN, VISITOR = Principal("admin", is_admin=True), Principal()
ALICE = Principal("alice")
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"


def digest_of(text, algorithm="sha256"):
    """The digest key of a manifest whose bytes are `text`."""
    raw = hashlib.new(algorithm, text.encode()).digest()
    return {"sha256": b"\x01", "sha512": b"\x02"}[algorithm] + raw


def repositories(*names, visibility="private"):
    storages = {name.partition("/")[0]: None for name in names}
    return [
        *map(CreateStorage, storages),
        *(PutRepository(name, Repository(visibility=visibility)) for name in names),
    ]


def package(name, *tags, media_type=OCI_MANIFEST, artifact_type=CONFIG_TYPE, **more):
    """The changes that push a manifest to `storage/repository/path`, under tags or none."""
    text = more.get("text", f"{name}:{','.join(tags)}")
    digest = digest_of(text, more.get("algorithm", "sha256"))
    image = image_name(name)
    record = Manifest(
        media_type=media_type, size=len(text), artifact_type=artifact_type, pushed_at=1_000_000
    )
    edges = tuple((layer, EdgeKind.LAYER) for layer in more.get("layers", ()))
    return [
        PutObject(digest, text.encode()),
        Link(image, digest),
        PutManifest(image, digest, record, edges),
        *(SetTag(image, tag, digest) for tag in tags),
    ]


def blob(name, text):
    """The changes that push a blob."""
    return [PutObject(digest_of(text), text.encode()), Link(image_name(name), digest_of(text))]


def image_name(name):
    storage, repository, path = name.split("/", 2)
    return ImageName(f"{storage}/{repository}", path)


def grant(store, repository, user="alice"):
    record = store.read(lambda view: view.repository(repository))
    return put_grant(record.id, user, "reader")


def wanted(query, who=ADMIN, page=1, size=100):
    return Wanted(
        query=parse_query(query),
        visible=partial(iter_visible, principal=who),
        is_all=who.is_admin,
        start=(page - 1) * size,
        size=size,
    )


def search(store, query, who=ADMIN, **paging):
    """(kind, name, tag) of each result, in order."""
    found = store.read(partial(find, wanted=wanted(query, who, **paging)))
    return [row(item) for item in found.items]


def count_steps(store, query, who=ADMIN):
    """What was found, and the steps of cursors that it took."""

    def look(view):
        found = find(view, wanted(query, who))
        return found, view.steps

    return store.read(look)


def row(item):
    return item.kind, f"{item.repository}/{item.image}", item.tag


def rows(kind, *names):
    """Results as `search` tells them, of `name` or `name:tag`."""
    return [(kind, name.partition(":")[0], name.partition(":")[2] or None) for name in names]


def without_rests(monkeypatch):
    """Searches that never give way: for tests of what they find."""
    monkeypatch.setattr(Pace, "rest", lambda _: None)
