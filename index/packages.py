"""Pages of a repository's packages.

Without `contains` a page costs itself and a step over the keys of blocks; so does one by name of a
single image. One by time or size of a single image costs what lies between it and the nearer end of
the order. Whatever else is left out has to be looked at, block by block: then a page costs the
repository's blocks (a million packages: 0.3 s), and belongs in a thread; so does a page in an order
of the caller's own (`keys`), which costs all names of the image.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple

from index import blocks, keys, names, ordering
from index.listed import (
    IMAGE_OF_LINE,
    NAMED_AT,
    image_letters,
    image_number,
    split_value_entry,
)
from index.names import Order
from index.records import Manifest
from index.view import View


@dataclass(frozen=True, slots=True)
class Selection:
    """Which packages, in which order: those of one image (None: of all), with text in their name.

    `contains` is looked for in `path:tag`, whatever the case; see `index.names.matching`. Tags of
    one image may be ordered by `keys` of theirs, and what has no tag then comes last.
    """

    order: Order = Order.NAME
    is_descending: bool = False
    image: str | None = None
    contains: str = ""
    keys: Callable[[Sequence[str]], Sequence[str]] | None = None  # with order NAME, and an image

    @property
    def is_costly(self) -> bool:
        """Whether more has to be read than the page."""
        is_apart = self.image is not None and self.order is not Order.NAME
        return bool(self.contains) or is_apart or self.keys is not None


class Package(NamedTuple):
    """One of a page. `record` is None of a tag that names what is no manifest."""

    image: bytes  # I
    path: str
    tag: str | None
    digest: bytes  # D
    pushed_at: int
    pushed_by: str
    record: Manifest | None
    pulled_at: int  # 0: never


# --- rows ---


class _Reader:
    """Looks up what entries stand for; an image once."""

    def __init__(self, view: View, repository: int) -> None:
        self.view = view
        self.repository = repository
        self._images: dict[str, bytes | None] = {}
        self._paths: dict[bytes, str] = {}  # by the letters of an image

    def image(self, path: str) -> bytes | None:
        """The id of an image."""
        if path not in self._images:
            row = self.view.get("image", keys.image(keys.u32(self.repository), path))
            self._images[path] = None if row is None else row[: keys.IMAGE_SIZE]
        return self._images[path]

    def path(self, order: Order, place: bytes) -> str:
        """The path of what names an image in an entry; empty when the index has lost it."""
        if order is Order.NAME:
            return place.decode()
        if place not in self._paths:
            image = keys.u32(self.repository) + image_number(place)
            self._paths[place] = (self.view.get("image_by_id", image) or b"").decode()
        return self._paths[place]

    def package(self, order: Order, entry: bytes) -> Package | None:
        """What an entry stands for; None when the index has lost it."""
        split = blocks.split_entry if order is Order.NAME else split_value_entry
        place, line = split(entry)
        path = self.path(order, place)
        image = self.image(path)
        if image is None:
            return None
        found = names.named(path, line)
        tag = None if found.tag is None else self.view.tag(image, found.tag)
        digest = found.digest if tag is None else tag.digest
        if digest is None:
            return None
        record = self.view.manifest(image, digest)
        pushed = tag or record
        pulled_at = keys.number(self.view.get("pulled", image + digest) or b"\0")
        at, by = (0, "") if pushed is None else (pushed.pushed_at, pushed.pushed_by)
        return Package(image, path, found.tag, digest, at, by, record, pulled_at)


# --- pages ---


def list_packages(
    view: View, repository: int, selection: Selection, start: int, stop: int
) -> tuple[int, list[Package]]:
    """How many packages there are, and those from rank `start` to before rank `stop`."""
    reader = _Reader(view, repository)
    find = _filtered if selection.is_costly else _ranked
    total, entries = find(reader, selection, start, stop)
    found = (reader.package(selection.order, entry) for entry in entries)
    return total, [package for package in found if package is not None]


def _bounds(image: str | None) -> tuple[bytes, bytes | None]:
    """What the entries by name of one image lie between."""
    if image is None:
        return b"", None
    path = image.encode()
    return path + b"\0", path + b"\1"


def _ranked(
    reader: _Reader, selection: Selection, start: int, stop: int
) -> tuple[int, list[bytes]]:
    prefix = names.prefix(reader.repository, selection.order)
    run = ordering.measure(reader.view, prefix, *_bounds(selection.image))
    if not selection.is_descending:
        return run.total, ordering.page(reader.view, run, start, stop)
    last, first = max(run.total - start, 0), max(run.total - stop, 0)
    return run.total, ordering.page(reader.view, run, first, last)[::-1]


# --- what is left out ---


def _filtered(
    reader: _Reader, selection: Selection, start: int, stop: int
) -> tuple[int, list[bytes]]:
    if selection.keys is not None:
        return _sorted(reader, selection, start, stop)
    if not selection.contains:
        return _nearest(reader, selection, start, stop)
    found: list[bytes] = []
    total = 0
    for group, lines in _iter_selected(reader, selection):
        if total < stop:
            some = lines[max(start - total, 0) : stop - total]
            found += [blocks.join_entry(group, line) for line in some]
        total += len(lines)
    return total, found


def _nearest(
    reader: _Reader, selection: Selection, start: int, stop: int
) -> tuple[int, list[bytes]]:
    """All of an image by time or size: how many there are is known without looking at them."""
    by_name = names.prefix(reader.repository, Order.NAME)
    total = ordering.measure(reader.view, by_name, *_bounds(selection.image)).total
    stop = min(stop, total)
    if stop <= total - start:
        return total, list(islice(_iter_entries(reader, selection), start, stop))
    back = replace(selection, is_descending=not selection.is_descending)
    found = islice(_iter_entries(reader, back), total - stop, max(total - start, 0))
    return total, list(found)[::-1]


def _sorted(
    reader: _Reader, selection: Selection, start: int, stop: int
) -> tuple[int, list[bytes]]:
    """In the order of the selection's own keys, and where these are equal in that of names."""
    ascending = _iter_selected(reader, replace(selection, is_descending=False))
    lines = [line for _, some in ascending for line in some]
    tagged = bisect_left(lines, names.UNTAGGED)
    tags = b"\n".join(lines[:tagged]).decode().split("\n") if tagged else []
    found = selection.keys(tags)  # type: ignore[misc] # it has some
    ranks = sorted(range(tagged), key=found.__getitem__)
    if selection.is_descending:
        ranks.reverse()
    ranks += range(tagged, len(lines))
    before = _bounds(selection.image)[0]
    return len(lines), [before + lines[rank] for rank in ranks[start:stop]]


