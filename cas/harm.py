"""Whom damaged bytes hurt: from a range of a pack, or an object, to the images that need it."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from cas.digest import Digest
from index import keys
from index.records import Extent, Object
from index.view import View


class Range(NamedTuple):
    """Bytes `start` to `stop` of a pack."""

    pack: int
    start: int
    stop: int

    def __str__(self) -> str:
        return f"pack {self.pack:016x}, bytes {self.start} to {self.stop}"


NAMED: Final = 20  # images that a sentence names


@dataclass(frozen=True, slots=True)
class Damage:
    """What is damaged, and the images that need it: `storage/repository/path:tag` or `…@digest`."""

    what: str
    images: tuple[str, ...]

    def __str__(self) -> str:
        named = ", ".join(self.images[:NAMED]) or "nothing"
        more = len(self.images) - NAMED
        return f"{self.what}: needed by {named}" + (f" and {more} more" if more > 0 else "")


def join(ranges: Iterable[Range]) -> list[Range]:
    """Melt ranges that lie side by side."""
    joined: list[Range] = []
    for each in sorted(ranges):
        last = joined[-1] if joined else None
        if last is not None and last.pack == each.pack and last.stop >= each.start:
            joined[-1] = last._replace(stop=max(last.stop, each.stop))
        else:
            joined.append(each)
    return joined


def harm_of(view: View, ranges: Iterable[Range]) -> list[Damage]:
    """Say for damaged ranges whom they hurt. Reads all extents and objects if there is any."""
    joined = join(ranges)
    if not joined:
        return []
    hurt: dict[Range, set[str]] = {each: set() for each in joined}
    for digest, those in objects_over(view, joined):
        names = images_needing(view, digest)
        for each in those:
            hurt[each] |= names
    return [Damage(str(each), tuple(sorted(names))) for each, names in hurt.items()]


def objects_over(view: View, joined: Sequence[Range]) -> Iterator[tuple[bytes, set[Range]]]:
    """(D, those of the joined ranges that overlap its extents) of every object that has some."""
    found = _extents_over(view, joined)
    if found:
        for digest, value in view.scan("object"):
            those = found.get(Object.decode(value).id)
            if those:
                yield digest, those


def iter_inline_harm(view: View) -> Iterator[Damage]:
    """Check every object that lives in the index against its digest."""
    for key, value in view.scan("object"):
        content = view.inline(Object.decode(value).id)
        digest = Digest(key)
        if content is not None and Digest.of(content, digest.algorithm) != digest:
            yield Damage(f"{digest}, in the index", tuple(sorted(images_needing(view, key))))


def images_needing(view: View, digest: bytes) -> set[str]:
    """Every tag that stands, through whatever manifests, on an object; its digest without one."""
    names: set[str] = set()
    for image in view.iter_images_linking(digest):
        found = view.image_name(image)
        name = f"image {image.hex()}" if found is None else str(found)
        tags = {
            tag
            for each in _ancestors(view, image, digest)
            for tag in view.iter_tags_of(image, each)
        }
        names |= {f"{name}:{tag}" for tag in tags} or {f"{name}@{Digest(digest)}"}
    return names


def _ancestors(view: View, image: bytes, digest: bytes) -> set[bytes]:
    """A digest and the manifests of the image that need it, directly or not."""
    seen = {digest}
    above = [digest]
    while above:
        fresh = set(view.iter_parents(image, above.pop())) - seen
        seen |= fresh
        above += fresh
    return seen


def _extents_over(view: View, joined: Sequence[Range]) -> dict[int, set[Range]]:
    """The same by object id."""
    by_pack: dict[int, list[Range]] = {}
    for each in joined:
        by_pack.setdefault(each.pack, []).append(each)
    stops = {pack: [each.stop for each in those] for pack, those in by_pack.items()}
    found: dict[int, set[Range]] = {}
    for key, value in view.scan("extent"):
        extent = Extent.decode(value)
        those = by_pack.get(extent.pack)
        if those is None:
            continue
        # They are sorted, and none touches the next: from the first that ends behind its start on.
        for number in range(bisect_right(stops[extent.pack], extent.offset), len(those)):
            if those[number].start >= extent.offset + extent.length:
                break
            found.setdefault(keys.split_place(key)[0], set()).add(those[number])
    return found
