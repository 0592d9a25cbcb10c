"""Apply a commit's changes in one transaction, after checking its expectations.

Every count of invariant 3 changes here and in `index.placement` only; `index.ledger` writes them.
"""

from collections.abc import Iterable, Sequence
from functools import singledispatchmethod

import msgspec

from index import keys
from index.changes import (
    Change,
    CheckTag,
    CreateStorage,
    DeleteRepository,
    DeleteStorage,
    DropPackage,
    EdgeKind,
    ImageName,
    Link,
    MarkDamaged,
    Note,
    PlaceObject,
    PutManifest,
    PutObject,
    PutRecord,
    PutRepository,
    SetTag,
    Touch,
    Unlink,
)
from index.damage import is_hurt, mark_chunk
from index.errors import ExpectationsFailed, TargetMissing
from index.expect import is_met, is_within, linked_bytes
from index.expectations import Expectation, WithinQuota
from index.journal import note
from index.ledger import Clock, Ledger
from index.listed import Listed, with_children
from index.placement import let_go
from index.records import (
    GarbageKind,
    Image,
    Link as LinkRow,
    Manifest,
    Object,
    Place,
    Storage,
    Tag,
)
from index.repositories import delete_repository, put_repository
from index.touching import touch_row
from index.transaction import Transaction


def apply(
    transaction: Transaction,
    changes: Iterable[Change],
    expectations: Sequence[Expectation],
    clock: Clock,
) -> int:
    """Check `expectations` on the state before, apply `changes` in order; returns the revision.

    Quotas are looked at in the end. Whatever is raised, the transaction must be given up.

    Raises:
        ExpectationsFailed: all that did not hold.
        TargetMissing: a change names a repository, link or object that is not there.
    """
    quotas = [e for e in expectations if isinstance(e, WithinQuota)]
    others = (e for e in expectations if not isinstance(e, WithinQuota))
    failed = tuple(e for e in others if not is_met(transaction, e))
    if failed:
        raise ExpectationsFailed(failed)
    before = [linked_bytes(transaction, each.repository) for each in quotas]
    commit = Commit(transaction, clock)
    for change in changes:
        commit.apply(change)
    commit.ledger.settle()
    for quota, was in zip(quotas, before, strict=True):
        if not is_within(transaction, quota, was):
            raise ExpectationsFailed((quota,))
    return transaction.bump_revision()


