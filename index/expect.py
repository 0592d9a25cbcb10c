"""Whether an expectation holds, on the state before a commit's changes."""

from functools import singledispatch

from index.changes import (
    Expectation,
    ImageName,
    Linked,
    ManifestExists,
    NoParent,
    RecordIs,
    RepositoryAbsent,
    RepositoryRevision,
    StorageAbsent,
    StorageExists,
    TagExists,
    TagIs,
    Unreferenced,
)
from index.view import View


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
def _manifest_exists(expectation: ManifestExists, view: View) -> bool:
    image = _image(view, expectation.image)
    return image is not None and view.manifest(image, expectation.digest) is not None


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
def _repository_revision(expectation: RepositoryRevision, view: View) -> bool:
    repository = view.repository(expectation.repository)
    return repository is not None and repository.revision == expectation.revision


@_is_met.register
def _repository_absent(expectation: RepositoryAbsent, view: View) -> bool:
    return view.repository(expectation.repository) is None


@_is_met.register
def _storage_exists(expectation: StorageExists, view: View) -> bool:
    return view.storage(expectation.storage) is not None


@_is_met.register
def _storage_absent(expectation: StorageAbsent, view: View) -> bool:
    return view.storage(expectation.storage) is None


@_is_met.register
def _record_is(expectation: RecordIs, view: View) -> bool:
    return view.record(expectation.table, expectation.key) == expectation.value
