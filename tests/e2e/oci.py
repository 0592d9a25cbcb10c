"""OCI image layouts written by the tests themselves, and read back byte by byte."""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.programs import need

# Source: OCI image-spec, media-types.md.
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"

# What compresses a layer: suffix of the media type → command from input to output, package.
_COMPRESSORS = {"+gzip": (["gzip", "-6", "-n"], "gzip"), "+zstd": (["zstd", "-q", "-3"], "zstd")}

Descriptor = dict[str, Any]


@dataclass(frozen=True)
class Layer:
    """A layer in a layout; `diff_id` is the digest of its tar before compression."""

    descriptor: Descriptor
    diff_id: str


class Layout:
    """An image layout in `root`, being written.

    `oci-layout`, `index.json` and `blobs/sha256/<64 hex>`, as in image-spec's image-layout.md.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._blobs = root / "blobs" / "sha256"
        self._blobs.mkdir(parents=True)
        self._tagged: list[Descriptor] = []
        (root / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def add_layer(self, tar: Path, compression: str = "") -> Layer:
        """Store a copy of `tar`, compressed as the suffix ("", "+gzip", "+zstd") says."""
        stored = self._blobs / "new"
        if compression:
            command, package = _COMPRESSORS[compression]
            need(command[0], package)
            with tar.open("rb") as source, stored.open("wb") as target:
                subprocess.run(command, stdin=source, stdout=target, check=True)
        else:
            shutil.copyfile(tar, stored)
        digest = digest_of_file(stored)
        stored = stored.rename(self._path(digest))
        size = stored.stat().st_size
        descriptor = {"mediaType": LAYER + compression, "digest": digest, "size": size}
        return Layer(descriptor, digest_of_file(tar))

    def add_image(
        self, layers: Iterable[Layer], command: Iterable[str] = (), architecture: str = "amd64"
    ) -> Descriptor:
        """Store configuration and manifest of an image; return the manifest's descriptor."""
        layers = list(layers)
        platform = {"os": "linux", "architecture": architecture}
        config = {
            **platform,
            "config": {"Cmd": list(command)},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self._add_json(config, CONFIG),
            "layers": [layer.descriptor for layer in layers],
        }
        return {**self._add_json(manifest, MANIFEST), "platform": platform}

    def add_index(self, manifests: Iterable[Descriptor]) -> Descriptor:
        """Store an index of `manifests`; return its descriptor."""
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": list(manifests)}
        return self._add_json(index, INDEX)

    def tag(self, descriptor: Descriptor, name: str, **annotations: str) -> None:
        """Name a manifest or index of this layout; `oci:<root>:<name>` then means it."""
        names = {"org.opencontainers.image.ref.name": name, **annotations}
        self._tagged.append({**descriptor, "annotations": names})
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": self._tagged}
        (self.root / "index.json").write_text(json.dumps(index))

    def _add_json(self, content: dict[str, Any], media_type: str) -> Descriptor:
        text = json.dumps(content).encode()
        digest = digest_of(text)
        self._path(digest).write_bytes(text)
        return {"mediaType": media_type, "digest": digest, "size": len(text)}

    def _path(self, digest: str) -> Path:
        return self._blobs / digest.removeprefix("sha256:")


def digest_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def digest_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def blobs_of(root: Path) -> dict[str, str]:
    """Return every blob of a layout as name → digest of the bytes that are there now."""
    return {path.name: digest_of_file(path) for path in (root / "blobs" / "sha256").iterdir()}


def tagged_digest(root: Path) -> str:
    """Return the digest of the one manifest that a layout names."""
    (descriptor,) = json.loads((root / "index.json").read_text())["manifests"]
    digest: str = descriptor["digest"]
    return digest
