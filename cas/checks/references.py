"""Links, tags, manifests and edges: each row, its row from the other side, and what it needs.

Where one of two rows is left, the other is written again rather than the one dropped, as long as
the bytes are there: what was pushed stays reachable.
"""

from collections.abc import Iterator
from itertools import groupby

from cas.checks.drift import Described, Drift, Mend, Run, drop, fresh_link, put, split
from cas.digest import Digest
from index import keys
from index.changes import EdgeKind
from index.records import Link, Manifest, Tag
from index.transaction import Transaction


def links(run: Run) -> Iterator[Drift]:
    """A link has its row by digest, and an object."""
    for key, _ in run.view.scan("link_by_digest"):
        digest, image = keys.split_digest(key)
        if run.view.link(image, digest) is None:
            can_be = run.view.object(digest) and run.view.get("image_by_id", image)
            mend = _relink(run, image, digest) if can_be else drop(("link_by_digest", key))
            yield Drift(f"link_by_digest {run.named(image, digest)}: there is no link", mend)
    for key, value in run.view.scan("link"):
        run.checked["links"] += 1
        image, digest, _ = split(key)
        if run.view.object(digest) is None:
            yield _unlinked(run, image, digest, Link.decode(value))
        elif run.view.get("link_by_digest", digest + image) is None:
            sentence = f"link {run.named(image, digest)}: has no row by digest"
            yield Drift(sentence, put("link_by_digest", digest + image))


def _unlinked(run: Run, image: bytes, digest: bytes, link: Link) -> Drift:
    """The bytes are nowhere: a link would let the next push of them go uncounted."""
    key = image + digest
    rows = [("link", key), ("link_by_digest", digest + image)]
    if link.not_before:
        rows.append(("garbage", keys.garbage(link.not_before, 1, key)))
    sentence = f"link {run.named(image, digest)}: its object is missing, push it again"
    return Drift(sentence, drop(*rows))


def _relink(run: Run, image: bytes, digest: bytes) -> Mend:
    value = fresh_link(run.place.clock)

    def mend(transaction: Transaction) -> None:
        if transaction.link(image, digest) is None:
            transaction.put("link", image + digest, value)
        transaction.put("link_by_digest", digest + image)

    return mend


# --- tags ---


def tags(run: Run) -> Iterator[Drift]:
    """A tag has its row by digest, and names what is linked."""
    for key, value in run.view.scan("tag"):
        run.checked["tags"] += 1
        image, name = key[: keys.IMAGE_SIZE], key[keys.IMAGE_SIZE :]
        digest = Tag.decode(value).digest
        if run.view.link(image, digest) is None:
            yield _loose_tag(run, image, name, digest)
        elif run.view.get("tag_by_digest", image + digest + name) is None:
            sentence = f"tag {run.image(image)}:{name.decode()}: has no row by digest"
            yield Drift(sentence, put("tag_by_digest", image + digest + name))
    for key, _ in run.view.scan("tag_by_digest"):
        image, digest, name = split(key)
        tag = run.view.tag(image, name.decode())
        if tag is None or tag.digest != digest:
            yield _lost_tag(run, key, is_free=tag is None)


def _loose_tag(run: Run, image: bytes, name: bytes, digest: bytes) -> Drift:
    """Link what it names if that is a manifest still; else what its other row names; else drop."""
    sentence = (
        f"tag {run.image(image)}:{name.decode()}: what it names is not linked: {digest.hex()}"
    )
    if run.view.object(digest) and run.view.manifest(image, digest):
        return Drift(sentence, _relink(run, image, digest))
    for key, _ in run.view.scan("tag_by_digest", image):
        _, other, other_name = split(key)
        if other_name == name and run.view.link(image, other) is not None:
            row = Tag(digest=other, pushed_at=run.place.clock.now)
            return Drift(f"{sentence}, but {Digest(other)}", put("tag", image + name, row.encode()))
    rows = ("tag", image + name), ("tag_by_digest", image + digest + name)
    return Drift(f"{sentence}, nor stored: the tag goes", drop(*rows))


def _lost_tag(run: Run, key: bytes, *, is_free: bool) -> Drift:
    image, digest, name = split(key)
    sentence = f"tag_by_digest {run.image(image)}:{name.decode()}: there is no such tag"
    if is_free and run.view.link(image, digest) is not None:
        row = Tag(digest=digest, pushed_at=run.place.clock.now)
        return Drift(sentence, put("tag", image + name, row.encode()))
    return Drift(sentence, drop(("tag_by_digest", key)))


# --- manifests ---


