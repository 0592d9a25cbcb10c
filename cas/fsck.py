"""Recount everything from links, edges and extents, and say exactly what differs.

Runs on one snapshot while the store works; what is in flight at that moment (work rows) is counted
as in flight, not as drift. Memory: 16 bytes a chunk reference, more in Python's hands.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from cas import layout
from cas.verbs import Report
from index import keys
from index.environment import Environment
from index.records import Extent, GarbageKind, Image, Link, Manifest, Object, PackState, Tag
from index.view import View

Check = Callable[["_Fsck"], Iterator[str]]


class _Fsck:
    """One run: the snapshot, the folder, its unstaged pack files, and what was counted."""

    def __init__(self, view: View, root: Path, files: list[str]) -> None:
        self.view = view
        self.root = root
        self.files = files
        works = [work for _, work in view.iter_work()]
        self.building = {work.object for work in works}
        self.incoming = {work.pack for work in works}
        self.covered: Counter[tuple[int, int]] = Counter()
        self.checked: Counter[str] = Counter()


def run(environment: Environment, root: Path) -> Report:
    """Check the whole index against itself and against `root`'s packs; blocks."""
    files = _list_files(root)
    return environment.read(lambda view: _check(_Fsck(view, root, files)))


def _check(run: _Fsck) -> Report:
    drift = [sentence for part in _CHECKS for sentence in part(run)]
    return Report(dict(run.checked), drift)


def _list_files(root: Path) -> list[str]:
    """Pack files that are not staged uploads as well.

    Listed in this order and before the snapshot, so that each of them is in its index: an upload
    that is adopted meanwhile loses its other name only after its commit.
    """
    files = sorted(path.name for path in (root / layout.PACKS).iterdir())
    staged = {path.name[:16] for path in (root / layout.UPLOADS).iterdir()}
    return [name for name in files if name not in staged]


def _split(key: bytes) -> tuple[bytes, bytes, bytes]:
    """Split a key into image, first digest, rest."""
    digest, rest = keys.split_digest(key[keys.IMAGE_SIZE :])
    return key[: keys.IMAGE_SIZE], digest, rest


def _links(run: _Fsck) -> Iterator[str]:
    for key, value in run.view.scan("link"):
        run.checked["links"] += 1
        image, digest, _ = _split(key)
        link = Link.decode(value)
        references = sum(1 for _ in run.view.iter_parents(image, digest))
        references += sum(1 for _ in run.view.iter_tags_of(image, digest))
        references += run.view.manifest(image, digest) is not None
        name = f"link {image.hex()} {digest.hex()}"
        if references != link.references:
            yield f"{name}: {link.references} references, {references} found"
        if run.view.get("link_by_digest", digest + image) is None:
            yield f"{name}: has no row by digest"
        if run.view.object(digest) is None:
            yield f"{name}: its object is missing"
        if run.view.get("image_by_id", image) is None:
            yield f"{name}: its image is missing"
        yield from _garbage_of(run, name, (GarbageKind.LINK, key), link)


def _garbage_of(
    run: _Fsck, name: str, row: tuple[GarbageKind, bytes], counted: Link | Object
) -> Iterator[str]:
    """`not_before` is non-zero exactly while references = 0, and then its garbage row stands."""
    if (counted.references == 0) != (counted.not_before != 0):
        yield f"{name}: {counted.references} references, but not_before {counted.not_before}"
    elif counted.not_before:
        kind, key = row
        if run.view.get("garbage", keys.garbage(counted.not_before, kind, key)) is None:
            yield f"{name}: its garbage row is missing"


def _garbage(run: _Fsck) -> Iterator[str]:
    for key, _ in run.view.scan("garbage"):
        run.checked["garbage"] += 1
        not_before, kind, name = keys.split_garbage(key)
        if kind == GarbageKind.MANIFEST:
            continue  # a question; to be asked in vain is no harm
        if kind == GarbageKind.PACK:
            if run.view.pack(keys.number(name)) is None:
                yield f"garbage {key.hex()}: there is no such pack"
            continue
        table = "link" if kind == GarbageKind.LINK else "object"
        value = run.view.get(table, name)
        row = None if value is None else (Link if table == "link" else Object).decode(value)
        if row is None or row.not_before != not_before:
            yield f"garbage {key.hex()}: nothing waits for it"


