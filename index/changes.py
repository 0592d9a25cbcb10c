"""What a commit may change, as data; `index.expectations` has what may be expected with it.

Digests are raw keys (1 byte algorithm ‖ digest): the index does not interpret them. Images are
named; ids are allocated inside the transaction. Every change is applied in one (child)
transaction: all of them, or none.
"""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from index.records import Entry, Manifest, Repository

INLINE_LIMIT: Final = 64 << 10  # bytes of a blob kept in the index; manifests are always there


@dataclass(frozen=True, slots=True)
class ImageName:
    """`repository` is `storage/repository`; `path` is what follows it in the OCI name."""

    repository: str
    path: str

    def __str__(self) -> str:
        return f"{self.repository}/{self.path}"


class EdgeKind(IntEnum):
    """Why a manifest needs a child; stored, never interpreted here."""

    CONFIG = 1
    LAYER = 2
    CHILD = 3


@dataclass(frozen=True, slots=True)
class PutObject:
    """Keep `content` (≤ INLINE_LIMIT for a blob, ≤ the manifest limit otherwise) inline.

    It replaces what is known to be damaged, and what is inline under this digest and differs: the
    store has hashed the new one.
    """

    digest: bytes
    content: bytes


@dataclass(frozen=True, slots=True)
class PlaceObject:
    """Make the bytes that `index.placement` laid out for object `id` live; only `cas` says it.

    They replace those of an object that is there: it is hurt.
    """

    digest: bytes
    id: int
    size: int


@dataclass(frozen=True, slots=True)
class Link:
    """Let `image` serve `digest`, for at least `lease` seconds though nothing refers to it.

    The object must exist (or be put by an earlier change of the same commit). An existing link
    keeps its age; its lease only grows.
    """

    image: ImageName
    digest: bytes
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Unlink:
    """Take the link away, with its tags, its edges, its manifest row and its referrer row."""

    image: ImageName
    digest: bytes


@dataclass(frozen=True, slots=True)
class PutManifest:
    """Record that `digest` is a manifest of `image`, what it needs and what it refers to.

    `edges` are distinct children with their kinds. `referrer` is the descriptor JSON to list
    under `record.subject`. An existing row of the same media type stays as it is.
    """

    image: ImageName
    digest: bytes
    record: Manifest
    edges: tuple[tuple[bytes, EdgeKind], ...] = ()
    referrer: bytes = b""


@dataclass(frozen=True, slots=True)
class SetTag:
    """Point `tag` at `digest` (linked in the image), or take it away when None."""

    image: ImageName
    tag: str
    digest: bytes | None
    by: str = ""
    is_checked: bool = False  # the source of a proxy repository says so now


@dataclass(frozen=True, slots=True)
class CheckTag:
    """The source of a proxy repository says that `tag` points at `digest` still.

    Nothing, if it does not here.
    """

    image: ImageName
    tag: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class DropPackage:
    """Take `tag` away, and its manifest unless another tag or an index needs it.

    Its child manifests and the manifests that refer to it go later, when their grace and lease are
    over, unless something else needs them by then or they are pushed again.
    """

    image: ImageName
    tag: str


@dataclass(frozen=True, slots=True)
class CreateStorage:
    """Create the storage `name` (expect `StorageAbsent` to be told of an existing one)."""

    name: str


@dataclass(frozen=True, slots=True)
class PutRepository:
    """Create or update `storage/repository`; id, revision and age are set in the transaction."""

    name: str
    record: Repository


@dataclass(frozen=True, slots=True)
class DeleteRepository:
    """Take a repository away with all it holds; its name is free at once.

    What it held goes afterwards, in bounded transactions (`index.clearing`): nobody can ask for it.
    """

    name: str


@dataclass(frozen=True, slots=True)
class DeleteStorage:
    """Take the storage `name` away (expect `StorageEmpty`)."""

    name: str


@dataclass(frozen=True, slots=True)
class PutRecord:
    """Write (or, with None, delete) one row of a table whose values are opaque here."""

    table: str  # one of `index.keys.RECORD_TABLES`: "user", "token", "session", "grant", "setting"
    key: bytes
    value: bytes | None = field(repr=False)  # may be a secret's hash


@dataclass(frozen=True, slots=True)
class MarkDamaged:
    """Quarantine the chunk at a place; nothing, if none is there. `why` is for a person.

    A store looks at the place again before it believes a reader, who may have been slower than
    whoever mended it.
    """

    pack: int
    offset: int
    why: str


@dataclass(frozen=True, slots=True)
class Note:
    """Append an entry to the journal; about `repository`, if that is there.

    Of what is more than `rows`, or from before `since` (milliseconds), a few of the oldest go.
    """

    entry: Entry
    repository: str = ""
    rows: int = 100_000
    since: int = 0


@dataclass(frozen=True, slots=True)
class Touch:
    """Note the time `at` in a row of "pulled" or of "token", beside the row `owner` that it is of.

    Nothing, if that is gone, or the row is younger than `every` seconds: see `index.touching`.
    """

    table: str
    key: bytes
    owner: bytes
    at: int
    every: int = 3600


Change = (
    PutObject
    | PlaceObject
    | Link
    | Unlink
    | PutManifest
    | SetTag
    | CheckTag
    | DropPackage
    | CreateStorage
    | PutRepository
    | DeleteRepository
    | DeleteStorage
    | PutRecord
    | MarkDamaged
    | Touch
    | Note
)
