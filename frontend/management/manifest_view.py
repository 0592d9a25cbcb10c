"""Looks at one manifest on one snapshot. What was pushed is a stranger's: lists end, texts are cut.

Its bytes and its config's are read within the snapshot, so it runs in a thread.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Final

import msgspec

from cas.digest import Digest
from cas.errors import BlobUnknown, Damaged, DigestInvalid
from cas.verbs import View
from frontend.access.sharing import Sharing
from frontend.domain.artifacts import attached_kind, attachment_tags
from frontend.domain.documents import Descriptor, Document, typed
from frontend.domain.faults import ImageUnknown, ManifestDamaged, ManifestInvalid, ManifestUnknown
from frontend.domain.image_config import READ, lines_of_layers, pairs, read_config, text
from frontend.domain.message import Principal
from frontend.domain.platforms import CONFIGS, of_descriptors
from frontend.management.manifest_shapes import (
    ChildShown,
    ConfigShown,
    LayerShown,
    ManifestShown,
    ReferrerShown,
)
from frontend.management.replies import time_text
from index.changes import EdgeKind, ImageName
from index.damage import is_hurt
from index.listed import whole
from index.records import Manifest

LAYERS: Final = 1000
MANIFESTS: Final = 256
REFERRERS: Final = 200
TAGS: Final = 100
INDEXES: Final = 20
RAW: Final = 256 << 10  # bytes of a manifest that is shown as it is
REFERRER_BYTES: Final = 4 << 20  # of all descriptors of referrers that are read
_DIGESTS: Final = 5000  # of which sizes are added up, and those of the manifest that was begun
# Source: BuildKit, docs/attestations/attestation-storage.md.
_ABOUT: Final = "vnd.docker.reference.digest"


@dataclass(frozen=True, slots=True)
class Looked:
    """Which manifest, and for whom."""

    name: ImageName
    reference: Digest | str
    principal: Principal


@dataclass(frozen=True, slots=True)
class _Found:
    """A manifest that is here, as far as its rows and bytes say."""

    image: bytes  # I
    digest: Digest
    record: Manifest
    content: bytes
    document: Document


def look_at(view: View, wanted: Looked) -> ManifestShown:
    """All of it.

    Raises:
        ImageUnknown, ManifestUnknown, ManifestDamaged
    """
    found = _find(view, wanted)
    tree = _tree(view, found)
    sharing = Sharing(view, wanted.principal, found.image, tree.manifests)
    shared = {digest for digest in tree.sizes if sharing.is_shared(digest)}
    total = sum(tree.sizes.values())
    shared_size = sum(tree.sizes[digest] for digest in shared)
    config, layers = _contents(view, found, shared)
    manifests = [_child(view, found, each) for each in (found.document.manifests or ())[:MANIFESTS]]
    referrers, has_more = _referrers(view, found)
    tags = list(islice(view.iter_tags_of(found.image, found.digest.key), TAGS + 1))
    parents = list(islice(view.iter_parents(found.image, found.digest.key), INDEXES + 1))
    record, document = found.record, found.document
    return ManifestShown(
        image=wanted.name.path,
        tag=wanted.reference if isinstance(wanted.reference, str) else None,
        digest=str(found.digest),
        media_type=record.media_type,
        artifact_type=record.artifact_type or None,
        subject=str(Digest(record.subject)) if record.subject else None,
        size=record.size,
        total=total,
        own=total - shared_size,
        shared=shared_size,
        is_cut=sharing.is_cut
        or tree.is_cut
        or has_more
        or len(tags) > TAGS
        or len(parents) > INDEXES
        or len(document.manifests or ()) > MANIFESTS
        or len(document.layers or document.blobs or ()) > LAYERS,
        pushed_at=time_text(record.pushed_at),
        pushed_by=record.pushed_by,
        platforms=list(record.platforms),
        annotations=pairs(document.annotations),
        config=config,
        layers=layers,
        manifests=manifests,
        tags=tags[:TAGS],
        indexes=[str(Digest(parent)) for parent in parents[:INDEXES]],
        referrers=referrers,
        raw=_raw(found.content),
    )


def _find(view: View, wanted: Looked) -> _Found:
    image = view.image(wanted.name)
    if image is None:
        raise ImageUnknown(wanted.name)
    unknown = ManifestUnknown(wanted.name, str(wanted.reference))
    digest = wanted.reference
    if isinstance(digest, str):
        tag = view.tag(image.id, digest)
        if tag is None:
            raise unknown
        digest = Digest(tag.digest)
    record, row = view.manifest(image.id, digest.key), view.object(digest.key)
    if record is None or row is None or view.link(image.id, digest.key) is None:
        raise unknown
    content = None if is_hurt(view, row) else _read(view, digest, row.size)
    if content is None:
        raise ManifestDamaged(wanted.name, str(wanted.reference))
    return _Found(image.id, digest, record, content, _document(content))


def _document(content: bytes) -> Document:
    """What it says; of a manifest that is no JSON, or of another form, nothing."""
    try:
        return typed(msgspec.json.decode(content, type=dict[str, Any]))
    except (ManifestInvalid, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Document()


def _read(view: View, digest: Digest, size: int) -> bytes | None:
    """All bytes of an object; None: they cannot be had."""
    try:
        with view.open(digest) as blob:
            return blob.read(0, size)
    except (BlobUnknown, Damaged):
        return None


# --- sizes ---


@dataclass(frozen=True, slots=True)
class _Tree:
    """What hangs on a manifest and is here: its manifests, itself included, and all sizes."""

    manifests: frozenset[bytes]
    sizes: Mapping[bytes, int]
    is_cut: bool


def _tree(view: View, found: _Found) -> _Tree:
    manifests = {found.digest.key: None}
    needed: dict[bytes, None] = {}
    waiting = [found.digest.key]
    while waiting and len(manifests) + len(needed) < _DIGESTS:
        for child, kind in view.iter_children(found.image, waiting.pop()):
            if kind != EdgeKind.CHILD:
                needed[child] = None
            elif child not in manifests:
                manifests[child] = None
                waiting.append(child)
    sizes = {}
    for digest in chain(manifests, needed):
        row = None if view.link(found.image, digest) is None else view.object(digest)
        if row is not None:
            sizes[digest] = row.size
    return _Tree(frozenset(manifests), sizes, bool(waiting))


# --- config and layers ---


def _contents(
    view: View, found: _Found, shared: set[bytes]
) -> tuple[ConfigShown | None, list[LayerShown]]:
    config = _config(view, found)
    descriptors = found.document.layers or found.document.blobs or []
    history = () if config is None or config.content is None else config.content.history
    lines = lines_of_layers(history, len(descriptors))
    layers = [
        LayerShown(
            digest=text(each.digest),
            size=each.size,
            media_type=text(each.media_type),
            is_here=_is_here(view, found.image, each),
            is_shared=_key(each.digest) in shared,
            created_by="" if step is None else step.created_by,
        )
        for each, step in zip(descriptors[:LAYERS], lines[:LAYERS], strict=True)
    ]
    return config, layers


def _config(view: View, found: _Found) -> ConfigShown | None:
    said = found.document.config
    if said is None:
        return None
    content = None
    if said.size <= READ and _is_here(view, found.image, said):
        digest = Digest.parse(said.digest)
        row = view.object(digest.key)
        if row is not None and row.size <= READ and not is_hurt(view, row):
            content = _read(view, digest, row.size)
    is_image = said.media_type in CONFIGS
    return ConfigShown(
        digest=text(said.digest),
        size=said.size,
        media_type=text(said.media_type),
        content=None if content is None else read_config(content, is_image=is_image),
    )


def _key(digest: str) -> bytes:
    """The key of a digest; empty of one that nothing is stored under."""
    try:
        return Digest.parse(digest).key
    except DigestInvalid:
        return b""


def _is_here(view: View, image: bytes, said: Descriptor) -> bool:
    key = _key(said.digest)
    return bool(key) and view.link(image, key) is not None


# --- manifests of an index, and what refers to this one ---


def _child(view: View, found: _Found, said: Descriptor) -> ChildShown:
    key = _key(said.digest)
    record = view.manifest(found.image, key) if key else None
    platforms = of_descriptors((said.platform,))
    return ChildShown(
        digest=text(said.digest),
        media_type=text(said.media_type),
        artifact_type="" if record is None else record.artifact_type,
        platform=platforms[0] if platforms else "",
        size=said.size if record is None else whole(record),
        is_here=record is not None,
        of=text((said.annotations or {}).get(_ABOUT)),
    )


def _referrers(view: View, found: _Found) -> tuple[list[ReferrerShown], bool]:
    """Those that there are, and whether there are more."""
    shown: list[ReferrerShown] = []
    for key, tag, annotations in chain(_iter_attached(view, found), _iter_referring(view, found)):
        if len(shown) >= REFERRERS:
            return shown, True
        record = view.manifest(found.image, key)
        if record is not None:
            shown.append(_referrer(key, tag, record, annotations))
    return shown, False


def _iter_attached(
    view: View, found: _Found
) -> Iterator[tuple[bytes, str | None, Mapping[str, str]]]:
    for name in attachment_tags(str(found.digest)):
        tag = view.tag(found.image, name)
        if tag is not None:
            yield tag.digest, name, {}


def _iter_referring(
    view: View, found: _Found
) -> Iterator[tuple[bytes, str | None, Mapping[str, str]]]:
    read = 0
    for cursor, descriptor in view.iter_referrers(found.image, found.digest.key):
        read += len(descriptor)
        said = msgspec.json.decode(descriptor) if read <= REFERRER_BYTES else {}
        yield cursor[8:], None, pairs(said.get("annotations"))


def _referrer(
    key: bytes, tag: str | None, record: Manifest, annotations: Mapping[str, str]
) -> ReferrerShown:
    return ReferrerShown(
        digest=str(Digest(key)),
        kind=attached_kind(record.media_type, record.artifact_type, tag or ""),
        media_type=record.media_type,
        artifact_type=record.artifact_type,
        size=whole(record),
        tag=tag,
        annotations=dict(islice(annotations.items(), 20)),
    )


def _raw(content: bytes) -> str | None:
    if len(content) > RAW:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None
