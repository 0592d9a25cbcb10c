"""Where things lie below the data directory, and how they are named.

    lock                        one line about the server that holds the directory
    packs.lock                  held by who copies packs, or takes some away (`cas.keeping`)
    packs.fence                 mapped by who reads packs (`cas.fence`)
    index/                      the LMDB environment
    index.restoring/            what `index` becomes when a restore is done; no server starts then
    packs/<16 hex>              a pack; its name is its id (u64)
    packs/<16 zeros>.rewrite    a pack's copy that is being made; the next start removes it
    uploads/<64 hex>            a staged upload; its name is its session id
    run/                        Unix sockets (`cas.sockets`), and what processes count together
    lost+found/                 files that nothing knew, put here by `orlop fsck --repair`

A session id is nonce(16) ‖ algorithm(1) ‖ MAC(15), in hex: POST and PATCH write no index row, and
yet nobody but its owner can name it. Its first 8 bytes become the pack id if the file is adopted.
"""

import hmac
from hashlib import blake2b
from pathlib import Path
from typing import Final

from cas.digest import Digest
from cas.errors import UploadUnknown
from cas.verbs import Owner

INDEX: Final = "index"
RESTORING: Final = "index.restoring"
PACKS: Final = "packs"
PACKS_LOCK: Final = "packs.lock"
PACKS_FENCE: Final = "packs.fence"
UPLOADS: Final = "uploads"
RUN: Final = "run"
LOST: Final = "lost+found"

_NONCE: Final = 16
_MAC: Final = 15
SESSION_SIZE: Final = 2 * (_NONCE + 1 + _MAC)  # characters


def pack_path(root: Path, pack: int) -> Path:
    """The file of a pack."""
    return root / PACKS / f"{pack:016x}"


def rewrite_path(root: Path) -> Path:
    """The file of a pack's copy that is not yet in its place; no pack has the id 0."""
    return root / PACKS / f"{0:016x}.rewrite"


def upload_path(root: Path, session: str) -> Path:
    """The file of a staged upload; `session` has been checked by `check_session`."""
    return root / UPLOADS / session


def session_id(secret: bytes, owner: Owner, nonce: bytes) -> str:
    """The session id for `nonce` (16 random bytes); only `owner` can use it."""
    code = Digest.of(b"", owner.algorithm).key[:1]
    return (nonce + code + _mac(secret, owner, nonce + code)).hex()


def check_session(secret: bytes, owner: Owner, session: str) -> None:
    """Check that `session` was given to this principal in this image.

    Raises:
        UploadUnknown: it was not; whether it exists is not told.
    """
    try:
        raw = bytes.fromhex(session)
    except ValueError:
        raise UploadUnknown(session) from None
    head, mac = raw[: _NONCE + 1], raw[_NONCE + 1 :]
    is_canonical = len(session) == SESSION_SIZE and session == raw.hex()
    if not is_canonical or not hmac.compare_digest(mac, _mac(secret, owner, head)):
        raise UploadUnknown(session)


def session_algorithm(session: str) -> str:
    """The algorithm a checked session hashes with while its bytes arrive."""
    code = int(session[2 * _NONCE : 2 * _NONCE + 2], 16)
    return {1: "sha256", 2: "sha512"}[code]


def session_pack(session: str) -> int:
    """The pack id that an adopted upload gets."""
    return int(session[:16], 16)


def _mac(secret: bytes, owner: Owner, head: bytes) -> bytes:
    message = b"\0".join((str(owner.image).encode(), owner.principal.encode(), head))
    return blake2b(message, key=secret, digest_size=_MAC, person=b"orlop-upload").digest()
