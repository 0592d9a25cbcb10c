"""Content to push: compressed, random, and tar archives of which two versions differ a little."""

import contextlib
import io
import os
import random
import tarfile
from pathlib import Path

GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_PIECE = 8 << 20
_LARGEST = 2 << 20  # bytes of a file in the tar


def write_random(path: Path, size: int, head: bytes = b"") -> None:
    """Random bytes behind `head`: with GZIP_HEAD what a compressed layer looks like to a store."""
    with path.open("wb") as file:
        file.write(head)
        left = size - len(head)
        while left:
            file.write(os.urandom(min(left, _PIECE)))
            left -= min(left, _PIECE)
        file.flush()
        os.fsync(file.fileno())  # or the first server measured would share the disk with this


def forget_pages() -> None:
    """Write everything back and empty the page cache, where we may.

    What another registry has left to write is not to burden the next one; and memory that a virtual
    machine touches for the first time costs 3 s/GB (measured), which would hide what servers do.
    """
    os.sync()
    with contextlib.suppress(OSError):  # only root may; then the figures are noisier
        Path("/proc/sys/vm/drop_caches").write_text("1")


def write_tar(path: Path, size: int, edited: float, seed: int = 1) -> None:
    """A plain tar of files from this machine, `size` bytes of them; `edited` of them changed.

    The same seed gives the same files in the same order; a changed file shares no byte.
    """
    chooser = random.Random(seed)  # noqa: S311 - the same files in every version
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        left = size
        for source in _iter_files():
            if source.stat().st_size > _LARGEST:
                continue  # a few large files would hide what the edits cost
            content = source.read_bytes()
            member = tarfile.TarInfo(str(source).lstrip("/"))
            if chooser.random() < edited:
                content = os.urandom(len(content))
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
            left -= len(content)
            if left <= 0:
                return
    raise SystemExit(f"bench: this machine has {left} bytes of files too few")


def _iter_files() -> list[Path]:
    found = []
    for root in ("/usr/lib", "/usr/share"):
        for folder, folders, names in os.walk(root):
            folders.sort()
            paths = (Path(folder) / name for name in sorted(names))
            found += [path for path in paths if path.is_file() and not path.is_symlink()]
    return found