class Commit:
    """One operation under way; its ledger has to be settled at the end."""

    def __init__(
        self, transaction: Transaction, clock: Clock, listed: Listed | None = None
    ) -> None:
        self._transaction = transaction
        self._now = clock.now
        self._grace = clock.grace
        self.ledger = Ledger(transaction, clock, listed)

    @singledispatchmethod
    def apply(self, change: Change) -> None:
        """Apply one change."""
        raise TypeError(change)

    # --- objects and links ---

    @apply.register
    def _put_object(self, change: PutObject) -> None:
        row = self.ledger.object(change.digest)
        if row is not None and not is_hurt(self._transaction, row):
            stored = self._transaction.inline(row.id)
            if stored is None or stored == change.content:
                return
        number = self._transaction.take_number(keys.META_OBJECT, 8)
        self._transaction.put("inline", keys.u64(number), change.content)
        self._place(change.digest, number, len(change.content))

    @apply.register
    def _place_object(self, change: PlaceObject) -> None:
        self._place(change.digest, change.id, change.size)

    def _place(self, digest: bytes, number: int, size: int) -> None:
        """Let an object have the bytes under `number`: it is new, or hurt by those it had."""
        before = self.ledger.object(digest)
        if before is None:
            self.ledger.put_object(digest, Object(number, size, 0, 0))
        else:
            self.ledger.put_object(digest, before._replace(id=number, size=size))
            let_go(self._transaction, digest, before)

    @apply.register
    def _link(self, change: Link) -> None:
        row = self.ledger.object(change.digest)
        if row is None:
            raise TargetMissing("object", change.digest.hex())
        image = self._image_or_new(change.image)
        lease = self._now + change.lease if change.lease else 0
        link = self.ledger.link(image.id, change.digest)
        if link is not None:
            link = link._replace(lease=max(link.lease, lease))
            self.ledger.put_link(image.id, change.digest, link)
            self._touch(image.id, change.digest, link)
            return
        waiting = sum(1 for _ in self._transaction.iter_parents(image.id, change.digest))
        self.ledger.put_link(image.id, change.digest, LinkRow(self._now, lease, waiting, 0))
        self.ledger.put_object(change.digest, row._replace(references=row.references + 1))
        image = image._replace(links=image.links + 1, size=image.size + row.size)
        self.ledger.put_image(change.image.path, image)
        self.ledger.count_linked(image.id, change.digest, row.size)

    def _touch(self, image: bytes, digest: bytes, link: LinkRow) -> None:
        """A fresh push or mount restarts the grace of what nothing refers to."""
        if link.references == 0:
            self.ledger.put_link(image, digest, link._replace(not_before=0))

    @apply.register
    def _unlink(self, change: Unlink) -> None:
        image = self._image(change.image)
        link = self.ledger.link(image.id, change.digest)
        row = self.ledger.object(change.digest)
        if link is None or row is None:
            raise TargetMissing("link", f"to {change.digest.hex()} in {change.image}")
        for tag in list(self._transaction.iter_tags_of(image.id, change.digest)):
            self.drop_tag(change.image, tag)
        self.drop_manifest(change.image, change.digest)
        self.drop_link(change.image, change.digest)

    def drop_link(self, name: ImageName, digest: bytes) -> None:
        """Take a link away to which nothing refers any more."""
        self.ledger.drop_link(name.path, self._image(name), digest)

    # --- packages ---

    @apply.register
    def _drop_package(self, change: DropPackage) -> None:
        row = self._transaction.tag(self._image(change.image).id, change.tag)
        self.drop_tag(change.image, change.tag)
        if row is not None and self._is_idle_manifest(self._image(change.image).id, row.digest):
            self._drop_family(change.image, row.digest)

    def answer(self, name: ImageName, digest: bytes) -> None:
        """Take back the question whether a manifest is needed; if it is not, it goes.

        A tag, a parent or a subject that is there keeps it.
        """
        image = self._image(name)
        record = self._transaction.manifest(image.id, digest)
        if record is None:
            return
        self._ask(image.id, digest, record, 0)
        has_subject = record.subject and self._transaction.manifest(image.id, record.subject)
        if not has_subject and self._is_idle_manifest(image.id, digest):
            self._drop_family(name, digest)

    def _drop_family(self, name: ImageName, digest: bytes) -> None:
        """Unlink a manifest; its children and those that refer to it are asked about later.

        Not now: a HEAD that said 200 is a promise, and lasts as long as for any link.
        """
        image = self._image(name).id
        children = self._transaction.iter_children(image, digest)
        family = [child for child, kind in children if kind == EdgeKind.CHILD]
        referrers = self._transaction.iter_referrers(image, digest)
        family += [cursor[keys.TYPE_HASH_SIZE :] for cursor, _ in referrers]
        self._unlink(Unlink(name, digest))
        for each in family:
            record, link = self._transaction.manifest(image, each), self.ledger.link(image, each)
            if record is not None and link is not None:
                due = max(self._now + self._grace, link.lease)
                self._ask(image, each, record, max(due, record.not_before))

    def _ask(self, image: bytes, digest: bytes, record: Manifest, due: int) -> None:
        """Move the question about a manifest to `due`; 0: there is none."""
        if record.not_before == due:
            return
        if record.not_before:
            old = keys.garbage(record.not_before, GarbageKind.MANIFEST, image + digest)
            self._transaction.delete("garbage", old)
        if due:
            self._transaction.put(
                "garbage", keys.garbage(due, GarbageKind.MANIFEST, image + digest)
            )
        moved = msgspec.structs.replace(record, not_before=due)
        self._transaction.put("manifest", image + digest, moved.encode())

    def _is_idle_manifest(self, image: bytes, digest: bytes) -> bool:
        """Whether only its own row refers to a manifest."""
        link = self.ledger.link(image, digest)
        is_idle = link is not None and link.references == 1
        return is_idle and self._transaction.manifest(image, digest) is not None

    # --- manifests ---

    @apply.register
    def _put_manifest(self, change: PutManifest) -> None:
        image = self._linked_image(change.image, change.digest)
        before = self._transaction.manifest(image.id, change.digest)
        if before is not None:
            if before.media_type == change.record.media_type:
                self._ask(image.id, change.digest, before, 0)  # somebody wants it for itself
                return  # the same bytes: the same edges, the same referrer, the first push's time
            self.drop_manifest(change.image, change.digest)  # under another type it reads anew
            image = self._image(change.image)
        key = image.id + change.digest
        self.ledger.listed.touch_row(image.id, change.image.path, change.digest)
        record = with_children(self._transaction, image.id, change)
        self._transaction.put("manifest", key, record.encode())
        for child, kind in dict(change.edges).items():  # a child named twice is one row
            self._transaction.put("edge", key + child, bytes((kind,)))
            self._transaction.put("edge_by_child", image.id + child + change.digest)
            self.ledger.refer(image.id, child, +1)
        if change.record.subject:
            at = keys.referrer(image.id, change.digest, change.record)
            self._transaction.put("referrer", at, change.referrer)
        self.ledger.refer(image.id, change.digest, +1)
        image = image._replace(manifests=image.manifests + 1, updated_at=self._now)
        self.ledger.put_image(change.image.path, image)
        self.ledger.use(keys.number(image.id[:4]), manifests=1)

    def drop_manifest(self, name: ImageName, digest: bytes) -> None:
        """Let a digest be a blob and no more; nothing, if it is one."""
        image = self._image(name)
        record = self._transaction.manifest(image.id, digest)
        if record is None:
            return
        self._ask(image.id, digest, record, 0)
        self.ledger.listed.touch_row(image.id, name.path, digest)
        key = image.id + digest
        for child, _ in list(self._transaction.iter_children(image.id, digest)):
            self.drop_edge(image.id, digest, child)
        if record.subject:
            self._transaction.delete("referrer", keys.referrer(image.id, digest, record))
        self._transaction.delete("manifest", key)
        self._transaction.delete("pulled", key)
        self.ledger.note_manifest(digest)
        self.ledger.refer(image.id, digest, -1)
        self.ledger.put_image(name.path, image._replace(manifests=image.manifests - 1))
        self.ledger.use(keys.number(image.id[:4]), manifests=-1)

    def drop_edge(self, image: bytes, parent: bytes, child: bytes) -> None:
        """Take one need of a manifest away; only with the manifest itself, or before it."""
        self._transaction.delete("edge", image + parent + child)
        self._transaction.delete("edge_by_child", image + child + parent)
        self.ledger.refer(image, child, -1)

    # --- tags ---

    @apply.register
    def _set_tag(self, change: SetTag) -> None:
        if change.digest is None:
            self.drop_tag(change.image, change.tag)
            return
        image = self._linked_image(change.image, change.digest)
        before = self._transaction.tag(image.id, change.tag)
        if before is not None and before.digest != change.digest:
            self.drop_tag(change.image, change.tag)
            before, image = None, self._image(change.image)
        self.ledger.listed.touch_tag(image.id, change.image.path, change.tag)
        self.ledger.listed.touch_manifest(image.id, change.image.path, change.digest)
        checked = self._now if change.is_checked else 0
        row = Tag(
            digest=change.digest, pushed_at=self._now, pushed_by=change.by, checked_at=checked
        )
        self._transaction.put("tag", keys.tag(image.id, change.tag), row.encode())
        if before is None:
            self._transaction.put("tag_by_digest", keys.tag_of(image.id, change.digest, change.tag))
            self.ledger.refer(image.id, change.digest, +1)
            image = image._replace(tags=image.tags + 1)
        self.ledger.put_image(change.image.path, image._replace(updated_at=self._now))

    @apply.register
    def _check_tag(self, change: CheckTag) -> None:
        image = self._transaction.image(change.image)
        row = None if image is None else self._transaction.tag(image.id, change.tag)
        if image is not None and row is not None and row.digest == change.digest:
            checked = msgspec.structs.replace(row, checked_at=self._now)
            self._transaction.put("tag", keys.tag(image.id, change.tag), checked.encode())

    def drop_tag(self, name: ImageName, tag: str) -> None:
        """Take a tag away; what it pointed at stays."""
        image = self._image(name)
        row = self._transaction.tag(image.id, tag)
        if row is None:
            raise TargetMissing("tag", f"{name}:{tag}")
        self.ledger.listed.touch_tag(image.id, name.path, tag)
        self.ledger.listed.touch_manifest(image.id, name.path, row.digest)
        self._transaction.delete("tag", keys.tag(image.id, tag))
        self._transaction.delete("tag_by_digest", keys.tag_of(image.id, row.digest, tag))
        self.ledger.refer(image.id, row.digest, -1)
        self.ledger.put_image(name.path, image._replace(tags=image.tags - 1))

    # --- places and opaque rows ---

    @apply.register
    def _create_storage(self, change: CreateStorage) -> None:
        if self._transaction.storage(change.name) is None:
            row = Storage(created_at=self._now)
            self._transaction.put("storage", change.name.encode(), row.encode())

    @apply.register
    def _delete_storage(self, change: DeleteStorage) -> None:
        if not self._transaction.delete("storage", change.name.encode()):
            raise TargetMissing("storage", change.name)

    @apply.register
    def _put_repository(self, change: PutRepository) -> None:
        put_repository(self._transaction, change.name, change.record, self._now)

    @apply.register
    def _delete_repository(self, change: DeleteRepository) -> None:
        delete_repository(self._transaction, change.name)

    @apply.register
    def _put_record(self, change: PutRecord) -> None:
        if change.table not in keys.RECORD_TABLES:
            raise TargetMissing("table", change.table)
        if change.value is None:
            self._transaction.delete(change.table, change.key)
        else:
            self._transaction.put(change.table, change.key, change.value)

    @apply.register
    def _mark_damaged(self, change: MarkDamaged) -> None:
        mark_chunk(self._transaction, Place(change.pack, change.offset), self._now, change.why)

    @apply.register
    def _note(self, change: Note) -> None:
        note(self._transaction, change)

    @apply.register
    def _touch_row(self, change: Touch) -> None:
        touch_row(self._transaction, change)

    # --- images ---

    def _image(self, name: ImageName) -> Image:
        repository = self._transaction.repository(name.repository)
        image = None if repository is None else self.ledger.image(repository.id, name.path)
        if image is None:
            raise TargetMissing("image", str(name))
        return image

    def _linked_image(self, name: ImageName, digest: bytes) -> Image:
        image = self._image(name)
        if self.ledger.link(image.id, digest) is None:
            raise TargetMissing("link", f"to {digest.hex()} in {name}")
        return image

    def _image_or_new(self, name: ImageName) -> Image:
        repository = self._transaction.repository(name.repository)
        if repository is None:
            raise TargetMissing("repository", name.repository)
        image = self.ledger.image(repository.id, name.path)
        if image is None:
            number = self._transaction.take_number(keys.META_IMAGE, 4)
            image = Image(keys.u32(repository.id) + keys.u32(number), 0, 0, 0)
        return image
