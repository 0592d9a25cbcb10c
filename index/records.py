"""The values of the index's rows, and their bytes.

Hot rows are fixed big-endian structs; rows with text are MessagePack maps, where a missing field
takes its default, so that a field may be added without a new format. Times are whole seconds since
1970 UTC, sizes and offsets bytes. `docs/formats/index.md` describes every byte.
"""

from enum import IntEnum
from struct import Struct
from typing import Final, NamedTuple, Self

import msgspec

_LINK: Final = Struct(">QQIQ")
_OBJECT: Final = Struct(">QQIQ")
_EXTENT: Final = Struct(">QQQ")
_PLACE: Final = Struct(">QQ")
_CHUNK_AT: Final = Struct(">I32sI")
_PACK: Final = Struct(">BQQ")
_USAGE: Final = Struct(">QQQ")
_IMAGE: Final = Struct(">8sIIIQQ")


class PackState(IntEnum):
    """Life of a pack; lookups ignore every chunk whose pack is not ACTIVE or SEALED."""

    INCOMING = 1
    ACTIVE = 2
    SEALED = 3
    DEAD = 4


class WorkKind(IntEnum):
    """What an unfinished piece of work was doing."""

    BUILD = 1
    DISMANTLE = 2
    REWRITE = 3


class GarbageKind(IntEnum):
    """What a garbage row names."""

    LINK = 1
    OBJECT = 2
    PACK = 3  # it has lost bytes; its time is 0
    MANIFEST = 4  # what it was there for has gone: does anything need it?


class Link(NamedTuple):
    """An image may serve a digest. `not_before` is non-zero exactly while references = 0."""

    since: int
    lease: int  # kept until then, whatever the grace
    references: int
    not_before: int

    def encode(self) -> bytes:
        """u64 since · u64 lease · u32 references · u64 not_before."""
        value: bytes = _LINK.pack(*self)
        return value

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """Read what `encode` wrote."""
        return cls._make(_LINK.unpack(value))


class Object(NamedTuple):
    """Live bytes under a digest. `not_before` is non-zero exactly while references (links) = 0."""

    id: int  # O
    size: int
    references: int
    not_before: int

    def encode(self) -> bytes:
        """u64 O · u64 size · u32 references · u64 not_before."""
        value: bytes = _OBJECT.pack(*self)
        return value

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """Read what `encode` wrote."""
        return cls._make(_OBJECT.unpack(value))


class Extent(NamedTuple):
    """A run of an object's bytes: `length` bytes from `offset` of `pack`."""

    pack: int
    offset: int
    length: int

    def encode(self) -> bytes:
        """u64 pack · u64 offset · u64 length."""
        value: bytes = _EXTENT.pack(*self)
        return value

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """Read what `encode` wrote."""
        return cls._make(_EXTENT.unpack(value))


class Place(NamedTuple):
    """Where a chunk lies; its length is in the `chunk_at` row."""

    pack: int
    offset: int

    def encode(self) -> bytes:
        """u64 pack · u64 offset: the value of `chunk` and the key of `chunk_at`."""
        value: bytes = _PLACE.pack(*self)
        return value

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """Read what `encode` wrote."""
        return cls._make(_PLACE.unpack(value))


class ChunkAt(NamedTuple):
    """The chunk at a place; `references` counts the extent rows that cover it."""

    length: int
    name: bytes  # BLAKE3
    references: int

    def encode(self) -> bytes:
        """u32 length · 32 bytes BLAKE3 · u32 references."""
        value: bytes = _CHUNK_AT.pack(*self)
        return value

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """Read what `encode` wrote."""
        return cls._make(_CHUNK_AT.unpack(value))


class Pack(NamedTuple):
    """A pack file: `length` bytes are indexed, `live` of them are covered by referenced chunks."""

    state: PackState
    length: int
    live: int

    def encode(self) -> bytes:
        """u8 state · u64 length · u64 live."""
        value: bytes = _PACK.pack(*self)
        return value

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """Read what `encode` wrote."""
        state, length, live = _PACK.unpack(value)
        return cls(PackState(state), length, live)


class Usage(NamedTuple):
    """What one repository holds; `linked` counts a digest once, however many images link it."""

    linked: int  # bytes
    images: int
    manifests: int

    def encode(self) -> bytes:
        """u64 linked bytes · u64 images · u64 manifests."""
        value: bytes = _USAGE.pack(*self)
        return value

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """Read what `encode` wrote."""
        return cls._make(_USAGE.unpack(value))


