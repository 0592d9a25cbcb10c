"""What a commit may expect, as data: checked in its transaction, which otherwise changes nothing.

Digests are raw keys, as in `index.changes`. What did not hold comes back by name, all of it; who
asked decides what that means. `index.expect` says when one holds.
"""

from dataclasses import dataclass, field

from index.changes import ImageName


@dataclass(frozen=True, slots=True)
class Linked:
    """`image` has a link to `digest` (before this commit's changes)."""

    image: ImageName
    digest: bytes


@dataclass(frozen=True, slots=True)
class TagIs:
    """`tag` points at `digest`; None: the tag is absent."""

    image: ImageName
    tag: str
    digest: bytes | None


@dataclass(frozen=True, slots=True)
class TagExists:
    """`tag` is there, whatever it points at."""

    image: ImageName
    tag: str


@dataclass(frozen=True, slots=True)
class TagKept:
    """`tag` is absent or points at `digest` already: what may be done to one that must not change.

    With None it is absent: such a tag is not taken away either.
    """

    image: ImageName
    tag: str
    digest: bytes | None


@dataclass(frozen=True, slots=True)
class NoTagLike:
    """No tag that points at `digest` matches one of `patterns` (`index.patterns`)."""

    image: ImageName
    digest: bytes
    patterns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ManifestExists:
    """`digest` has a manifest row in `image`."""

    image: ImageName
    digest: bytes


@dataclass(frozen=True, slots=True)
class TypeKept:
    """`digest` is no manifest of another media type; or it needs nothing, and nothing needs it.

    A manifest under another type may need less: what only it needed would be let go.
    """

    image: ImageName
    digest: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class Unreferenced:
    """No edge, tag or manifest row of `image` refers to `digest`."""

    image: ImageName
    digest: bytes


@dataclass(frozen=True, slots=True)
class NoParent:
    """No manifest of `image` has an edge to `digest`."""

    image: ImageName
    digest: bytes


@dataclass(frozen=True, slots=True)
class NeededBy:
    """Nothing but an edge from `parent`, if that, refers to `digest` in `image`."""

    image: ImageName
    digest: bytes
    parent: bytes


@dataclass(frozen=True, slots=True)
class RepositoryRevision:
    """The repository exists and nobody changed its settings since they were read.

    No two repositories that had the same name had the same revision.
    """

    repository: str
    revision: int


@dataclass(frozen=True, slots=True)
class RepositoryAbsent:
    """No repository has this name."""

    repository: str


@dataclass(frozen=True, slots=True)
class RepositoryEmpty:
    """The repository is there, and has no image."""

    repository: str


@dataclass(frozen=True, slots=True)
class WithinQuota:
    """After the changes the repository links no more bytes than its quota, or no more than before.

    The only expectation of the state after the changes: it fails alone, once all others held.
    """

    repository: str


@dataclass(frozen=True, slots=True)
class StorageExists:
    """The storage is there."""

    storage: str


@dataclass(frozen=True, slots=True)
class StorageAbsent:
    """No storage has this name."""

    storage: str


@dataclass(frozen=True, slots=True)
class StorageEmpty:
    """The storage is there, and has no repository."""

    storage: str


@dataclass(frozen=True, slots=True)
class RecordIs:
    """The row of an opaque table has exactly this value; None: it is absent."""

    table: str
    key: bytes
    value: bytes | None = field(repr=False)


Expectation = (
    Linked
    | TagIs
    | TagExists
    | TagKept
    | NoTagLike
    | ManifestExists
    | TypeKept
    | Unreferenced
    | NoParent
    | NeededBy
    | RepositoryRevision
    | RepositoryAbsent
    | RepositoryEmpty
    | WithinQuota
    | StorageExists
    | StorageAbsent
    | StorageEmpty
    | RecordIs
)
