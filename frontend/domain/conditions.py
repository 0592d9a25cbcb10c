"""Conditional requests (RFC 9110, 13): entity tags are digests, so they are strong and exact."""

import re
from typing import Final

from cas.digest import Digest
from frontend.domain.faults import PreconditionFailed
from index.changes import ImageName
from index.expectations import TagIs

# One member of a list of entity tags: quoted, weak, or bare as old Docker clients send it.
_MEMBER: Final = re.compile(r'(?P<weak>W/)?"(?P<quoted>[^"]*)"|(?P<bare>[^\s,"]+)')


def etag(digest: Digest) -> str:
    """The entity tag of what `digest` names."""
    return f'"{digest}"'


def is_not_modified(if_none_match: str | None, digest: Digest) -> bool:
    """Whether a client that sent this If-None-Match has the content already."""
    return if_none_match is not None and _is_listed(if_none_match, digest, is_weak_enough=True)


def is_range_current(if_range: str | None, digest: Digest) -> bool:
    """Whether Range applies beside this If-Range; a date or a weak tag never matches."""
    return if_range is None or if_range.strip() == etag(digest)


def tag_expectations(
    if_match: str | None,
    if_none_match: str | None,
    image: ImageName,
    tag: str,
    current: Digest | None,
) -> tuple[TagIs, ...]:
    """What a conditional PUT or DELETE of `tag` expects; `current` is what it points at now.

    Empty without a condition. The conditions are judged on `current`, and the commit holds only
    while the tag still is that.

    Raises:
        PreconditionFailed: a condition does not hold already.
    """
    if if_match is None and if_none_match is None:
        return ()
    is_matched = if_match is None or _is_listed(if_match, current, is_weak_enough=False)
    is_excluded = if_none_match is not None and _is_listed(
        if_none_match, current, is_weak_enough=True
    )
    if not is_matched or is_excluded:
        raise PreconditionFailed(tag, current)
    return (TagIs(image, tag, None if current is None else current.key),)


def _is_listed(header: str, digest: Digest | None, *, is_weak_enough: bool) -> bool:
    """Whether the list names `digest`; `*` names whatever is there."""
    if digest is None:
        return False
    if header.strip() == "*":
        return True
    text = str(digest)
    return any(
        (member["quoted"] or member["bare"]) == text and (is_weak_enough or not member["weak"])
        for member in _MEMBER.finditer(header)
    )
