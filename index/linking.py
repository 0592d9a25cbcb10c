"""Which repositories and images may serve a digest: asked by repository, whatever each holds."""

from collections.abc import Iterator

from index import keys
from index.view import View


def iter_repositories_linking(view: View, digest: bytes) -> Iterator[int]:
    """Ids of the repositories that may serve `digest`; a cursor step each, not one an image."""
    start = digest
    while True:
        key = next(view.scan_keys("link_by_digest", digest, start), None)
        if key is None:
            return
        repository = keys.number(key[len(digest) : len(digest) + 4])
        yield repository
        start = digest + keys.u32(repository) + b"\xff" * 5  # beyond its last image


def iter_images_linking(view: View, repository: int, digest: bytes) -> Iterator[bytes]:
    """Ids of the images of one repository that may serve `digest`."""
    prefix = digest + keys.u32(repository)
    for key in view.scan_keys("link_by_digest", prefix, prefix):
        yield key[len(digest) :]
