"""Which images may serve digests that begin in some way, in some repositories only.

What others have linked is never looked at longer than to step over it, and there are two ways:

- by image: for each image of these repositories one seek in `link`. What it costs follows from the
  repositories alone.
- by digest: along `link_by_digest`, from one of the repositories to the next. It costs a few steps
  for each digest that begins so, whoever has it; so it is bounded, and a short one is lengthened to
  FLOOR steps: that somebody else has a digest must not show in the time.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from index import keys
from index.view import View
from index.walk import Walk

MANY_IMAGES: Final = 20_000  # seeks by image: 20 ms
FLOOR: Final = 2048  # steps by digest
MOST: Final = 100_000  # steps by digest; more are others' doing, and by image it has an end
_BREATH: Final = 128  # steps between two calls of `rest`, about 100 µs

Found = tuple[bytes, bytes]  # (D, I)


def iter_links(
    view: View,
    ranges: Sequence[tuple[bytes, bytes]],
    repositories: Sequence[bytes] | None,
    rest: Callable[[], None],
) -> Iterator[Found]:
    """(D, I) of each link whose D is in one of `ranges`, in `repositories`: sorted R; None: all.

    `rest` is called about every 100 µs of work, and may raise.
    """
    if repositories is None:
        for low, high in ranges:
            with view.walk("link_by_digest") as walk:
                yield from _straight(walk, low, high)
        return
    images = sum(view.usage(keys.number(each)).images for each in repositories)
    found: list[Found] | None = None
    if images > MANY_IMAGES:
        found = _skipping(view, ranges, repositories, rest)
    yield from _by_image(view, ranges, repositories, rest) if found is None else found


def _straight(walk: Walk, low: bytes, high: bytes) -> Iterator[Found]:
    key = walk.seek(low)
    while key and key <= high:
        yield keys.split_digest(key)
        key = walk.next()


def _by_image(
    view: View,
    ranges: Sequence[tuple[bytes, bytes]],
    repositories: Sequence[bytes],
    rest: Callable[[], None],
) -> Iterator[Found]:
    until = view.steps + _BREATH
    with view.walk("image_by_id") as images, view.walk("link") as links:
        for repository in repositories:
            image = images.seek(repository)
            while image.startswith(repository):
                for low, high in ranges:
                    last = image + high
                    key = links.seek(image + low)
                    while key and key <= last:
                        yield key[keys.IMAGE_SIZE :], image
                        key = links.next()
                image = images.next()
                if view.steps > until:
                    rest()
                    until = view.steps + _BREATH


def _skipping(
    view: View,
    ranges: Sequence[tuple[bytes, bytes]],
    repositories: Sequence[bytes],
    rest: Callable[[], None],
) -> list[Found] | None:
    """By digest; None: it takes too many steps."""
    found: list[Found] = []
    began = view.steps
    until = began + _BREATH
    allowed = frozenset(repositories)
    with view.walk("link_by_digest") as walk:
        for low, high in ranges:
            key = walk.seek(low)
            while key and key <= high:
                digest, image = keys.split_digest(key)
                repository = image[:4]
                if repository in allowed:
                    found.append((digest, image))
                    key = walk.next()
                else:
                    at = bisect_left(repositories, repository)
                    beyond = repositories[at] if at < len(repositories) else b"\xff" * 9
                    key = walk.seek(digest + beyond)
                if view.steps > until:
                    rest()
                    until = view.steps + _BREATH
                    if view.steps - began > MOST + 2 * len(found):
                        return None
        for _ in range(began + FLOOR - view.steps):
            walk.seek(ranges[0][1])
    return found
