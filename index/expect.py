"""Whether an expectation holds: on the state before a commit's changes, but for quotas."""

from functools import singledispatch

from index.changes import ImageName
from index.expectations import (
    Expectation,
    Linked,
    ManifestExists,
    NeededBy,
    NoParent,
    NoTagLike,
    RecordIs,
    RepositoryAbsent,
    RepositoryEmpty,
    RepositoryRevision,
    StorageAbsent,
    StorageEmpty,
    StorageExists,
    TagExists,
    TagIs,
    TagKept,
    TypeKept,
    Unreferenced,
    WithinQuota,
)
from index.patterns import matches
from index.repositories import has_repository
from index.view import View


def linked_bytes(view: View, repository: str) -> int:
    """What counts against a repository's quota."""
    record = view.repository(repository)
    return 0 if record is None else view.usage(record.id).linked


def is_within(view: View, expectation: WithinQuota, before: int) -> bool:
    """Whether the changes of a commit, which `view` shows, fit; `before` them so much was linked.

    What takes nothing more is never refused: a repository may be over a quota that was lowered.
    """
    record = view.repository(expectation.repository)
    if record is None:
        return False
    now = view.usage(record.id).linked
    return record.quota_bytes == 0 or now <= max(record.quota_bytes, before)


def is_met(view: View, expectation: Expectation) -> bool:
    """Whether `expectation` holds in `view`."""
    return _is_met(expectation, view)


@singledispatch
def _is_met(expectation: Expectation, view: View) -> bool:
    raise TypeError(expectation)


def _image(view: View, name: ImageName) -> bytes | None:
    image = view.image(name)
    return None if image is None else image.id


@_is_met.register
def _linked(expectation: Linked, view: View) -> bool:
    image = _image(view, expectation.image)
    return image is not None and view.link(image, expectation.digest) is not None


@_is_met.register
def _tag_is(expectation: TagIs, view: View) -> bool:
    image = _image(view, expectation.image)
    tag = None if image is None else view.tag(image, expectation.tag)
    return (None if tag is None else tag.digest) == expectation.digest


@_is_met.register
def _tag_exists(expectation: TagExists, view: View) -> bool:
    image = _image(view, expectation.image)
    return image is not None and view.tag(image, expectation.tag) is not None


@_is_met.register
def _tag_kept(expectation: TagKept, view: View) -> bool:
    image = _image(view, expectation.image)
    tag = None if image is None else view.tag(image, expectation.tag)
    return tag is None or tag.digest == expectation.digest


@_is_met.register
def _no_tag_like(expectation: NoTagLike, view: View) -> bool:
    image = _image(view, expectation.image)
    tags = () if image is None else view.iter_tags_of(image, expectation.digest)
    return not any(matches(pattern, tag) for tag in tags for pattern in expectation.patterns)


@_is_met.register
def _manifest_exists(expectation: ManifestExists, view: View) -> bool:
    image = _image(view, expectation.image)
    return image is not None and view.manifest(image, expectation.digest) is not None


@_is_met.register
def _type_kept(expectation: TypeKept, view: View) -> bool:
    image, digest = _image(view, expectation.image), expectation.digest
    record = None if image is None else view.manifest(image, digest)
    if image is None or record is None or record.media_type == expectation.media_type:
        return True
    link = view.link(image, digest)
    is_needed = link is None or link.references > 1  # by more than its own row
    return not is_needed and next(view.iter_children(image, digest), None) is None


@_is_met.register
def _unreferenced(expectation: Unreferenced, view: View) -> bool:
    image = _image(view, expectation.image)
    link = None if image is None else view.link(image, expectation.digest)
    return link is None or link.references == 0


@_is_met.register
def _no_parent(expectation: NoParent, view: View) -> bool:
    image = _image(view, expectation.image)
    return image is None or not any(True for _ in view.iter_parents(image, expectation.digest))


@_is_met.register
def _needed_by(expectation: NeededBy, view: View) -> bool:
    image = _image(view, expectation.image)
    if image is None:
        return True
    link = view.link(image, expectation.digest)
    edge = view.edge(image, expectation.parent, expectation.digest)
    return link is None or link.references <= (0 if edge is None else 1)


@_is_met.register
def _repository_revision(expectation: RepositoryRevision, view: View) -> bool:
    repository = view.repository(expectation.repository)
    return repository is not None and repository.revision == expectation.revision


@_is_met.register
def _repository_absent(expectation: RepositoryAbsent, view: View) -> bool:
    return view.repository(expectation.repository) is None


@_is_met.register
def _repository_empty(expectation: RepositoryEmpty, view: View) -> bool:
    record = view.repository(expectation.repository)
    return record is not None and next(view.iter_images(record.id), None) is None


@_is_met.register
def _storage_exists(expectation: StorageExists, view: View) -> bool:
    return view.storage(expectation.storage) is not None


@_is_met.register
def _storage_absent(expectation: StorageAbsent, view: View) -> bool:
    return view.storage(expectation.storage) is None


@_is_met.register
def _storage_empty(expectation: StorageEmpty, view: View) -> bool:
    is_there = view.storage(expectation.storage) is not None
    return is_there and not has_repository(view, expectation.storage)


@_is_met.register
def _record_is(expectation: RecordIs, view: View) -> bool:
    return view.record(expectation.table, expectation.key) == expectation.value
