"""What is shown of one manifest: bodies of answers."""

import msgspec

from frontend.domain.artifacts import Attached
from frontend.domain.image_config import ImageConfig


class LayerShown(msgspec.Struct, frozen=True, kw_only=True):
    """A layer or blob. `created_by` is the line that made it, empty when the config says none."""

    digest: str
    size: int
    media_type: str
    is_here: bool  # false: foreign, or not fetched yet
    is_shared: bool
    created_by: str = ""


class ConfigShown(msgspec.Struct, frozen=True, kw_only=True):
    """The config; `content` is null when it is not here, is no JSON object, or is over 1 MiB."""

    digest: str
    size: int
    media_type: str
    content: ImageConfig | None


class ChildShown(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest of an index. `of` is the digest of the one that an attestation is about."""

    digest: str
    media_type: str
    artifact_type: str
    platform: str
    size: int  # of all that hangs on it; of what is not here, its own
    is_here: bool
    of: str = ""


class ReferrerShown(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest that refers to this one, or is attached by a `tag` of cosign's."""

    digest: str
    kind: Attached
    media_type: str
    artifact_type: str
    size: int
    tag: str | None
    annotations: dict[str, str]


class ManifestShown(msgspec.Struct, frozen=True, kw_only=True):
    """One manifest. Sizes are in bytes, each digest once.

    `size` is of the manifest itself, `total` of all that hangs on it and is here, of which `shared`
    is what something else needs too that the caller may see, and `own` the rest. Lists end at 1000
    layers, 256 manifests, 200 referrers, 100 tags and 20 indexes; `is_cut` says that one did, or
    that some that is shared was not looked for.
    """

    image: str
    tag: str | None  # by which it was asked for
    digest: str
    media_type: str
    artifact_type: str | None
    subject: str | None
    size: int
    total: int
    own: int
    shared: int
    is_cut: bool
    pushed_at: str
    pushed_by: str
    platforms: list[str]
    annotations: dict[str, str]
    config: ConfigShown | None
    layers: list[LayerShown]
    manifests: list[ChildShown]
    tags: list[str]
    indexes: list[str]  # digests of those in the image that have it
    referrers: list[ReferrerShown]
    raw: str | None  # the manifest as it was pushed; null when it is no text, or over 256 KiB
