"""What a search answers: a page of what was found, each thing with what is known of it."""

from typing import Literal

import msgspec

from cas.digest import Digest
from cas.verbs import View
from frontend.management.replies import time_text
from frontend.search.hits import Hit, Kind
from frontend.search.subjects import Subjects
from index.records import Image, Manifest


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was found; what does not apply is null."""

    kind: Literal["image", "tag", "manifest", "blob"]
    repository: str  # `storage/repository`
    image: str  # the path in it
    tag: str | None = None
    digest: str | None = None
    media_type: str | None = None
    artifact_type: str | None = None
    pushed_at: str | None = None
    size: int | None = None  # bytes; of a tag or a manifest with what it needs


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """A page of what was found."""

    page: int
    per_page: int
    total: int
    total_is_lower_bound: bool = False
    items: tuple[Item, ...]


def describe(view: View, subjects: Subjects, hit: Hit) -> Item:
    """Look up what is told of a hit."""
    image = subjects.image(hit.repository, hit.path)
    if hit.kind is Kind.IMAGE or image is None:
        return Item(kind="image", repository=hit.repository, image=hit.path)
    if hit.kind is Kind.BLOB:
        return _blob(view, hit)
    return _package(view, image, hit)


def _blob(view: View, hit: Hit) -> Item:
    row = view.object(hit.digest)
    return Item(
        kind="blob",
        repository=hit.repository,
        image=hit.path,
        digest=str(Digest(hit.digest)),
        size=None if row is None else row.size,
    )


def _package(view: View, image: Image, hit: Hit) -> Item:
    tag = view.tag(image.id, hit.tag) if hit.tag else None
    digest = hit.digest if tag is None else tag.digest
    record = view.manifest(image.id, digest) or Manifest(media_type="", size=0)
    return Item(
        kind="tag" if hit.tag else "manifest",
        repository=hit.repository,
        image=hit.path,
        tag=hit.tag or None,
        digest=str(Digest(digest)),
        media_type=record.media_type or None,
        artifact_type=record.artifact_type or None,
        pushed_at=time_text(record.pushed_at if tag is None else tag.pushed_at),
        size=record.total or record.size,
    )
