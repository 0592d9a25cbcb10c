"""What is counted: references of links and objects, garbage rows, images, usage.

Runs after everything that is counted here has been checked itself.
"""

from collections import Counter
from collections.abc import Iterator

from cas.checks.drift import Drift, Mend, Run, drop, put, split
from cas.checks.places import iter_all_repositories
from index import keys
from index.ledger import Clock
from index.records import GarbageKind, Image, Link, Object, Tag, Usage
from index.transaction import Transaction


def links(run: Run) -> Iterator[Drift]:
    """A link's references = edges to it + tags of it + 1 while it is a manifest, in its image."""
    for key, value in run.view.scan("link"):
        image, digest, _ = split(key)
        link = Link.decode(value)
        references = sum(1 for _ in run.view.iter_parents(image, digest))
        references += sum(1 for _ in run.view.iter_tags_of(image, digest))
        references += run.view.manifest(image, digest) is not None
        said = _said(run, (GarbageKind.LINK, key), link, references)
        if said:
            mend = _settle_link(image, digest, references, run.place.clock)
            yield Drift(f"link {run.named(image, digest)}: {said}", mend)


def objects(run: Run) -> Iterator[Drift]:
    """An object's references = its links."""
    for digest, value in run.view.scan("object"):
        row = Object.decode(value)
        references = sum(1 for _ in run.view.iter_images_linking(digest))
        said = _said(run, (GarbageKind.OBJECT, digest), row, references)
        if said:
            mend = _settle_object(digest, references, run.place.clock)
            yield Drift(f"object {digest.hex()}: {said}", mend)


def _said(run: Run, row: tuple[GarbageKind, bytes], counted: Link | Object, found: int) -> str:
    """What is wrong: `not_before` is non-zero exactly while references = 0, with a garbage row."""
    if found != counted.references:
        return f"{counted.references} references, {found} found"
    if (counted.references == 0) != (counted.not_before != 0):
        return f"{counted.references} references, but not_before {counted.not_before}"
    waiting = keys.garbage(counted.not_before, *row)
    if counted.not_before and run.view.get("garbage", waiting) is None:
        return "its garbage row is missing"
    return ""


def _settle_link(image: bytes, digest: bytes, references: int, clock: Clock) -> Mend:
    def mend(transaction: Transaction) -> None:
        row = transaction.link(image, digest)
        if row is None:
            return
        key = image + digest
        until = 0 if references else row.not_before or max(clock.now + clock.grace, row.lease)
        _wait(transaction, (GarbageKind.LINK, key), row.not_before, until)
        settled = row._replace(references=references, not_before=until)
        transaction.put("link", key, settled.encode())

    return mend


def _settle_object(digest: bytes, references: int, clock: Clock) -> Mend:
    def mend(transaction: Transaction) -> None:
        row = transaction.object(digest)
        if row is None:
            return
        until = 0 if references else row.not_before or clock.now + clock.grace
        _wait(transaction, (GarbageKind.OBJECT, digest), row.not_before, until)
        settled = row._replace(references=references, not_before=until)
        transaction.put("object", digest, settled.encode())

    return mend


def _wait(transaction: Transaction, row: tuple[GarbageKind, bytes], old: int, new: int) -> None:
    if old and old != new:
        transaction.delete("garbage", keys.garbage(old, *row))
    if new:
        transaction.put("garbage", keys.garbage(new, *row))


def garbage(run: Run) -> Iterator[Drift]:
    """A garbage row has something that waits for it; one that asks to look may be stale."""
    for key, _ in run.view.scan("garbage"):
        run.checked["garbage"] += 1
        not_before, kind, name = keys.split_garbage(key)
        if not _waits(run, not_before, GarbageKind(kind), name):
            yield Drift(f"garbage {key.hex()}: nothing waits for it", drop(("garbage", key)))


def _waits(run: Run, not_before: int, kind: GarbageKind, name: bytes) -> bool:
    match kind:
        case GarbageKind.LINK:
            value = run.view.get("link", name)
            return value is not None and Link.decode(value).not_before == not_before
        case GarbageKind.OBJECT:
            row = run.view.object(name)
            return row is not None and row.not_before == not_before
        case GarbageKind.PACK:
            return not_before == 0 and run.view.get("pack", name) is not None
        case GarbageKind.MANIFEST:
            return True


# --- images and usage ---


def images(run: Run) -> Iterator[Drift]:
    """An image counts its links, manifests and tags, and is there while it has links."""
    for key, value in run.view.scan("image"):
        image = Image.decode(value)
        found = _image(run, image)
        name = f"image {key[4:].decode()}"
        if not found.links:
            rows = ("image", key), ("image_by_id", image.id)
            yield Drift(f"{name}: holds nothing", drop(*rows))
        elif found != image:
            yield Drift(
                f"{name}: counts {image[1:]}, found {found[1:]}", put("image", key, found.encode())
            )


def _image(run: Run, image: Image) -> Image:
    """An image as counted. It was updated when the newest of its packages was pushed, or later."""
    links, size, newest = 0, 0, image.updated_at
    for key, _ in run.view.scan("link", image.id):
        row = run.view.object(key[keys.IMAGE_SIZE :])
        links, size = links + 1, size + (0 if row is None else row.size)
    manifests = tags = 0
    for _, record in run.view.iter_manifests(image.id):
        manifests, newest = manifests + 1, max(newest, record.pushed_at)
    for _, value in run.view.iter_tags(image.id):
        tags, newest = tags + 1, max(newest, Tag.decode(value).pushed_at)
    return Image(image.id, links, manifests, tags, size, newest)


def _rows(run: Run, table: str, prefix: bytes) -> int:
    return sum(1 for _ in run.view.scan(table, prefix))


def usage(run: Run) -> Iterator[Drift]:
    """A repository counts each digest once, however many of its images link it."""
    linked = _linked(run)
    known = set()
    for name, repository in iter_all_repositories(run.view):
        key = keys.u32(repository.id)
        known.add(key)
        counts = (_rows(run, table, key) for table in ("image", "manifest"))
        found = Usage(linked[key], *counts)
        said = run.view.usage(repository.id)
        if found != said:
            yield Drift(
                f"repository {name}: usage {tuple(said)}, found {tuple(found)}",
                put("usage", key, found.encode()),
            )
    for key, _ in run.view.scan("usage"):
        if key not in known:
            yield Drift(f"usage {key.hex()}: there is no such repository", drop(("usage", key)))


def _linked(run: Run) -> Counter[bytes]:
    """R → bytes of the distinct digests that it links. They come sorted by digest, then by R."""
    found: Counter[bytes] = Counter()
    last = b""
    for key, _ in run.view.scan("link_by_digest"):
        digest, image = keys.split_digest(key)
        if digest + image[:4] != last:
            last = digest + image[:4]
            row = run.view.object(digest)
            found[image[:4]] += 0 if row is None else row.size
    return found
