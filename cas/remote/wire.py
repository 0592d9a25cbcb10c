"""What workers and the daemon say to each other, as values and as bytes.

    u32 length (big-endian) · msgpack of one `Request` or `Reply`

Changes, expectations and errors travel with the name of their type, which is looked up in the
registries below: nothing else can be named, and nothing is run. The bytes are never stored and both
ends are always one version, so they are no format: `SHAPE` tells two versions apart.
"""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from hashlib import blake2b
from struct import Struct
from typing import Any, Final, get_args

import msgspec

from cas import errors as cas, verbs
from cas.digest import Digest
from cas.uploads.underway import UnderWay
from cas.verbs import Adopt, Maintenance, Owner, StoreChange
from index import errors as index, keys
from index.changes import Change, ImageName
from index.expectations import Expectation

MAX_FRAME: Final = 32 << 20  # bytes; twice the largest object that a commit may hold inline
_LENGTH: Final = Struct(">I")

Named = tuple[str, msgspec.Raw]  # the name of a registered type, and its value


class FrameInvalid(ValueError):
    """Bytes that are no message of ours: whoever sent them is not listened to any further."""


class Message(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """Anything that fills a frame."""


# --- what a worker asks --------------------------------------------------------------------


class Hello(Message, frozen=True):
    """A client's first frame. With `is_present` → Done; the connection says that it lives."""

    shape: str
    client: bytes  # 16 random bytes, the same on all connections of a client
    is_present: bool = False


class Stage(Message, frozen=True):
    """`Store.stage` → Staged."""

    owner: Owner
    session: str | None
    key: str | None


class Grown(Message, frozen=True):
    """The upload's file has grown → Number, its size, once few enough bytes are not hashed."""

    owner: Owner
    session: str


class WaitGrown(Message, frozen=True):
    """`Store.wait_grown` → Growth."""

    owner: Owner
    session: str
    offset: int
    linger: float = 0.0  # seconds to wait at least, unless it ends: for what comes together


class Leave(Message, frozen=True):
    """`Upload.leave` → Done."""

    owner: Owner
    session: str


class Cancel(Message, frozen=True):
    """`Upload.cancel` → Done."""

    owner: Owner
    session: str


class Commit(Message, frozen=True):
    """`Store.commit` → Number."""

    changes: tuple[Named, ...]
    expectations: tuple[Named, ...]


class Extend(Message, frozen=True):
    """`Store.extend` → Done."""

    image: ImageName
    digest: Digest


class Maintain(Message, frozen=True):
    """`Store.maintain` → Told, as often as there is something to tell; then Done."""

    task: Maintenance


class ListUploads(Message, frozen=True):
    """What is staged → Uploads."""


Request = (
    Hello | Stage | Grown | WaitGrown | Leave | Cancel | Commit | Extend | Maintain | ListUploads
)


# --- what the daemon answers ---------------------------------------------------------------


class Welcome(Message, frozen=True):
    """The daemon's first frame, before it has read anything. It stays as it is in all versions."""

    shape: str


class Staged(Message, frozen=True):
    """An upload; `owner` is the one it was staged by, who may be another than the one who asks."""

    session: str
    size: int
    owner: Owner
    is_owner: bool


class Growth(Message, frozen=True):
    """How much of an upload there is, and whether that is all and was committed."""

    size: int
    is_committed: bool
    is_verified: bool


class Uploads(Message, frozen=True):
    """What is on its way."""

    items: tuple[UnderWay, ...]


class Number(Message, frozen=True):
    """A size, an offset or a revision."""

    value: int


class Done(Message, frozen=True):
    """It is done."""


class Told(Message, frozen=True):
    """Progress, or at the end a report."""

    what: Named


class AtWork(Message, frozen=True):
    """No answer yet, but the daemon lives: said every few seconds while a call is under way."""


class Failed(Message, frozen=True):
    """An error that a caller may answer."""

    error: Named


class Broke(Message, frozen=True):
    """An error that nobody expected; the daemon's log has its trace."""

    text: str


Reply = Welcome | Staged | Growth | Uploads | Number | Done | Told | AtWork | Failed | Broke


# --- registries ----------------------------------------------------------------------------


def _registry(kinds: Iterable[type]) -> dict[str, type]:
    return {kind.__name__: kind for kind in kinds}


CHANGES: Final = _registry((*get_args(Change), Adopt))
EXPECTATIONS: Final = _registry(get_args(Expectation))
TOLD: Final = _registry(get_args(verbs.Told))

# The types of an error's fields, in their order.
ERRORS: Final[Mapping[type[Exception], Any]] = {
    cas.DigestInvalid: tuple[str],
    cas.DigestMismatch: tuple[Digest, Digest],
    cas.UploadUnknown: tuple[str],
    cas.OffsetMismatch: tuple[int, int],
    cas.UploadSealed: tuple[str],
    cas.UploadOrphaned: tuple[str],
    cas.BlobUnknown: tuple[Digest],
    cas.ObjectTooLarge: tuple[int, int],
    cas.Damaged: tuple[str, str],
    cas.StorageFull: tuple[int, int],
    cas.Busy: tuple[str],
    cas.DaemonAway: tuple[()],
    cas.StoreFailed: tuple[str],
    index.ExpectationsFailed: tuple[tuple[Named, ...]],
    index.TargetMissing: tuple[str, str],
    index.FormatUnknown: tuple[str, int],
    index.DirectoryHeld: tuple[str, str],
    index.WriterBusy: tuple[int],
    index.NoSpace: tuple[()],
    index.IndexDamaged: tuple[str],
    index.IndexFailed: tuple[str],
}
_ERRORS: Final = _registry(ERRORS)


def named(value: object) -> Named:
    """A value with the name of its type, which must be in a registry."""
    return type(value).__name__, msgspec.Raw(_ENCODER.encode(value))


def changes(values: Iterable[Named]) -> tuple[StoreChange, ...]:
    """Read back what `named` made of changes.

    Raises:
        FrameInvalid: one is no change, or not whole.
    """
    return tuple(_value(CHANGES, value) for value in values)


def expectations(values: Iterable[Named]) -> tuple[Expectation, ...]:
    """As `changes`."""
    return tuple(_value(EXPECTATIONS, value) for value in values)


def told(value: Named) -> verbs.Told:
    """As `changes`, of what maintenance tells."""
    found: verbs.Told = _value(TOLD, value)
    return found


def named_error(error: Exception) -> Named:
    """An error of `ERRORS` as its fields. Its cause and its trace stay here."""
    held = [getattr(error, each.name) for each in fields(error)]  # type: ignore[arg-type] # all are
    if isinstance(error, index.ExpectationsFailed):
        held = [tuple(named(each) for each in error.failed)]
    return type(error).__name__, msgspec.Raw(_ENCODER.encode(held))


def error(value: Named) -> Exception:
    """The error of which `named_error` was made.

    Raises:
        FrameInvalid: no such type, or other fields.
    """
    kind = _ERRORS.get(value[0])
    if kind is None:
        raise FrameInvalid(f"there is no error {value[0][:80]!r}")
    held = _decode(_DECODERS[kind], value[1])
    if kind is index.ExpectationsFailed:
        held = (expectations(held[0]),)
    found: Exception = kind(*held)
    return found


def _value(registry: Mapping[str, type], value: Named) -> Any:  # noqa: ANN401 - the callers say
    kind = registry.get(value[0])
    if kind is None:
        raise FrameInvalid(f"there is no {value[0][:80]!r} here")
    return _decode(_DECODERS[kind], value[1])


_ENCODER: Final = msgspec.msgpack.Encoder()
_REQUESTS: Final = msgspec.msgpack.Decoder(Request)
_REPLIES: Final = msgspec.msgpack.Decoder(Reply)
_DECODERS: Final[Mapping[type, msgspec.msgpack.Decoder[Any]]] = {
    **{kind: msgspec.msgpack.Decoder(kind) for kind in (CHANGES | EXPECTATIONS | TOLD).values()},
    **{kind: msgspec.msgpack.Decoder(held) for kind, held in ERRORS.items()},
}


def _shape() -> str:
    """A fingerprint of every type that travels, down to the fields, and of the index's format."""
    kinds = [Request, Reply, *(CHANGES | EXPECTATIONS | TOLD).values(), *ERRORS.values()]
    names = ",".join(_ERRORS)
    text = f"{msgspec.inspect.multi_type_info(kinds)!r} {names} {keys.FORMAT}"
    return blake2b(text.encode(), digest_size=16).hexdigest()


SHAPE: Final = _shape()


# --- bytes ---------------------------------------------------------------------------------


def frame(message: Request | Reply) -> bytes:
    """The bytes of a message.

    Raises:
        ObjectTooLarge: over MAX_FRAME.
    """
    content = _ENCODER.encode(message)
    if len(content) > MAX_FRAME:
        raise cas.ObjectTooLarge(len(content), MAX_FRAME)
    return _LENGTH.pack(len(content)) + content


def request(content: bytes) -> Request:
    """The request in a frame's content.

    Raises:
        FrameInvalid: it is none.
    """
    found: Request = _decode(_REQUESTS, content)
    return found


def reply(content: bytes) -> Reply:
    """As `request`, of the daemon's answers."""
    found: Reply = _decode(_REPLIES, content)
    return found


def _decode(decoder: msgspec.msgpack.Decoder[Any], content: bytes | msgspec.Raw) -> Any:  # noqa: ANN401
    try:
        return decoder.decode(content)
    except (msgspec.MsgspecError, ValueError, RecursionError) as problem:
        raise FrameInvalid(str(problem)) from None


class Frames:
    """Cuts what arrives into the contents of frames; holds at most one frame and what was fed."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes | bytearray) -> None:
        """Take in what arrived."""
        self._held += data

    @property
    def is_within(self) -> bool:
        """Whether a frame has begun and not ended."""
        return bool(self._held)

    def take(self) -> bytes | None:
        """The content of the next frame, or None while it is not whole.

        Raises:
            FrameInvalid: it says that it is over MAX_FRAME.
        """
        if len(self._held) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._held)
        if length > MAX_FRAME:
            raise FrameInvalid(f"a frame of {length} bytes")
        stop = _LENGTH.size + length
        if len(self._held) < stop:
            return None
        content = bytes(self._held[_LENGTH.size : stop])
        del self._held[:stop]
        return content
