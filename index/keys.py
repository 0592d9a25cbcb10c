"""Every key of the index: one prefix per question, big-endian, so a page is one cursor range.

D = 1 byte algorithm ‖ digest (its length follows from the algorithm); R = u32 repository id;
I = R ‖ u32 image id, so that everything about a repository is one prefix. Text is UTF-8 and comes
last in its key, or is hashed, so no key needs a terminator. `docs/formats/index.md` has the table.
"""

from hashlib import blake2b
from struct import Struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from index.records import Manifest

FORMAT: Final = 3  # raise it with a step in `index.upgrade`, and a golden file

TABLES: Final = (
    "meta", "storage", "repository", "repository_by_id", "public", "image", "image_by_id",
    "tag", "tag_by_digest", "manifest", "link", "link_by_digest", "edge", "edge_by_child",
    "referrer", "object", "inline", "extent", "chunk", "chunk_at", "pack", "work",
    "usage", "garbage", "run", "damage", "names", "pulled",
    "user", "token", "session", "grant", "setting", "journal",
)  # fmt: skip
LEAVING: Final = "~"  # begins the name of a repository that is being taken apart, and no other
RECORD_TABLES: Final = frozenset(("user", "token", "session", "grant", "setting"))

# meta rows
META_FORMAT: Final = b"format"  # u32
META_STORE: Final = b"store"  # 16 random bytes: this store's identity
META_SECRET: Final = b"secret"  # 32 random bytes: signs upload ids and short-lived tokens
META_CLEAN: Final = b"clean"  # u8: 1 after an orderly stop
META_REVISION: Final = b"revision"  # u64: commits that changed something
META_REPOSITORY: Final = b"next:repository"  # u32
META_IMAGE: Final = b"next:image"  # u32
META_OBJECT: Final = b"next:object"  # u64
META_ACTIVE: Final = b"pack:active"  # u64: the pack that appends go to; absent at first
META_NEXT: Final = b"pack:next"  # u64: the pack that will be active next; its file may exist
META_SCRUB: Final = b"scrub"  # u8 · key: how far a scrub is that did not come to its end

_U32: Final = Struct(">I")
_U64: Final = Struct(">Q")
_PLACE: Final = Struct(">QQ")
_GARBAGE: Final = Struct(">QB")
DIGEST_SIZES: Final = {1: 33, 2: 65}  # algorithm byte → bytes of D
IMAGE_SIZE: Final = 8
TYPE_HASH_SIZE: Final = 8
MAX_KEY: Final = 511  # LMDB 0.9's default; the longest of ours is I·D·D (138) or R·path (≤ 259)


def u32(number: int) -> bytes:
    """Four big-endian bytes."""
    return _U32.pack(number)


def u64(number: int) -> bytes:
    """Eight big-endian bytes."""
    return _U64.pack(number)


def number(value: bytes) -> int:
    """Read back what `u32` or `u64` wrote."""
    return int.from_bytes(value)


def place(pack: int, offset: int) -> bytes:
    """Key of `chunk_at` (u64 pack · u64 offset) and of `extent` (u64 O · u64 logical offset)."""
    return _PLACE.pack(pack, offset)


def split_place(key: bytes) -> tuple[int, int]:
    """Read back what `place` wrote."""
    pack, offset = _PLACE.unpack(key)
    return pack, offset


def image(repository: bytes, path: str) -> bytes:
    """Key of `image`: R · path."""
    return repository + path.encode()


def tag(image_id: bytes, name: str) -> bytes:
    """Key of `tag`: I · tag. Tags are ASCII, so byte order is the order clients expect."""
    return image_id + name.encode()


def tag_of(image_id: bytes, digest: bytes, name: str) -> bytes:
    """Key of `tag_by_digest`: I · D · tag."""
    return image_id + digest + name.encode()


def referrer(image_id: bytes, digest: bytes, record: "Manifest") -> bytes:
    """Key of `referrer`: I · subject · T · D, of a manifest that has a subject."""
    return image_id + record.subject + type_hash(record.artifact_type) + digest


def type_hash(artifact_type: str) -> bytes:
    """Eight bytes that stand for an artifact type in the referrer key."""
    return blake2b(artifact_type.encode(), digest_size=TYPE_HASH_SIZE).digest()


def leaving(repository: int) -> str:
    """The name of a repository from its deletion on: nobody can ask for it."""
    return f"{LEAVING}{repository:08x}"


def garbage(not_before: int, kind: int, id: bytes) -> bytes:  # noqa: A002 - the design's word
    """Key of `garbage`: u64 not-before · u8 kind · id."""
    return _GARBAGE.pack(not_before, kind) + id


def split_garbage(key: bytes) -> tuple[int, int, bytes]:
    """Read back what `garbage` wrote."""
    not_before, kind = _GARBAGE.unpack_from(key)
    return not_before, kind, key[_GARBAGE.size :]


def split_digest(data: bytes) -> tuple[bytes, bytes]:
    """Split a D off the front: returns (D, the rest)."""
    size = DIGEST_SIZES[data[0]]
    return data[:size], data[size:]
