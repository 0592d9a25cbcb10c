"""Kinds of artifacts as people call them: what a media type and an artifact type stand for.

| kind | is |
|---|---|
| `image` | a manifest whose configuration is a container image's, and none of the below |
| `index` | a list of manifests for several platforms |
| `chart` | a Helm chart |
| `signature` | a signature by cosign (as a referrer, or under a tag `sha256-….sig`) or notation |
| `sbom` | a bill of materials: SPDX, CycloneDX, Syft (as a referrer, or under `sha256-….sbom`) |
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

from frontend.domain.manifests import IMAGES, INDEXES

_IMAGE_CONFIGS: Final = frozenset(
    (
        "",
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.docker.container.image.v1+json",
    )
)
_CHART: Final = "application/vnd.cncf.helm."  # Source: helm, pkg/registry/constants.go
# Source: cosign, specs/SIGNATURE_SPEC.md and pkg/types; notation, signature-specification.md.
_SIGNATURES: Final = ("cosign.artifact.sig", "cosign.simplesigning", "notary.signature", "sigstore")
_BILLS: Final = ("spdx", "cyclonedx", "syft", "cosign.artifact.sbom")
# Source: in-toto, spec/v1/bundle.md, and BuildKit, attestation-storage.md.
_ATTESTATIONS: Final = ("in-toto", "slsa", "attestation")
Attached = Literal["signature", "sbom", "attestation", "other"]
_ATTACHED: Final = re.compile(r"sha(?:256|512)-[0-9a-f]{64,128}\.(sig|sbom)")


def is_of_type(text: str, media_type: str, artifact_type: str, tag: str = "") -> bool:
    """Whether a manifest is of the kind `text` (lower case), or has it in one of its types."""
    kind = _KINDS.get(text)
    if kind is not None:
        return kind(media_type, artifact_type.lower(), tag)
    return text in media_type.lower() or text in artifact_type.lower()


def _attached(tag: str) -> str:
    """What a tag of cosign's says of itself."""
    match = _ATTACHED.fullmatch(tag)
    return match[1] if match else ""


def _is_image(media_type: str, artifact_type: str, tag: str) -> bool:
    return media_type in IMAGES and artifact_type in _IMAGE_CONFIGS and not _attached(tag)


def _is_index(media_type: str, _: str, _tag: str) -> bool:
    return media_type in INDEXES


def _is_chart(_: str, artifact_type: str, _tag: str) -> bool:
    return artifact_type.startswith(_CHART)


def _is_signature(_: str, artifact_type: str, tag: str) -> bool:
    return _attached(tag) == "sig" or any(part in artifact_type for part in _SIGNATURES)


def _is_sbom(_: str, artifact_type: str, tag: str) -> bool:
    return _attached(tag) == "sbom" or any(part in artifact_type for part in _BILLS)


_KINDS: Final[Mapping[str, Callable[[str, str, str], bool]]] = {
    "image": _is_image,
    "index": _is_index,
    "chart": _is_chart,
    "signature": _is_signature,
    "sbom": _is_sbom,
}
KINDS: Final = tuple(_KINDS)


def tag_ending(text: str) -> str:
    """How tags end that make a manifest one of the kind `text`, whatever its types; empty: none."""
    return {"signature": ".sig", "sbom": ".sbom"}.get(text, "")


def texts_of(text: str) -> Sequence[str]:
    """Texts, in lower case, of which a manifest's types have one when they make it of a kind."""
    known: Mapping[str, Sequence[str]] = {
        "image": tuple(IMAGES),
        "index": tuple(INDEXES),
        "chart": (_CHART,),
        "signature": _SIGNATURES,
        "sbom": _BILLS,
    }
    return known.get(text, (text,))


def attachment_tags(digest: str) -> Sequence[str]:
    """Tags under which cosign keeps what it attaches to a manifest, beside referrers."""
    algorithm, _, digits = digest.partition(":")
    return tuple(f"{algorithm}-{digits}.{ending}" for ending in ("sig", "sbom", "att"))


def attached_kind(media_type: str, artifact_type: str, tag: str = "") -> Attached:
    """What a manifest is to the one that it is attached to."""
    if is_of_type("signature", media_type, artifact_type, tag):
        return "signature"
    if is_of_type("sbom", media_type, artifact_type, tag):
        return "sbom"
    is_attested = tag.endswith(".att") or any(each in artifact_type for each in _ATTESTATIONS)
    return "attestation" if is_attested else "other"