def _iter_entries(reader: _Reader, selection: Selection) -> Iterator[bytes]:
    """Entries of a selection in its order."""
    for group, lines in _iter_selected(reader, selection):
        for line in lines:
            yield blocks.join_entry(group, line)


def _iter_selected(reader: _Reader, selection: Selection) -> Iterator[tuple[bytes, list[bytes]]]:
    """(group, lines) of a selection in its order: many lines at once, as each would take long."""
    view, order = reader.view, selection.order
    may_hold = _holder(reader, selection)
    sifts = _Sifts(reader, selection)
    bounds = _bounds(selection.image if order is Order.NAME else None)
    found = ordering.measure(view, names.prefix(reader.repository, order), *bounds).keys
    step = -1 if selection.is_descending else 1
    for key in found[::step]:
        block = view.get(names.TABLE, key) or blocks.LOWER
        if may_hold(block):
            for group, lines in list(blocks.iter_parts(block))[::step]:
                yield group, sifts.select(group, lines)[::step]


class _Sifts(dict[bytes, names.Sift]):
    """Which lines of an image are selected, by what names the image in an entry."""

    def __init__(self, reader: _Reader, selection: Selection) -> None:
        super().__init__()
        self._reader = reader
        self._selection = selection
        self._sifting = names.sifting(selection.contains)

    def __missing__(self, place: bytes) -> names.Sift:
        path = self._reader.path(self._selection.order, place)
        is_other = self._selection.image not in (None, path)
        self[place] = sift = names.none if is_other else self._sifting(path)
        return sift

    def select(self, group: bytes, lines: list[bytes]) -> list[bytes]:
        """The selected lines of a group, in their order."""
        if self._selection.order is Order.NAME:
            return self[group](lines, 0)
        parts: dict[names.Sift, list[bytes]] = {}
        for line in lines:
            parts.setdefault(self[line[IMAGE_OF_LINE]], []).append(line)
        return sorted(line for sift, some in parts.items() for line in sift(some, NAMED_AT))


def _holder(reader: _Reader, selection: Selection) -> Callable[[bytes], bool]:
    """Whether a block may have what is selected; never a false no."""
    if selection.order is Order.NAME:
        return names.holding(selection.contains)
    if selection.image is None:
        return lambda _: True  # paths are not in it
    image = reader.image(selection.image)
    if image is None:
        return lambda _: False
    letters = image_letters(image)
    return lambda block: letters in block
