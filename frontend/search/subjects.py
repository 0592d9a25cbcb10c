"""What a snapshot says of names, tags and digests, as the terms of a query want it."""

from collections.abc import Iterator, Sequence

import msgspec

from cas.verbs import View
from frontend.domain.artifacts import texts_of
from frontend.domain.search import Query, Subject
from index import keys
from index.changes import ImageName
from index.records import Image, Manifest, Repository


class Subjects:
    """Look-ups in the repositories that somebody may pull; nothing is known of others."""

    def __init__(self, view: View, repositories: Sequence[tuple[str, Repository]]) -> None:
        self._view = view
        self._names = {keys.u32(record.id): name for name, record in repositories}
        self._ids = {name: id_ for id_, name in self._names.items()}
        self._last: tuple[str, str, Image | None] = ("", "", None)

    @property
    def ids(self) -> list[bytes]:
        """The repositories' R, sorted."""
        return sorted(self._names)

    def name_of(self, image: bytes) -> ImageName | None:
        """The name of an image by its I; None: it is in no such repository."""
        repository = self._names.get(image[:4])
        path = None if repository is None else self._view.get("image_by_id", image)
        return None if repository is None or path is None else ImageName(repository, path.decode())

    def image(self, repository: str, path: str) -> Image | None:
        """An image's row."""
        if self._last[:2] != (repository, path):
            value = self._view.get("image", keys.image(self._ids[repository], path))
            self._last = (repository, path, None if value is None else Image.decode(value))
        return self._last[2]

    def tag(self, repository: str, path: str, tag: str) -> Subject | None:
        """A tag of an image."""
        image = self.image(repository, path)
        row = None if image is None else self._view.tag(image.id, tag)
        if image is None or row is None:
            return None
        record = self._view.manifest(image.id, row.digest)
        return _subject(ImageName(repository, path), tag, row.digest, record)

    def manifest(self, repository: str, path: str, digest: bytes) -> Subject | None:
        """A manifest of an image, whatever its tags."""
        image = self.image(repository, path)
        record = None if image is None else self._view.manifest(image.id, digest)
        name = ImageName(repository, path)
        return None if record is None else _subject(name, "", digest, record)

    def iter_packages(self, name: ImageName, image: bytes, digest: bytes) -> Iterator[Subject]:
        """The tags of a manifest, or the manifest if it has none; nothing, if it is no manifest."""
        record = self._view.manifest(image, digest)
        if record is None:
            return
        is_tagged = False
        for tag in self._view.iter_tags_of(image, digest):
            is_tagged = True
            yield _subject(name, tag, digest, record)
        if not is_tagged:
            yield _subject(name, "", digest, record)


class Types:
    """What a query wants of types, asked of rows of `manifest`; each pair of types once."""

    def __init__(self, query: Query) -> None:
        self._terms = [term for term in query.terms if term.field == "type"]
        self._texts = [[text.encode() for text in texts_of(term.text)] for term in self._terms]
        self._known: dict[tuple[str, str], bool] = {}

    def admitted(self, rows: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        """Keys of the rows (key, value) whose types fit, as far as tags have no say."""
        for texts in self._texts:
            joined = b"".join([value for _, value in rows]).lower()
            if not any(map(joined.__contains__, texts)):
                return []
            rows = [row for row in rows if any(map(row[1].lower().__contains__, texts))]
        return [key for key, value in rows if self._admits(value)]

    def _admits(self, value: bytes) -> bool:
        row = _DECODER.decode(value)
        types = (row.media_type, row.artifact_type)
        if types not in self._known:
            subject = Subject("", "", media_type=row.media_type, artifact_type=row.artifact_type)
            self._known[types] = all(term.holds_itself(subject) for term in self._terms)
        return self._known[types]


class _Typed(msgspec.Struct, frozen=True):
    """The part of a manifest's row that says what it is."""

    media_type: str
    artifact_type: str = ""


_DECODER = msgspec.msgpack.Decoder(_Typed)


def _subject(name: ImageName, tag: str, digest: bytes, record: Manifest | None) -> Subject:
    types = ("", "") if record is None else (record.media_type, record.artifact_type)
    return Subject(name.repository, name.path, tag, digest, *types)
