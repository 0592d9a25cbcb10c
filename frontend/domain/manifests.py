"""What a pushed manifest says: its type, what it needs, and what it refers to.

The bytes are stored as they came; this only reads them. Image manifests and indexes, of OCI and of
Docker, must be what they claim to be. Any other media type is accepted: as JSON, its `config`,
`layers`, `blobs`, `manifests` and `subject` count when they have the usual form; otherwise the
manifest needs nothing.
"""

import binascii
import re
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from cas.digest import Digest, is_digest_grammar
from cas.errors import DigestInvalid
from frontend.domain.documents import Descriptor, Document, decode, typed
from frontend.domain.faults import ManifestInvalid
from frontend.domain.platforms import CONFIGS, of_descriptors
from index.changes import EdgeKind
from index.records import Manifest

OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
IMAGES: Final = frozenset((OCI_MANIFEST, DOCKER_MANIFEST))
INDEXES: Final = frozenset((OCI_INDEX, DOCKER_LIST))
MAX_TOTAL: Final = (1 << 63) - 1  # bytes; anybody may write descriptors that add up to more
MAX_CHILDREN: Final = 10_000  # distinct ones: a manifest is one index transaction

_SCHEMA1: Final = "application/vnd.docker.distribution.manifest.v1"
# Source: image-spec, layer.md, "Non-Distributable Layers", and Docker's older name for them.
_FOREIGN: Final = re.compile(r".*\.nondistributable\..*|.*\.foreign\.diff\..*")
# Source: RFC 6838, 4.2. A header is made of it, so nothing else gets through.
_MEDIA_TYPE: Final = re.compile(
    r"[A-Za-z0-9][\w!#$&^.+-]{0,126}/[A-Za-z0-9][\w!#$&^.+-]{0,126}", re.ASCII
)


@dataclass(frozen=True, slots=True)
class ParsedManifest:
    """What of a manifest matters to a registry.

    `edges` are the distinct children under digests that can be stored; `required` are those of
    them that the image must hold already, which leaves out foreign layers.
    """

    media_type: str
    size: int
    artifact_type: str = ""  # of the manifest, or an image's config media type
    subject: Digest | None = None
    edges: tuple[tuple[Digest, EdgeKind], ...] = ()
    required: tuple[Digest, ...] = ()
    annotations: dict[str, str] | None = None
    total: int = 0  # bytes of it, its config and layers; of an index of itself
    platforms: tuple[str, ...] = ()  # of an index; those of an image are in its `config`
    config: Digest | None = None  # of an image

    def record(
        self, pushed_at: int = 0, pushed_by: str = "", platforms: tuple[str, ...] = ()
    ) -> Manifest:
        """The row that the index keeps; `platforms` are those that the config says."""
        return Manifest(
            media_type=self.media_type,
            size=self.size,
            artifact_type=self.artifact_type,
            subject=b"" if self.subject is None else self.subject.key,
            pushed_at=pushed_at,
            pushed_by=pushed_by,
            total=self.total or self.size,
            platforms=self.platforms or platforms,
        )

    def referrer(self, digest: Digest) -> bytes:
        """The descriptor JSON under which the subject's referrers list this manifest, `digest`."""
        descriptor: dict[str, object] = {
            "mediaType": self.media_type,
            "digest": str(digest),
            "size": self.size,
        }
        if self.artifact_type:
            descriptor["artifactType"] = self.artifact_type
        if self.annotations:
            descriptor["annotations"] = self.annotations
        return msgspec.json.encode(descriptor)


def parse_manifest(content: bytes, content_type: str | None) -> ParsedManifest:
    """Read a manifest that was pushed with this Content-Type (parameters do not count).

    Raises:
        ManifestInvalid: it breaks a rule of its media type, or of manifests at all.
    """
    declared = _media_type(content_type)
    if declared.startswith(_SCHEMA1):
        raise ManifestInvalid("image manifests of schema 1 are not supported: push schema 2")
    if declared and not _is_json(declared):
        return ParsedManifest(declared, len(content))
    value = decode(content)
    media_type = _agreed(declared, value)
    is_known = media_type in IMAGES or media_type in INDEXES
    try:
        document = typed(value)
    except ManifestInvalid:
        if is_known:
            raise
        document = Document()
    if is_known:
        _check_form(media_type, document)
    return _parsed(media_type, len(content), document)


def _media_type(header: str | None) -> str:
    """The media type of a Content-Type header without its parameters; empty when there is none."""
    text = (header or "").partition(";")[0].strip()
    if text and _MEDIA_TYPE.fullmatch(text) is None:
        raise ManifestInvalid(f"Content-Type {text[:100]!r} is no media type")
    return text


def _is_json(media_type: str) -> bool:
    return media_type.lower().endswith(("+json", "/json"))


def _agreed(declared: str, value: dict[str, Any]) -> str:
    """The one media type that header and content agree on.

    Source: distribution-spec, "Pushing Manifests": `mediaType` and Content-Type should match.
    """
    said = value.get("mediaType")
    if said is not None and not isinstance(said, str):
        raise ManifestInvalid("mediaType is no text - at `$.mediaType`")
    if declared and said and declared != said:
        raise ManifestInvalid(f"mediaType is {said[:100]} but Content-Type is {declared[:100]}")
    media_type = declared or _media_type(said) or _guessed(value)
    if media_type.startswith(_SCHEMA1):
        raise ManifestInvalid("image manifests of schema 1 are not supported: push schema 2")
    return media_type