class Image(NamedTuple):
    """An image's id and what it holds; the row exists while links > 0."""

    id: bytes  # I: u32 repository ‖ u32 image, big-endian
    links: int
    manifests: int
    tags: int
    size: int = 0  # bytes of what it links
    updated_at: int = 0  # when a manifest or a tag was last pushed

    def encode(self) -> bytes:
        """8 bytes I · u32 links · u32 manifests · u32 tags · u64 size · u64 updated at."""
        value: bytes = _IMAGE.pack(*self)
        return value

    @staticmethod
    def held(value: bytes) -> int | None:
        """Its size alone; None: it has no manifest and no tag. `decode` takes thrice as long."""
        _, _, manifests, tags, size, _ = _IMAGE.unpack(value)
        return size if manifests or tags else None

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """Read what `encode` wrote."""
        return cls._make(_IMAGE.unpack(value))


class _Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A row with text: a MessagePack map without the fields that have their default."""

    def encode(self) -> bytes:
        """MessagePack map of field names to values."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """Read what `encode` wrote; fields of a later version are ignored."""
        return msgspec.msgpack.decode(value, type=cls)


class Storage(_Row, frozen=True, kw_only=True):
    """A named place for bytes."""

    created_at: int = 0


class Source(_Row, frozen=True, kw_only=True):
    """Where a proxy repository has its images from; stored, never interpreted here.

    Its password is not in this row: see docs/formats/accounts.md.
    """

    url: str
    username: str = ""
    tag_ttl_seconds: int = 300
    offline: bool = False
    max_bytes: int = 0  # of distinct linked bytes, beyond which images go; 0: no limit


class Repository(_Row, frozen=True, kw_only=True):
    """A repository's settings. `id` and `revision` are set by the transaction that writes it."""

    id: int = 0
    revision: int = 0
    kind: str = "hosted"
    visibility: str = "private"
    description: str = ""  # of one that is being taken apart: its name before
    created_at: int = 0
    immutable_tags: tuple[str, ...] = ()  # see `index.patterns`
    quota_bytes: int = 0  # of distinct linked bytes; 0: no limit
    source: Source | None = None  # of a proxy repository


class Tag(_Row, frozen=True, kw_only=True):
    """What a tag points at, and who pushed it when."""

    digest: bytes
    pushed_at: int = 0
    pushed_by: str = ""
    checked_at: int = 0  # of a proxy repository: when its source last said so


class Manifest(_Row, frozen=True, kw_only=True):
    """A manifest of an image. `subject` is a digest key, or empty.

    `total` is the size of the whole as people see it: this, its config and layers, and for an index
    its manifests; 0 if nobody said so. `platforms` are what it runs on, as "linux/amd64".
    """

    media_type: str
    size: int
    artifact_type: str = ""
    subject: bytes = b""
    pushed_at: int = 0
    pushed_by: str = ""
    total: int = 0
    platforms: tuple[str, ...] = ()
    not_before: int = 0  # when it is asked whether anything needs it: a garbage row says so too


class Run(_Row, frozen=True, kw_only=True):
    """One run of maintenance. `ended_at` is 0 while it lasts; `error` says why it ended early."""

    kind: str = "gc"
    is_asked: bool = True
    ended_at: int = 0  # milliseconds since 1970
    error: str = ""
    figures: dict[str, int | float] = {}


class Entry(_Row, frozen=True, kw_only=True):
    """One thing that somebody did. `repository` and `number` are set by the transaction."""

    at: int  # milliseconds since 1970
    action: str
    actor: str = ""  # empty: nobody signed in
    via: str = ""  # how he proved it
    address: str = ""
    target: str = ""
    detail: dict[str, str | int] = {}
    repository: int = 0
    number: int = 0


class Damage(_Row, frozen=True, kw_only=True):
    """A chunk whose bytes are not what was stored; `name` is its BLAKE3.

    Of an object that lives in the index `name` is D; see `index.damage`.
    """

    length: int
    name: bytes
    found_at: int = 0
    why: str = ""


class Work(_Row, frozen=True, kw_only=True):
    """An unfinished piece of work; `cursor` is the last key done, so it can be undone or go on."""

    kind: WorkKind
    upload: str = ""
    digest: bytes = b""
    object: int = 0
    pack: int = 0
    cursor: bytes = b""
