"""Whether a manifest is signed: by what refers to it, or by a tag of cosign's in its image."""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final

import msgspec

from cas.digest import Digest
from frontend.domain.artifacts import is_of_type

LOOKED_AT: Final = 20  # referrers of one manifest: an attestation or two is what most have


class _Descriptor(msgspec.Struct):
    artifact_type: str = msgspec.field(name="artifactType", default="")


_decode = msgspec.json.Decoder(_Descriptor).decode


def is_signed(digest: Digest, has_tag: Callable[[str], bool], referrers: Iterable[bytes]) -> bool:
    """Ask about a manifest; `referrers` are descriptors in JSON, of which only some are read."""
    if has_tag(f"{digest.algorithm}-{digest.hex}.sig"):
        return True
    return any(
        is_of_type("signature", "", _decode(each).artifact_type)
        for each in islice(referrers, LOOKED_AT)
    )