def _guessed(value: dict[str, Any]) -> str:
    """What a manifest is that says it nowhere."""
    if "manifests" in value:
        return OCI_INDEX
    if "config" in value:
        return OCI_MANIFEST
    raise ManifestInvalid("neither Content-Type nor mediaType says what it is")


def _check_form(media_type: str, document: Document) -> None:
    """Refuse what one client would read as an image and another as an index (CVE-2021-41190)."""
    if document.schema_version != 2:
        raise ManifestInvalid(
            f"schemaVersion is {document.schema_version}, not 2 - at `$.schemaVersion`"
        )
    if document.manifests is not None and document.layers is not None:
        raise ManifestInvalid("it has both layers and manifests")
    if media_type in IMAGES and document.manifests is not None:
        raise ManifestInvalid(f"{media_type} has no manifests - at `$.manifests`")
    if media_type in IMAGES and document.config is None:
        raise ManifestInvalid(f"{media_type} needs a config - at `$.config`")
    if media_type in INDEXES and document.layers is not None:
        raise ManifestInvalid(f"{media_type} has no layers - at `$.layers`")
    if media_type in INDEXES and document.manifests is None:
        raise ManifestInvalid(f"{media_type} needs manifests - at `$.manifests`")


def _parsed(media_type: str, size: int, document: Document) -> ParsedManifest:
    """Gather what the document needs and refers to."""
    kinds: dict[str, EdgeKind] = {}
    needed: set[str] = set()
    total = size
    for where, kind, descriptor in _children(document):
        _check(descriptor, where)
        if descriptor.digest not in kinds and kind is not EdgeKind.CHILD:
            total += descriptor.size
        kinds.setdefault(descriptor.digest, kind)
        if len(kinds) > MAX_CHILDREN:
            raise ManifestInvalid(f"it has more than {MAX_CHILDREN} distinct children")
        if not _is_foreign(descriptor):
            needed.add(descriptor.digest)
    digests = {text: digest for text in kinds if (digest := _supported(text)) is not None}
    if document.subject is not None:
        _check(document.subject, "$.subject")
    return ParsedManifest(
        media_type=media_type,
        size=size,
        artifact_type=document.artifact_type or _config_type(media_type, document),
        subject=None if document.subject is None else _supported(document.subject.digest),
        edges=tuple((digest, kinds[text]) for text, digest in digests.items()),
        required=tuple(digest for text, digest in digests.items() if text in needed),
        annotations=document.annotations,
        total=min(total, MAX_TOTAL),
        platforms=of_descriptors(each.platform for each in document.manifests or ()),
        config=_image_config(media_type, document),
    )


def _image_config(media_type: str, document: Document) -> Digest | None:
    """The config that says what an image runs on; artifacts have others."""
    config = document.config
    if media_type not in IMAGES or config is None or config.media_type not in CONFIGS:
        return None
    return _supported(config.digest)


def _config_type(media_type: str, document: Document) -> str:
    """What stands for an image's artifactType. Source: distribution-spec, "Listing Referrers"."""
    if document.config is None or media_type in INDEXES:
        return ""
    return document.config.media_type


def _children(document: Document) -> Iterator[tuple[str, EdgeKind, Descriptor]]:
    """(where, kind, descriptor) of everything that the document needs."""
    if document.config is not None:
        yield "$.config", EdgeKind.CONFIG, document.config
    lists = (
        ("layers", EdgeKind.LAYER, document.layers),
        ("blobs", EdgeKind.LAYER, document.blobs),
        ("manifests", EdgeKind.CHILD, document.manifests),
    )
    for name, kind, descriptors in lists:
        for position, descriptor in enumerate(descriptors or ()):
            yield f"$.{name}[{position}]", kind, descriptor


def _check(descriptor: Descriptor, where: str) -> None:
    """Refuse a descriptor that cannot be true. Unknown digest algorithms pass, as the spec asks."""
    if not is_digest_grammar(descriptor.digest):
        raise ManifestInvalid(f"no digest: {descriptor.digest[:100]!r} - at `{where}.digest`")
    if descriptor.data is None:
        return
    try:
        data = b64decode(descriptor.data, validate=True)
    except (binascii.Error, ValueError):
        raise ManifestInvalid(f"data is not base64 - at `{where}.data`") from None
    digest = _supported(descriptor.digest)
    if len(data) != descriptor.size or (
        digest is not None and Digest.of(data, digest.algorithm) != digest
    ):
        raise ManifestInvalid(f"data is not what digest and size say - at `{where}.data`")


def _is_foreign(descriptor: Descriptor) -> bool:
    """Whether the bytes may be elsewhere only."""
    return bool(descriptor.urls) or _FOREIGN.fullmatch(descriptor.media_type) is not None


def _supported(text: str) -> Digest | None:
    """The digest, when things can be stored under it."""
    try:
        return Digest.parse(text)
    except DigestInvalid:
        return None
