"""Images to push, made without any network: busybox, and large layers of files found here."""

import os
import secrets
import shutil
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from tests.e2e.oci import Layer, Layout
from tests.e2e.programs import need

BIG_LAYER = 160 << 20  # bytes of each big layer's tar; three of them are one image
SPEAK = ("/bin/busybox", "cat", "/message")  # every small image says its message when it is run


@dataclass(frozen=True)
class Rootfs:
    """A root file system with busybox and a message that no other image has."""

    folder: Path
    message: str


def make_rootfs(folder: Path) -> Rootfs:
    """Write a root file system into the new folder `folder`."""
    need("busybox", "busybox-static")
    busybox = shutil.which("busybox")
    assert busybox is not None
    message = secrets.token_hex(16)
    (folder / "bin").mkdir(parents=True)
    shutil.copy(busybox, folder / "bin" / "busybox")
    (folder / "bin" / "sh").symlink_to("busybox")
    (folder / "message").write_text(message)
    return Rootfs(folder, message)


def make_build_context(folder: Path) -> Rootfs:
    """Write a Dockerfile and what it copies into the new folder `folder`."""
    rootfs = make_rootfs(folder / "rootfs")
    command = ", ".join(f'"{word}"' for word in SPEAK)
    (folder / "Dockerfile").write_text(f"FROM scratch\nCOPY rootfs /\nCMD [{command}]\n")
    return rootfs


def add_rootfs_layer(layout: Layout, rootfs: Rootfs) -> Layer:
    """Store `rootfs` as a gzip layer."""
    tar = rootfs.folder.with_suffix(".tar")
    with tarfile.open(tar, "w") as archive:
        archive.add(rootfs.folder, arcname=".")
    return layout.add_layer(tar, "+gzip")


def make_small_layout(folder: Path, name: str = "small") -> Path:
    """Write the layout of one runnable image, tagged "latest"; return its root."""
    layout = Layout(folder / name)
    layer = add_rootfs_layer(layout, make_rootfs(folder / f"{name}-rootfs"))
    layout.tag(layout.add_image([layer], SPEAK), "latest")
    return layout.root


def make_index_layout(folder: Path) -> Path:
    """Write the layout of an index for two platforms, tagged "latest"; return its root."""
    layout = Layout(folder / "index")
    images = []
    for architecture in ("amd64", "arm64"):
        layer = add_rootfs_layer(layout, make_rootfs(folder / architecture))
        images.append(layout.add_image([layer], SPEAK, architecture))
    layout.tag(layout.add_index(images), "latest")
    return layout.root


def make_big_layout(folder: Path) -> Path:
    """Write the layout of an image with a plain, a gzip and a zstd layer, tagged "latest".

    The content is `/usr/lib` and this Python: compressible, as layers are. Takes about 15 s.
    """
    layout = Layout(folder / "big")
    files = _iter_files()
    layers = []
    for compression in ("", "+gzip", "+zstd"):
        tar = folder / "layer.tar"
        _write_tar(tar, files)
        layers.append(layout.add_layer(tar, compression))
        tar.unlink()
    layout.tag(layout.add_image(layers), "latest")
    return layout.root


def _iter_files() -> Iterator[Path]:
    roots = ["/usr/lib", sysconfig.get_path("stdlib"), sys.prefix]
    for folder, folders, names in chain.from_iterable(os.walk(root) for root in roots):
        folders.sort()
        yield from (Path(folder, name) for name in sorted(names))


def _write_tar(tar: Path, files: Iterator[Path]) -> None:
    """Take files from `files` until the tar has `BIG_LAYER` bytes."""
    with tarfile.open(tar, "w") as archive:
        while archive.offset < BIG_LAYER:
            path = next(files)
            if path.is_file() and not path.is_symlink() and os.access(path, os.R_OK):
                archive.add(path, arcname=str(path).lstrip("/"), recursive=False)
