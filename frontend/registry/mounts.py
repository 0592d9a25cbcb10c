"""Mounting: an image gets a blob that another one has, when the caller may pull it there.

Every refusal is the same: no mount, and the client uploads. So nothing can be learnt of images that
the caller may not pull, and what is damaged comes again.
"""

from functools import partial
from itertools import islice
from typing import Final

from cas.digest import Digest
from cas.verbs import View
from frontend.access.standing import expect, find_place
from frontend.domain.faults import FrontendFault
from frontend.domain.message import Evidence, Principal
from frontend.domain.names import parse_name
from frontend.domain.rights import may
from frontend.registry.call import Call
from index.changes import ImageName, Link
from index.damage import is_hurt
from index.errors import ExpectationsFailed, TargetMissing
from index.expectations import Linked, RepositoryRevision
from index.records import Repository

MAX_CANDIDATES: Final = 100  # images looked at for a mount that names none

Source = tuple[ImageName, Repository, tuple[Evidence, ...]]  # and the row of the caller's role


async def mount(call: Call, image: ImageName, digest: Digest, source: str | None) -> bool:
    """Link `digest` in `image` if `source`, or any image when None, allows it.

    Raises:
        QuotaExceeded: it does not fit, so it would not after an upload either.
    """
    found = call.store.read(partial(_find, call.request.principal, digest, source))
    if found is None:
        return False
    name, record, evidence = found
    lease = call.registry.settings.gc.lease_seconds
    expectations = (
        Linked(name, digest.key),
        RepositoryRevision(name.repository, record.revision),
        *expect(evidence),
    )
    try:
        await call.commit("push", image, [Link(image, digest.key, lease)], expectations)
    except (ExpectationsFailed, TargetMissing):
        return False  # it was there a moment ago
    return True


def _find(principal: Principal, digest: Digest, source: str | None, view: View) -> Source | None:
    """An image that links the digest and that the principal may pull."""
    if source is not None:
        return _allowed(principal, digest, _parse(source), view)
    for image in islice(view.iter_images_linking(digest.key), MAX_CANDIDATES):
        found = _allowed(principal, digest, view.image_name(image), view)
        if found is not None:
            return found
    return None


def _allowed(
    principal: Principal, digest: Digest, name: ImageName | None, view: View
) -> Source | None:
    if name is None:
        return None
    place = find_place(view, principal, name.repository)
    image = view.image(name)
    if place.record is None or image is None or not may(principal, "pull", name, place):
        return None
    found = None if view.link(image.id, digest.key) is None else view.object(digest.key)
    if found is None or is_hurt(view, found):
        return None
    return name, place.record, place.evidence


def _parse(source: str) -> ImageName | None:
    try:
        return parse_name(source)
    except FrontendFault:
        return None
