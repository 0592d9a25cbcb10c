"""JSON of manifests: strict where two readers could differ, open to fields that we do not know."""

import json
from typing import Annotated, Any, Final

import msgspec

from frontend.domain.faults import ManifestInvalid

_Size = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]  # bytes


class Descriptor(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Source: image-spec, descriptor.md. What else it holds is kept in the bytes, and not read."""

    digest: str
    size: _Size
    media_type: str = ""
    urls: list[str] | None = None
    data: str | None = None
    annotations: dict[str, str] | None = None
    platform: Any = None  # of an index's descriptors; for lists only, so any form will do


class Document(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The fields of any manifest that a registry reads."""

    schema_version: int | None = None
    artifact_type: str | None = None
    config: Descriptor | None = None
    layers: list[Descriptor] | None = None
    blobs: list[Descriptor] | None = None
    manifests: list[Descriptor] | None = None
    subject: Descriptor | None = None
    annotations: dict[str, str] | None = None


_LISTS: Final = ("layers", "manifests")


class _Repeated(ValueError):
    """A key came twice in one object."""


def decode(content: bytes) -> dict[str, Any]:
    """Decode a JSON object.

    Refuses what readers read differently: NaN and the like, lone surrogates, bad UTF-8, nesting
    without end, and a key that comes twice in an object, at any depth.

    Raises:
        ManifestInvalid: it is not one such object.
    """
    try:
        value = msgspec.json.decode(content)
        # msgspec lets the last of two equal keys win, so they are looked for beside it.
        json.loads(content, object_pairs_hook=_distinct, parse_int=str, parse_float=str)
    except _Repeated as repeated:
        raise ManifestInvalid(f"the key {str(repeated)[:100]!r} comes twice") from None
    except (ValueError, RecursionError) as error:
        raise ManifestInvalid(f"no JSON that we read: {error}") from None
    if not isinstance(value, dict):
        raise ManifestInvalid("no JSON object")
    return value


def _distinct(pairs: list[tuple[str, object]]) -> None:
    seen = set()
    for key, _ in pairs:
        if key in seen:
            raise _Repeated(key)
        seen.add(key)


def typed(value: dict[str, Any]) -> Document:
    """Read the fields of a manifest.

    A list that is null counts as an empty one: Go writes it so.

    Raises:
        ManifestInvalid: a field has another type than the specification gives it.
    """
    filled = value | {name: [] for name in _LISTS if name in value and value[name] is None}
    try:
        return msgspec.convert(filled, Document)
    except msgspec.ValidationError as error:
        raise ManifestInvalid(str(error)) from None
