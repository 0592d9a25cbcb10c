"""One search on one snapshot: which ways it goes, and what it answers.

| a query with | goes |
|---|---|
| `digest:` | by that digest, and asks the other terms of what it finds |
| a word, `tag:` or `image:` | over names: keys of images, and blocks of packages |
| a word that may be a digest | by it too |
| `type:` and no word | over the manifests' rows |

Only repositories that the caller may pull are looked into, and only their names order, bound or end
anything: what others have can not show.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from cas.verbs import View
from frontend.domain.artifacts import tag_ending
from frontend.domain.search import MIN_BLOB_HEX, Query, Subject, Term
from frontend.search.hits import Hit, Hits, Kind
from frontend.search.names import UNTAGGED, Lines, Sieve, Texts, fold
from frontend.search.pace import Pace
from frontend.search.subjects import Subjects, Types
from index import keys, names
from index.links import iter_links
from index.records import Image, Repository

_ROWS: Final = 512  # rows between two looks at the clock, about 100 µs


@dataclass(frozen=True, slots=True)
class Reach:
    """Where a caller may look: names and rows in the order of names; `is_all`: everywhere."""

    repositories: tuple[tuple[str, Repository], ...]
    is_all: bool = False

    @classmethod
    def of(
        cls, query: Query, visible: Iterable[tuple[str, Repository]], *, is_all: bool
    ) -> "Reach":
        """The repositories that the caller may pull and the query admits."""
        admitted = tuple(each for each in visible if query.admits(each[0]))
        return cls(admitted, is_all and not query.narrows)


class Search:
    """One query over what one caller may pull."""

    def __init__(self, view: View, query: Query, reach: Reach, pace: Pace) -> None:
        self._view = view
        self._query = query
        self._reach = reach
        self._pace = pace
        self.subjects = Subjects(view, reach.repositories)
        self._types, self._has_types = Types(query), query.has_types
        self._whole_paths, self._whole_tags = query.whole_paths, query.whole_tags
        self.hits = Hits()

    def run(self) -> Hits:
        """Find all.

        Raises:
            SearchTooBroad: it takes too long.
        """
        digest = self._query.required_digest
        if digest is not None:
            self._by_digest(digest)
        elif self._query.has_words:
            self._by_name(self._query)
            for term in self._query.possible_digests:
                self._by_digest(term)
        elif self._query.has_types:
            self._by_type()
        else:
            self._by_name(self._query)
        return self.hits

    # --- names ---

    def _by_name(self, query: Query) -> None:
        texts = Texts.of(query)
        for name, record in self._reach.repositories:
            sieve = Sieve(texts, name, wants_images=not self.hits.has_more_images)
            has_lines = sieve.lists_lines and not self.hits.has_more_others
            if has_lines:
                self._blocks(name, record, sieve)
            if self.hits.has_more_others or not has_lines:
                self._images(name, record, sieve)
            self._pace.step()

    def _blocks(self, name: str, record: Repository, sieve: Sieve) -> None:
        """Tags and images by the blocks of packages."""
        for block in names.iter_blocks(self._view, record.id):
            folded, text = fold(block)
            if sieve.may_hold(folded):
                for lines in sieve.iter_lines(folded, text):
                    self._add_lines(name, lines)
                if self.hits.has_more_others:
                    return
            self._pace.step()

    def _images(self, name: str, record: Repository, sieve: Sieve) -> None:
        """Images by their rows: there are fewer than of packages."""
        left = self._view.usage(record.id).images if sieve.lists_images else 0
        prefix = keys.u32(record.id)
        with self._view.walk("image") as walk:
            walk.seek(prefix)
            while left > 0 and not self.hits.has_more_images:
                some = walk.keys(min(left, _ROWS))
                left = left - len(some) if some else 0
                if some and not some[-1].startswith(prefix):  # the count is wrong
                    some = [key for key in some if key.startswith(prefix)]
                for key in sieve.keys_of(some, len(prefix)):
                    row = self._view.get("image", key)
                    if row is not None and Image.decode(row).manifests:  # or it is being pushed
                        self._add_image(name, key[len(prefix) :].decode())
                self._pace.step()

    def _add_image(self, name: str, path: str) -> None:
        is_part = self._whole_paths.isdisjoint((path, path.rpartition("/")[2]))
        self.hits.add(Hit(Kind.IMAGE, is_part, name, path))

    def _add_lines(self, name: str, lines: Lines) -> None:
        if lines.is_image:
            self._add_image(name, lines.path)
        if self._has_types:
            for line in lines.lines:
                self._add_typed(name, lines.path, line)
                self._pace.step()
            return
        if lines.lines:
            tags = [line.decode() for line in lines.lines]
            whole = self._whole_tags
            self.hits.add(
                *(Hit(Kind.TAG, tag.lower() not in whole, name, lines.path, tag) for tag in tags)
            )

    def _add_typed(self, name: str, path: str, line: bytes) -> None:
        if line.startswith(UNTAGGED):
            subject = self.subjects.manifest(name, path, names.from_letters(line[1:]))
        else:
            subject = self.subjects.tag(name, path, line.decode())
        if subject is not None and self._query.lists(subject):
            self._add(subject)

    # --- digests ---

    def _by_digest(self, term: Term) -> None:
        prefix = term.prefix
        if prefix is None or not self._reach.repositories:
            return
        allowed = None if self._reach.is_all else self.subjects.ids
        has_blobs = len(prefix.hex) >= MIN_BLOB_HEX
        for digest, image in iter_links(self._view, prefix.ranges(), allowed, self._pace.step):
            if self.hits.has_more_others:
                return
            self._add_all(image, digest, has_blobs=has_blobs)
            self._pace.step()

    def _subjects_under(self, image: bytes, digest: bytes, *, has_blobs: bool) -> Iterator[Subject]:
        name = self.subjects.name_of(image)
        if name is None:
            return
        packages = self.subjects.iter_packages(name, image, digest)
        first = next(packages, None)
        if first is not None:
            yield first
            yield from packages
        elif has_blobs:
            yield Subject(name.repository, name.path, digest=digest)

    # --- types ---

    def _by_type(self) -> None:
        for ending in {tag_ending(term.text) for term in self._query.terms} - {""}:
            self._by_name(Query((*self._query.terms, Term("tag", ending))))
        for _, record in self._reach.repositories:
            self._manifests(record)
            if self.hits.has_more_others:
                return

    def _manifests(self, record: Repository) -> None:
        left = self._view.usage(record.id).manifests
        with self._view.walk("manifest") as walk:
            walk.seek(keys.u32(record.id))
            while left > 0 and not self.hits.has_more_others:
                some = walk.items(min(left, _ROWS))
                if not some:
                    return
                left -= len(some)
                for key in self._types.admitted(some):
                    self._add_all(key[: keys.IMAGE_SIZE], key[keys.IMAGE_SIZE :])
                self._pace.step()

    # --- what is kept ---

    def _add_all(self, image: bytes, digest: bytes, *, has_blobs: bool = False) -> None:
        for subject in self._subjects_under(image, digest, has_blobs=has_blobs):
            if self._query.lists(subject):
                self._add(subject)

    def _add(self, subject: Subject) -> None:
        where = (subject.repository, subject.path)
        if subject.tag:
            is_part = subject.tag.lower() not in self._whole_tags
            self.hits.add(Hit(Kind.TAG, is_part, *where, subject.tag))
        else:
            kind = Kind.MANIFEST if subject.media_type else Kind.BLOB
            self.hits.add(Hit(kind, True, *where, digest=subject.digest))
