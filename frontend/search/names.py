"""What is looked for in names, as bytes: a sieve for keys of images, and for blocks of packages.

A block of `index.names` is text: `path LF tag LF tag … NUL path LF tag …`. Most hold nothing that
is looked for, which one pass over their bytes tells; only those that may are taken apart.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from frontend.domain.search import Query, Term
from index import blocks
from index.records import Image

_GROUP: Final = b"\0"
_LINE: Final = b"\n"
UNTAGGED: Final = b"~"


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines of one image that may be results; of manifests too, when a type is asked for."""

    path: str
    lines: Sequence[bytes]
    is_image: bool  # the image is a result, too


@dataclass(frozen=True, slots=True)
class _Text:
    """A term as bytes."""

    text: bytes
    is_of_path: bool  # it may hold by the path
    is_of_name: bool  # and by the repository's name with it
    is_of_tag: bool


class Sieve:
    """What the terms of a query ask of the names of one repository."""

    def __init__(self, query: Query, repository: str, *, wants_images: bool = True) -> None:
        self._prefix = f"{repository}/".encode()
        self._texts = [_text(term) for term in query.terms if term.field in ("", "image", "tag")]
        self._needles = [
            needles for text in self._texts if (needles := self._needles_of(text)) is not None
        ]
        self._owned = tuple(text.text for text in self._texts if text.is_of_tag)
        self.lists_images = wants_images and query.lists_images
        self.takes_all_lines = query.has_types  # a type is as good as a name
        self.lists_lines = self.takes_all_lines or bool(self._owned)
        if not (self._needles or self.lists_images or self.takes_all_lines):
            self._needles = [self._owned]  # the repository's name is enough, but lists no tags

    def may_hold(self, folded: bytes) -> bool:
        """Whether a block's text, in lower case, may have a result; never a false no."""
        return all(
            needles[0] in folded if len(needles) == 1 else any(map(folded.__contains__, needles))
            for needles in self._needles
        )

    def images_of(self, rows: Sequence[tuple[bytes, bytes]], skip: int) -> list[str]:
        """The paths whose names are enough, of rows of `image`; `skip`: what precedes a path.

        An image without a manifest is none yet: its first push is under way.
        """
        paths = [key[skip:] for key, _ in rows]
        if not self._sift([_LINE.join(paths)]):
            return []
        return [
            paths[at].decode()
            for at in self._sift(paths)
            if not self._missing(paths[at]) and Image.decode(rows[at][1]).manifests
        ]

    def iter_lines(self, folded: bytes, text: bytes) -> Iterator[Lines]:
        """What the block may have of results, by image; `text` is as it is stored."""
        parts = folded.split(_GROUP)
        originals = parts if folded is text else text.split(_GROUP)
        for at in self._sift(parts):
            path, _, rest = parts[at].partition(_LINE)
            missing = self._missing(path)
            is_image = self.lists_images and not missing
            lines: Sequence[bytes] = ()
            if all(each.is_of_tag and each.text in rest for each in missing):
                wanted = [each.text for each in missing]
                lines = self._lines(rest, originals[at][len(path) + 1 :], wanted)
            if lines or is_image:
                yield Lines(path.decode(), lines, is_image)

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

    def _lines(self, folded: bytes, text: bytes, wanted: list[bytes]) -> list[bytes]:
        """Lines that have all that is wanted; if nothing is, any text of a tag."""
        lines = text.split(_LINE)
        if not wanted and self.takes_all_lines:
            return lines
        if not wanted and not any(map(folded.__contains__, self._owned)):
            return []
        pairs = zip(folded.split(_LINE), lines, strict=True)
        if len(wanted) == 1:
            (only,) = wanted
            found = [line for low, line in pairs if only in low]
        elif wanted:
            found = [line for low, line in pairs if all(map(low.__contains__, wanted))]
        else:
            found = [line for low, line in pairs if any(map(low.__contains__, self._owned))]
        return [line for line in found if line[:1] != UNTAGGED]

    def _missing(self, path: bytes) -> list[_Text]:
        """Terms that do not hold by the image's name."""
        return [
            each
            for each in self._texts
            if not (each.is_of_path and each.text in path)
            and not (each.is_of_name and each.text in self._prefix + path)
        ]

    def _needles_of(self, text: _Text) -> tuple[bytes, ...] | None:
        """Texts of which a block must have one; None: the repository's name is enough."""
        if not text.is_of_name:
            return (text.text,)
        if text.text in self._prefix:
            return None
        parts = text.text.split(b"/")
        ends = [b"/".join(parts[:count]) + b"/" for count in range(1, len(parts))]
        return (
            text.text,
            *(text.text[len(end) :] for end in ends if self._prefix.endswith(end)),
        )


def fold(block: bytes) -> tuple[bytes, bytes]:
    """A block's text in lower case, and as it is; few blocks have upper-case letters."""
    text = block[1:]
    return (text if block[:1] == blocks.LOWER else text.lower()), text


def _text(term: Term) -> _Text:
    return _Text(
        text=term.text.encode(),
        is_of_path=term.field in ("", "image"),
        is_of_name=not term.field,
        is_of_tag=term.field in ("", "tag"),
    )