def _reverse_rows(run: _Fsck) -> Iterator[str]:
    """Every row that stands for another from the other side."""
    for key, _ in run.view.scan("link_by_digest"):
        digest, image = keys.split_digest(key)
        if run.view.link(image, digest) is None:
            yield f"link_by_digest {key.hex()}: there is no link"
    for key, _ in run.view.scan("edge"):
        run.checked["edges"] += 1
        image, parent, child = _split(key)
        if run.view.get("edge_by_child", image + child + parent) is None:
            yield f"edge {key.hex()}: has no row by child"
        if run.view.manifest(image, parent) is None:
            yield f"edge {key.hex()}: its manifest is missing"
    for key, _ in run.view.scan("edge_by_child"):
        image, child, parent = _split(key)
        if run.view.get("edge", image + parent + child) is None:
            yield f"edge_by_child {key.hex()}: there is no edge"


def _tags(run: _Fsck) -> Iterator[str]:
    for key, value in run.view.scan("tag"):
        run.checked["tags"] += 1
        image, name = key[: keys.IMAGE_SIZE], key[keys.IMAGE_SIZE :]
        digest = Tag.decode(value).digest
        if run.view.get("tag_by_digest", image + digest + name) is None:
            yield f"tag {key.hex()}: has no row by digest"
        if run.view.link(image, digest) is None:
            yield f"tag {key.hex()}: what it names is not linked"
    for key, _ in run.view.scan("tag_by_digest"):
        image, digest, name = _split(key)
        tag = run.view.tag(image, name.decode())
        if tag is None or tag.digest != digest:
            yield f"tag_by_digest {key.hex()}: there is no such tag"


def _manifests(run: _Fsck) -> Iterator[str]:
    for key, value in run.view.scan("manifest"):
        run.checked["manifests"] += 1
        image, digest, _ = _split(key)
        record = Manifest.decode(value)
        if run.view.link(image, digest) is None:
            yield f"manifest {key.hex()}: is not linked"
        if record.subject:
            by_type = keys.type_hash(record.artifact_type) + digest
            if run.view.get("referrer", image + record.subject + by_type) is None:
                yield f"manifest {key.hex()}: has a subject, but no referrer row"
    for key, _ in run.view.scan("referrer"):
        image, subject, rest = _split(key)
        manifest = run.view.manifest(image, rest[keys.TYPE_HASH_SIZE :])
        if manifest is None or manifest.subject != subject:
            yield f"referrer {key.hex()}: there is no such manifest"


def _images(run: _Fsck) -> Iterator[str]:
    for key, value in run.view.scan("image"):
        run.checked["images"] += 1
        image = Image.decode(value)
        found = tuple(
            sum(1 for _ in run.view.scan(table, image.id)) for table in ("link", "manifest", "tag")
        )
        if found != (image.links, image.manifests, image.tags):
            yield f"image {key[4:].decode()}: counts {image[1:]}, found {found}"
        if not image.links:
            yield f"image {key[4:].decode()}: holds nothing"
        if run.view.get("image_by_id", image.id) != key[4:]:
            yield f"image {key[4:].decode()}: its row by id differs"
    for id_, path in run.view.scan("image_by_id"):
        named = run.view.get("image", id_[:4] + path)
        if named is None or Image.decode(named).id != id_:
            yield f"image_by_id {id_.hex()}: there is no such image"


def _usage(run: _Fsck) -> Iterator[str]:
    for name, repository in run.view.iter_repositories():
        run.checked["repositories"] += 1
        prefix = keys.u32(repository.id)
        digests = {_split(key)[1] for key, _ in run.view.scan("link", prefix)}
        rows = (run.view.object(digest) for digest in digests)
        found = (
            sum(row.size for row in rows if row is not None),
            sum(1 for _ in run.view.scan("image", prefix)),
            sum(1 for _ in run.view.scan("manifest", prefix)),
        )
        if found != tuple(run.view.usage(repository.id)):
            yield f"repository {name}: usage {tuple(run.view.usage(repository.id))}, found {found}"


