"""Whether something else needs a digest of a package, as far as somebody may know.

What counts: another manifest of the same image, another image of the repository, and images of
other repositories that he may pull. Of what he may not see nobody tells him by a size.
"""

from collections.abc import Collection
from itertools import islice
from typing import Final

from frontend.access.standing import may
from frontend.domain.message import Principal
from index.keys import number
from index.linking import iter_images_linking, iter_repositories_linking
from index.view import View

MOST: Final = 2000  # rows that are looked at for one package; popular layers are found at once


class Sharing:
    """Asks about the digests of one package: the `manifests` (keys D) of the image I."""

    def __init__(
        self, view: View, principal: Principal, image: bytes, manifests: Collection[bytes]
    ) -> None:
        self._view = view
        self._principal = principal
        self._image = image
        self._manifests = manifests
        self._visible: dict[int, bool] = {}  # by the number of a repository
        self._left = MOST

    @property
    def is_cut(self) -> bool:
        """Whether it looked no further: then more may be shared than it said."""
        return self._left <= 0

    def is_shared(self, digest: bytes) -> bool:
        """Whether anything else that he may know of has it."""
        if self.is_cut:
            return False
        return self._is_needed_here(digest) or self._is_elsewhere(digest)

    def _is_needed_here(self, digest: bytes) -> bool:
        for parent in islice(self._view.iter_parents(self._image, digest), max(self._left, 0)):
            self._left -= 1
            if parent not in self._manifests:
                return True
        return False

    def _is_elsewhere(self, digest: bytes) -> bool:
        own = number(self._image[:4])
        if len(list(islice(iter_images_linking(self._view, own, digest), 2))) > 1:
            return True
        for repository in iter_repositories_linking(self._view, digest):
            if self._left <= 0:
                return False
            self._left -= 1
            if repository != own and self._may_see(repository):
                return True
        return False

    def _may_see(self, repository: int) -> bool:
        if repository not in self._visible:
            name = self._view.repository_name(repository)
            record = None if name is None else self._view.repository(name)
            is_visible = name is not None and may(self._view, self._principal, "pull", name, record)
            self._visible[repository] = is_visible
        return self._visible[repository]