def manifests(run: Run) -> Iterator[Drift]:
    """A manifest is linked, and has a referrer row while it has a subject; and back."""
    for key, value in run.view.scan("manifest"):
        run.checked["manifests"] += 1
        image, digest, _ = split(key)
        record = Manifest.decode(value)
        referrer = None if not record.subject else _referrer_key(image, digest, record)
        if run.view.link(image, digest) is None:
            yield _loose_manifest(run, key, referrer)
        elif referrer is not None and run.view.get("referrer", referrer) is None:
            described = _describe(run, image, digest)
            mend = None if described is None else put("referrer", referrer, described.referrer)
            sentence = f"manifest {run.named(image, digest)}: has a subject, but no referrer row"
            yield Drift(sentence, mend)
    for key, _ in run.view.scan("referrer"):
        image, _, rest = split(key)
        digest = rest[keys.TYPE_HASH_SIZE :]
        row = run.view.manifest(image, digest)
        if row is None or key != _referrer_key(image, digest, row):
            sentence = f"referrer {run.named(image, digest)}: there is no such manifest"
            yield Drift(sentence, _rewritten(run, image, digest) or drop(("referrer", key)))


def _loose_manifest(run: Run, key: bytes, referrer: bytes | None) -> Drift:
    image, digest, _ = split(key)
    sentence = f"manifest {run.named(image, digest)}: is not linked"
    if run.view.object(digest) is not None and run.view.get("image_by_id", image):
        return Drift(sentence, _relink(run, image, digest))
    rows = [("manifest", key)] + ([] if referrer is None else [("referrer", referrer)])
    return Drift(f"{sentence}, and cannot be", drop(*rows))


def _referrer_key(image: bytes, digest: bytes, record: Manifest) -> bytes:
    return image + record.subject + keys.type_hash(record.artifact_type) + digest


def _describe(run: Run, image: bytes, digest: bytes) -> Described | None:
    """What the bytes of a linked manifest say; None when they are not there, or are no manifest."""
    row = run.view.object(digest)
    content = None if row is None else run.view.inline(row.id)
    is_linked = run.view.link(image, digest) is not None
    if run.place.describe is None or content is None or not is_linked:
        return None
    expected = Digest(digest)
    if Digest.of(content, expected.algorithm) != expected:
        return None
    return run.place.describe(expected, content)


def _rewritten(run: Run, image: bytes, digest: bytes) -> Mend | None:
    """Write a lost manifest row again from the manifest; None when the row is there, or cannot."""
    if run.view.manifest(image, digest) is not None:
        return None
    described = _describe(run, image, digest)
    if described is None:
        return None
    record, _, referrer = described

    def mend(transaction: Transaction) -> None:
        transaction.put("manifest", image + digest, record.encode())
        if record.subject:
            transaction.put("referrer", _referrer_key(image, digest, record), referrer)

    return mend


# --- edges ---


def edges(run: Run) -> Iterator[Drift]:
    """An edge has its row by child, and its manifest."""
    rows = run.view.scan("edge")
    for parent, children in groupby(rows, lambda row: _parent(row[0])):
        image, digest, _ = split(parent)
        if run.view.manifest(image, digest) is None:
            yield from _loose_edges(run, parent, [key for key, _ in children])
            continue
        for key, _ in children:
            run.checked["edges"] += 1
            child = key[len(parent) :]
            if run.view.get("edge_by_child", image + child + digest) is None:
                sentence = f"edge {run.named(image, digest)} {child.hex()}: has no row by child"
                yield Drift(sentence, put("edge_by_child", image + child + digest))
    for key, _ in run.view.scan("edge_by_child"):
        image, child, parent = split(key)
        if run.view.get("edge", image + parent + child) is None:
            yield _lost_edge(run, image, parent, child)


def _parent(key: bytes) -> bytes:
    _, _, rest = split(key)
    return key[: -len(rest)]


def _loose_edges(run: Run, parent: bytes, edges_: list[bytes]) -> Iterator[Drift]:
    image, digest, _ = split(parent)
    sentence = f"edge {run.named(image, digest)}: its manifest is missing"
    rewritten = _rewritten(run, image, digest)
    if rewritten is not None:
        yield Drift(f"{sentence}, and was read anew", rewritten)
        return
    for key in edges_:
        child = key[len(parent) :]
        yield Drift(sentence, drop(("edge", key), ("edge_by_child", image + child + digest)))


def _lost_edge(run: Run, image: bytes, parent: bytes, child: bytes) -> Drift:
    sentence = f"edge_by_child {run.named(image, parent)} {child.hex()}: there is no edge"
    described = _describe(run, image, parent)
    if run.view.manifest(image, parent) is None and described is None:
        return Drift(sentence, drop(("edge_by_child", image + child + parent)))
    kind = EdgeKind.LAYER if described is None else described.edges.get(child, EdgeKind.LAYER)
    return Drift(sentence, put("edge", image + parent + child, bytes((kind,))))
