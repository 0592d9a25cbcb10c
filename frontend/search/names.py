"""What is looked for in names, as bytes: a sieve for keys of images, and for blocks of packages.

A block of `index.names` is text: `path LF tag LF tag … NUL path LF tag …`. Most hold nothing that
is looked for, which one pass over their bytes tells; only those that may are taken apart.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from frontend.domain.search import Query
from index import blocks

_GROUP: Final = b"\0"
_LINE: Final = b"\n"
UNTAGGED: Final = b"~"


class Lines(NamedTuple):
    """Lines of one image that may be results; of manifests too, when a type is asked for."""

    path: str
    lines: Sequence[bytes]
    is_image: bool  # the image is a result, too


class Texts(NamedTuple):
    """What the terms of a query ask of names: made once, as there may be many repositories."""

    words: list[bytes]  # of paths, with the repository's name, or of tags
    images: list[bytes]
    tags: list[bytes]
    lists_images: bool
    has_types: bool

    @classmethod
    def of(cls, query: Query) -> "Texts":
        """Those of a query."""
        words, images, tags = (_texts(query, field) for field in ("", "image", "tag"))
        return cls(words, images, tags, query.lists_images, query.has_types)


class Sieve:
    """What the terms of a query ask of the names of one repository."""

    def __init__(self, texts: Texts, repository: str, *, wants_images: bool = True) -> None:
        self._prefix = f"{repository}/".encode()
        self._words, self._images, self._tags, lists_images, has_types = texts
        self._needles = [
            *((text,) for text in (*self._images, *self._tags)),
            *(self._needles_of(word) for word in self._words if word not in self._prefix),
        ]
        self._owned = (*self._words, *self._tags)
        self.lists_images = wants_images and lists_images
        self.takes_all_lines = has_types  # a type is as good as a name
        self.lists_lines = self.takes_all_lines or bool(self._owned)
        if not (self._needles or self.lists_images or self.takes_all_lines):
            self._needles = [self._owned]  # the repository's name is enough, but lists no tags
        alone = [needles[0] for needles in self._needles if len(needles) == 1]
        self._first = max(alone, key=len, default=None)  # what is looked for in a block at first

    def may_hold(self, folded: bytes) -> bool:
        """Whether a block's text, in lower case, may have a result; never a false no."""
        if self._first is not None and self._first not in folded:
            return False  # most blocks: nothing else is looked at
        return not self._needles or bool(self._sift([folded]))

    def keys_of(self, keys: Sequence[bytes], skip: int) -> list[bytes]:
        """The keys of `image` whose paths are enough; `skip`: what precedes a path."""
        if not self._sift([_LINE.join(keys)]):
            return []
        return [keys[at] for at in self._sift(keys) if self._left(keys[at][skip:]) == []]

    def iter_lines(self, folded: bytes, text: bytes) -> Iterator[Lines]:
        """What the block may have of results, by image; `text` is as it is stored."""
        for start, stop in self._iter_parts(folded):
            path, _, rest = folded[start:stop].partition(_LINE)
            left = self._left(path)
            if left is None:
                continue
            is_image = self.lists_images and not left
            lines = self._lines(rest, text[start + len(path) + 1 : stop], left)
            if lines or is_image:
                yield Lines(path.decode(), lines, is_image)

    def _iter_parts(self, folded: bytes) -> Iterator[tuple[int, int]]:
        """Where the parts of the block lie that may have a result, each of one image."""
        first = self._first or b""
        at = folded.find(first)
        while at >= 0:
            start, stop = folded.rfind(_GROUP, 0, at) + 1, folded.find(_GROUP, at)
            if stop < 0:
                stop = len(folded)
            yield start, stop
            at = folded.find(first, stop + 1)

    def _sift(self, texts: Sequence[bytes]) -> Sequence[int]:
        """Which of the texts may have a result."""
        found: Sequence[int] = range(len(texts))
        for needles in self._needles:
            if len(needles) == 1:
                (only,) = needles
                found = [at for at in found if only in texts[at]]
            else:
                found = [at for at in found if any(map(texts[at].__contains__, needles))]
        return found

    def _lines(self, folded: bytes, text: bytes, left: list[bytes]) -> Sequence[bytes]:
        """Lines that have all that is left to hold; if nothing is, any text of a tag."""
        if not left and self.takes_all_lines:
            return text.split(_LINE)
        one_of = self._owned if not left else left[:1]
        if not any(map(folded.__contains__, one_of)):
            return ()
        lows, lines = folded.split(_LINE), text.split(_LINE)
        if len(one_of) == 1:
            (only,) = one_of
            found = [at for at, low in enumerate(lows) if only in low]
        else:
            found = [at for at, low in enumerate(lows) if any(map(low.__contains__, one_of))]
        for more in left[1:]:
            found = [at for at in found if more in lows[at]]
        return [lines[at] for at in found if lines[at][:1] != UNTAGGED]

    def _left(self, path: bytes) -> list[bytes] | None:
        """What the image's name leaves to its tags; None: nothing of this image can be a result."""
        for text in self._images:
            if text not in path:
                return None
        name = self._prefix + path
        return [*self._tags, *(word for word in self._words if word not in name)]

    def _needles_of(self, word: bytes) -> tuple[bytes, ...]:
        """Texts of which a block must have one: a word may begin in the repository's name."""
        parts = word.split(b"/")
        ends = [b"/".join(parts[:count]) + b"/" for count in range(1, len(parts))]
        return (word, *(word[len(end) :] for end in ends if self._prefix.endswith(end)))


def fold(block: bytes) -> tuple[bytes, bytes]:
    """A block's text in lower case, and as it is; few blocks have upper-case letters."""
    text = block[1:]
    return (text if block[:1] == blocks.LOWER else text.lower()), text


def _texts(query: Query, field: str) -> list[bytes]:
    return [term.text.encode() for term in query.terms if term.field == field]
