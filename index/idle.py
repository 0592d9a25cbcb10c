"""What of a repository was pulled longest ago, and what has to be said to take it away.

A root is a manifest that no other one of its image needs: a tag's, or one without a tag. Its time
is the latest of its own and its child manifests' pulls; of what was never pulled, of the push. What
nothing refers to is a root too, and older than all others: its manifest has gone before it.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple

from index import keys
from index.changes import Change, EdgeKind, Unlink
from index.expectations import (
    Expectation,
    ManifestExists,
    NeededBy,
    NoParent,
    NoTagLike,
    Unreferenced,
)
from index.records import Link, Manifest
from index.view import View

_DEPTH: Final = 4  # of indexes in indexes that are looked into


class Idle(NamedTuple):
    """A root, and when it was wanted last: seconds since 1970. In the order of time."""

    at: int
    image: bytes  # I
    digest: bytes  # D


class Page(NamedTuple):
    """Roots of a part of a repository, in no order; `last` is where the next part begins."""

    roots: list[Idle]
    last: bytes | None


def list_idle(view: View, repository: int, after: bytes | None, rows: int) -> Page:
    """Roots among the next `rows` links of a repository, from beyond the key `after`."""
    found: list[Idle] = []
    last, count = after, 0
    for key, value in islice(view.scan("link", keys.u32(repository), after), rows):
        last, count = key, count + 1
        image, digest = key[: keys.IMAGE_SIZE], key[keys.IMAGE_SIZE :]
        link = Link.decode(value)
        if link.references == 0:
            found.append(Idle(0, image, digest))
            continue
        record = view.manifest(image, digest)
        if record is not None and next(view.iter_parents(image, digest), None) is None:
            found.append(Idle(_wanted_at(view, image, digest, record), image, digest))
    return Page(found, last if count == rows else None)


def root_of(view: View, image: bytes, digest: bytes) -> Idle:
    """Of the roots that need `digest` the one that was wanted last; it may be its own."""
    found, waiting = set(), {digest}
    for _ in range(_DEPTH + 1):
        above = {each: set(view.iter_parents(image, each)) for each in waiting}
        found |= {each for each, parents in above.items() if not parents}
        waiting = set().union(*above.values())
    rows = ((each, view.manifest(image, each)) for each in found | waiting)
    return max(
        Idle(0 if row is None else _wanted_at(view, image, each, row), image, each)
        for each, row in rows
    )


def wanted_at(view: View, root: Idle) -> int:
    """When a root was wanted last, as it is now; -1: it is none any more."""
    link = view.link(root.image, root.digest)
    record = view.manifest(root.image, root.digest)
    if link is None or next(view.iter_parents(root.image, root.digest), None) is not None:
        return -1
    if record is None:
        return 0 if link.references == 0 else -1
    return _wanted_at(view, root.image, root.digest, record)


def children_of(view: View, image: bytes, digest: bytes) -> list[bytes]:
    """The child manifests of one, as far as they are here."""
    return [child for child, _ in _iter_manifests(view, image, digest)]


def removal(
    view: View, root: Idle, *, is_child: bool = False
) -> tuple[list[Change], list[Expectation]] | None:
    """What takes a manifest away with the blobs that only it needs, and when that may be done.

    Of a child of what went before, unless it has a tag or another parent. None: it is gone.
    """
    image, digest = root.image, root.digest
    name, link = view.image_name(image), view.link(image, digest)
    if name is None or link is None:
        return None
    if link.references == 0:
        return [Unlink(name, digest)], [Unreferenced(name, digest)]
    changes: list[Change] = [Unlink(name, digest)]
    expected: list[Expectation] = [ManifestExists(name, digest), NoParent(name, digest)]
    if is_child:
        expected.append(NoTagLike(name, digest, ("*",)))
    for child, kind in view.iter_children(image, digest):
        row = None if kind == EdgeKind.CHILD else view.link(image, child)
        if row is not None and row.references == 1:
            changes.append(Unlink(name, child))
            expected.append(NeededBy(name, child, digest))
    return changes, expected


def _wanted_at(view: View, image: bytes, digest: bytes, record: Manifest, depth: int = 0) -> int:
    pulled = keys.number(view.get("pulled", image + digest) or b"\0")
    latest = max(pulled, record.pushed_at)
    if depth < _DEPTH:
        for child, row in _iter_manifests(view, image, digest):
            latest = max(latest, _wanted_at(view, image, child, row, depth + 1))
    return latest


def _iter_manifests(view: View, image: bytes, digest: bytes) -> Iterator[tuple[bytes, Manifest]]:
    for child, kind in view.iter_children(image, digest):
        row = view.manifest(image, child) if kind == EdgeKind.CHILD else None
        if row is not None:
            yield child, row
