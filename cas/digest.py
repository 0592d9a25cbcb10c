"""OCI digests as values: parsed once at the edge, passed around as `Digest`."""

import hashlib
import re
from dataclasses import dataclass
from typing import Protocol, Self

from cas.errors import DigestInvalid


class Hash(Protocol):
    """The part of a `hashlib` object that is used."""

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        """Feed more bytes."""

    def digest(self) -> bytes:
        """Return the raw digest of everything fed so far."""


# Source: OCI image-spec, descriptor.md, "Registered algorithms". Upper-case hex is invalid there,
# so it is here. The number is the first byte of every digest key: never renumber.
_ALGORITHMS = {"sha256": (1, 32), "sha512": (2, 64)}
_NAMES = {entry[0]: name for name, entry in _ALGORITHMS.items()}
_PATTERN = re.compile(r"([a-z0-9]+(?:[+._-][a-z0-9]+)*):([a-zA-Z0-9=_-]+)")
_HEX = re.compile(r"[0-9a-f]+")


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A supported content digest; `key` is 1 byte algorithm ‖ raw digest, as the index has it."""

    key: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `algorithm:hex`.

        Raises:
            DigestInvalid: not the grammar, an unsupported algorithm, or the wrong length or case.
        """
        match = _PATTERN.fullmatch(text)
        if match is None:
            raise DigestInvalid(text)
        algorithm, encoded = match.groups()
        if algorithm not in _ALGORITHMS:
            raise DigestInvalid(text)
        code, size = _ALGORITHMS[algorithm]
        if len(encoded) != 2 * size or _HEX.fullmatch(encoded) is None:
            raise DigestInvalid(text)
        return cls(bytes((code,)) + bytes.fromhex(encoded))

    @classmethod
    def of(cls, content: bytes, algorithm: str = "sha256") -> Self:
        """Hash `content` (bytes in memory) with `algorithm`."""
        hasher = new_hash(algorithm)
        hasher.update(content)
        return cls.from_raw(algorithm, hasher.digest())

    @classmethod
    def from_raw(cls, algorithm: str, raw: bytes) -> Self:
        """Make a digest of a supported algorithm's raw output."""
        code, size = _ALGORITHMS[algorithm]
        if len(raw) != size:
            raise DigestInvalid(raw.hex())
        return cls(bytes((code,)) + raw)

    @property
    def algorithm(self) -> str:
        """`sha256` or `sha512`."""
        return _NAMES[self.key[0]]

    @property
    def hex(self) -> str:
        """The encoded part, lower case."""
        return self.key[1:].hex()

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"

    def __repr__(self) -> str:
        return f"Digest({self})"


def is_supported(algorithm: str) -> bool:
    """Whether blobs can be stored under digests of `algorithm`."""
    return algorithm in _ALGORITHMS


def is_digest_grammar(text: str) -> bool:
    """Whether `text` follows the digest grammar, supported or not (descriptors may carry any)."""
    match = _PATTERN.fullmatch(text)
    if match is None:
        return False
    algorithm, encoded = match.groups()
    if algorithm not in _ALGORITHMS:
        return True
    return len(encoded) == 2 * _ALGORITHMS[algorithm][1] and _HEX.fullmatch(encoded) is not None


def new_hash(algorithm: str) -> Hash:
    """Return a fresh hash state; its state cannot be saved, so resumed uploads are hashed again."""
    return hashlib.new(algorithm)