def _objects(run: _Fsck) -> Iterator[str]:
    for digest, value in run.view.scan("object"):
        run.checked["objects"] += 1
        row = Object.decode(value)
        links = sum(1 for _ in run.view.iter_images_linking(digest))
        name = f"object {digest.hex()}"
        if links != row.references:
            yield f"{name}: {row.references} references, {links} links"
        yield from _garbage_of(run, name, (GarbageKind.OBJECT, digest), row)
        content = run.view.inline(row.id)
        held = len(content) if content is not None else sum(_extent_lengths(run, row.id))
        if held != row.size:
            yield f"{name}: {row.size} bytes, {held} found"


def _inline(run: _Fsck) -> Iterator[str]:
    live = {keys.u64(Object.decode(value).id) for _, value in run.view.scan("object")}
    for number, _ in run.view.scan("inline"):
        if number not in live:
            yield f"inline {number.hex()}: belongs to no object"


def _extent_lengths(run: _Fsck, object_id: int) -> Iterator[int]:
    """Lengths of an object's extents, as long as each begins where the last one ended."""
    logical = 0
    for key, value in run.view.scan("extent", keys.u64(object_id)):
        if keys.split_place(key)[1] != logical:
            return
        length = Extent.decode(value).length
        logical += length
        yield length


def _extents(run: _Fsck) -> Iterator[str]:
    """Count for every chunk the extents that cover it."""
    live = {Object.decode(value).id for _, value in run.view.scan("object")} | run.building
    for key, value in run.view.scan("extent"):
        run.checked["extents"] += 1
        extent = Extent.decode(value)
        if keys.split_place(key)[0] not in live:
            yield f"extent {key.hex()}: belongs to no object"
        end = extent.offset
        for offset, row in run.view.iter_chunks(extent.pack, extent.offset):
            if offset != end or offset >= extent.offset + extent.length:
                break
            run.covered[extent.pack, offset] += 1
            end = offset + row.length
        if end != extent.offset + extent.length:
            yield f"extent {key.hex()}: its chunks end at {end} of pack {extent.pack:016x}"


def _chunks(run: _Fsck) -> Iterator[str]:
    live: Counter[int] = Counter()
    for key, _ in run.view.scan("chunk_at"):
        run.checked["chunks"] += 1
        place = keys.split_place(key)
        row = run.view.chunk_at(*place)
        if row is None:
            continue
        if run.covered[place] != row.references:
            found = run.covered[place]
            yield f"chunk {key.hex()}: {row.references} references, {found} extents cover it"
        live[place[0]] += row.length
        if run.view.chunk(row.name) is None:
            # Two builds wrote this chunk at once, and the one that took its name was given up
            # (design §4, "Slices"): it is not shared with later blobs, and that is all.
            run.checked["unnamed chunks"] += 1
    for pack, pack_row in run.view.iter_packs():
        if pack_row.live != live[pack]:
            yield f"pack {pack:016x}: {pack_row.live} live bytes, {live[pack]} found"


def _chunk_names(run: _Fsck) -> Iterator[str]:
    for name, value in run.view.scan("chunk"):
        at = run.view.chunk_at(*keys.split_place(value))
        if at is None or at.name != name:
            yield f"chunk {name.hex()}: is not where its row says"


def _packs(run: _Fsck) -> Iterator[str]:
    """Index against disk, both ways."""
    following = keys.number(run.view.get("meta", keys.META_NEXT) or b"\0")
    known: set[str] = {f"{following:016x}"}
    for pack, row in run.view.iter_packs():
        run.checked["packs"] += 1
        path = layout.pack_path(run.root, pack)
        known.add(path.name)
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            yield f"pack {pack:016x}: its file is missing"
            continue
        if size < row.length:
            yield f"pack {pack:016x}: {row.length} bytes, but its file has {size}"
        if row.state is PackState.INCOMING and pack not in run.incoming:
            yield f"pack {pack:016x}: incoming, and nothing builds it"
    for name in run.files:
        is_there = (run.root / layout.PACKS / name).exists()  # given up meanwhile
        if name not in known and is_there:
            yield f"pack {name}: a file that the index does not know"


_CHECKS: tuple[Check, ...] = (
    _links,
    _garbage,
    _reverse_rows,
    _tags,
    _manifests,
    _images,
    _usage,
    _objects,
    _inline,
    _extents,
    _chunks,
    _chunk_names,
    _packs,
)
