"""A repository's rules where they are met: what a failed one means, and whether bytes have room.

The commit decides (`domain.tag_rules`). Here bytes that cannot fit are refused before they are
taken: at once where their number is known, as they come where it is not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from cas.digest import Digest
from cas.verbs import Store, View
from frontend.domain.faults import FrontendFault, NameUnknown
from frontend.domain.rule_faults import QuotaExceeded, TagImmutable
from frontend.domain.tag_rules import is_rule, rule_of
from index.changes import Link, PutObject
from index.expectations import Expectation, NoTagLike, TagKept, WithinQuota
from index.repositories import is_linked_in


@dataclass(frozen=True, slots=True)
class Room:
    """How much a repository may still take. `digest` is what comes, when it is known."""

    store: Store
    repository: str
    quota: int  # 0: no limit
    digest: Digest | None = None

    def check(self, size: int) -> None:
        """Refuse a blob of `size` bytes, or one of which so many came, that cannot fit.

        One that the repository links already takes no room; without its digest nobody can know.

        Raises:
            QuotaExceeded
        """
        if self.quota:
            fault = self.store.read(partial(_over, room=self, size=size))
            if fault is not None:
                raise fault


def _over(view: View, room: Room, size: int) -> QuotaExceeded | None:
    record = view.repository(room.repository)
    if record is None or not record.quota_bytes:
        return None
    used = view.usage(record.id).linked
    if used + size <= record.quota_bytes:
        return None
    if room.digest is not None and is_linked_in(view, record.id, room.digest.key):
        return None
    return QuotaExceeded(room.repository, record.quota_bytes, used, size)


def fault_of(
    view: View, failed: Sequence[Expectation], changes: Sequence[object] = (), size: int = 0
) -> FrontendFault:
    """What it means that rules did not hold for `changes`; `size` is of the upload they adopt."""
    match next(filter(is_rule, failed)):
        case TagKept(image, tag):
            return TagImmutable(image, tag, _pattern(view, image.repository, tag))
        case NoTagLike(image, digest, patterns):
            row = view.image(image)
            tags = () if row is None else view.iter_tags_of(row.id, digest)
            ruled = ((tag, rule_of(patterns, tag)) for tag in tags)
            tag, pattern = next(((t, p) for t, p in ruled if p is not None), ("", ""))
            return TagImmutable(image, tag, pattern or "")
        case WithinQuota(name):
            record = view.repository(name)
            if record is None:
                return NameUnknown(f"{name}/")
            used = view.usage(record.id).linked
            needed = _needed(view, record.id, changes, size)
            return QuotaExceeded(name, record.quota_bytes, used, needed)
        case other:
            raise TypeError(other)


def _pattern(view: View, repository: str, tag: str) -> str:
    record = view.repository(repository)
    return (rule_of(record.immutable_tags, tag) if record is not None else None) or ""


def _needed(view: View, repository: int, changes: Sequence[object], size: int) -> int:
    """Bytes that the changes would have added. Of what is not brought, the caller may pull it."""
    sizes = {each.digest: len(each.content) for each in changes if isinstance(each, PutObject)}
    total = 0
    for digest in {each.digest for each in changes if isinstance(each, Link)}:
        if not is_linked_in(view, repository, digest):
            row = view.object(digest)
            total += sizes.get(digest) or size or (0 if row is None else row.size)
    return total
