"""Images by their paths: all below one, or what lies directly below it. Both cost all below it.

A path may be an image and have others below: `a` and `a/b` are two images, and neither hides the
other. Images that hold nothing are not there.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from index import keys
from index.records import Image
from index.view import View

_ROWS: Final = 200  # read at once


class Branch(NamedTuple):
    """A name below a path: the image of that name, if it is one, and how many lie below it."""

    name: str
    image: Image | None
    below: int


class Below(NamedTuple):
    """Which images: below a path (empty: all), with text in the rest of theirs."""

    folder: str = ""
    contains: str = ""  # whatever the case


class Folder(NamedTuple):
    """Names directly below a path: how many there are, a page of them, and bytes of all images."""

    total: int
    page: list[Branch]
    size: int  # each image by itself


def list_images(
    view: View, repository: int, start: int, stop: int, below: Below
) -> tuple[int, list[tuple[str, Image]]]:
    """How many images there are of those, and a page of them in the order of their paths."""
    found, total, needle = [], 0, below.contains.lower().encode()
    above = f"{below.folder}/" if below.folder else ""
    for rest, row in _iter_below(view, repository, below.folder):
        if needle in rest and Image.held(row) is not None:
            if start <= total < stop:
                found.append((above + rest.decode(), Image.decode(row)))
            total += 1
    return total, found


def list_branches(view: View, repository: int, folder: str, start: int, stop: int) -> Folder:
    """What lies directly below a path: names from rank `start` to before `stop`, in order."""
    images: dict[bytes, bytes] = {}
    below: dict[bytes, int] = {}
    size = 0
    for rest, row in _iter_below(view, repository, folder):
        held = Image.held(row)
        if held is None:
            continue
        name, slash, _ = rest.partition(b"/")
        below[name] = below.get(name, 0) + len(slash)
        size += held
        if not slash:
            images[name] = row
    names = sorted(below)[start:stop]
    page = [Branch(name.decode(), _decoded(images.get(name)), below[name]) for name in names]
    return Folder(len(below), page, size)


def _decoded(row: bytes | None) -> Image | None:
    return None if row is None else Image.decode(row)


def _iter_below(view: View, repository: int, folder: str) -> Iterator[tuple[bytes, bytes]]:
    """(the rest of the path, encoded row) of images below a path, whatever they hold."""
    prefix = keys.u32(repository) + (f"{folder}/".encode() if folder else b"")
    with view.walk("image") as walk:
        walk.seek(prefix)
        while rows := walk.items(_ROWS):
            for key, row in rows:
                if not key.startswith(prefix):
                    return
                yield key[len(prefix) :], row
