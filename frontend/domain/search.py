"""What a search asks for: text in, terms out, and whether a term holds of what was found.

    q     = terms with blanks between; every one of them has to hold
    term  = [field ":"] text | [field ":"] '"' any characters but quotes '"'
    field = repository | storage | image | tag | digest | type

Case does not matter. A term without a field is looked for in `storage/repository/path` and in tags,
and, when it is of 6 hexadecimal digits or more, also as the beginning of a digest. `sha256:…` and
`sha512:…` are digests. References are taken as clients print them: `host:port/` is left out, and
`path:tag` (with a slash in the path) and `path@digest` are two terms each.
"""

import difflib
import re
from dataclasses import dataclass
from typing import Final

from frontend.domain.artifacts import is_of_type
from frontend.domain.search_faults import SearchInvalid

FIELDS: Final = ("repository", "storage", "image", "tag", "digest", "type")  # 3 are of names
MAX_LENGTH: Final = 300  # characters: a name of 255 and a field
MAX_TERMS: Final = 8
MIN_HEX: Final = 6  # digits of a digest: 24 bits single out one of millions
MIN_BLOB_HEX: Final = 12  # digits that blobs are looked for with: they are many, and have no names

_TERM: Final = re.compile(
    r'(?:(?P<field>[A-Za-z0-9]+):)?(?:"(?P<quoted>[^"]*)"|(?P<plain>[^\s"]+))'
)
_HOST: Final = re.compile(r"[^\s/\"]+:[0-9]{1,5}/")  # of a reference, as clients print it
_HEX: Final = re.compile(r"[0-9a-f]+")
_CODES: Final = {"sha256": (1, 64), "sha512": (2, 128)}  # the first byte of D, and hex digits


@dataclass(frozen=True, slots=True)
class DigestPrefix:
    """The first hexadecimal digits of a digest, of one algorithm or of any."""

    hex: str  # lower case; an odd number of digits is fine
    algorithm: str = ""

    def ranges(self) -> tuple[tuple[bytes, bytes], ...]:
        """For each algorithm the keys D from (inclusive) and to (beyond the last) that fit."""
        found = []
        for name, (code, digits) in _CODES.items():
            if self.algorithm in ("", name) and len(self.hex) <= digits:
                low = bytes.fromhex(self.hex + "0" * (len(self.hex) % 2))
                high = bytes.fromhex(self.hex + "f" * (len(self.hex) % 2))
                found.append((bytes((code,)) + low, bytes((code,)) + high + b"\xff" * 65))
        return tuple(found)

    def fits(self, digest: bytes) -> bool:
        """Whether D begins so."""
        return any(low <= digest <= high for low, high in self.ranges())


@dataclass(frozen=True, slots=True)
class Subject:
    """What a term is asked about: an image; with a digest, a package or a blob of it."""

    repository: str  # `storage/repository`
    path: str
    tag: str = ""
    digest: bytes = b""
    media_type: str = ""
    artifact_type: str = ""


@dataclass(frozen=True, slots=True)
class Term:
    """One thing that has to hold. `text` is in lower case; `prefix` when it may be a digest."""

    field: str  # one of FIELDS, or empty
    text: str
    prefix: DigestPrefix | None = None

    def holds(self, subject: Subject) -> bool:
        """Whether it does, by whatever."""
        return self.holds_itself(subject) or self.holds_of_image(subject.repository, subject.path)

    def holds_of_image(self, repository: str, path: str) -> bool:
        """Whether the image's name is enough for it."""
        match self.field:
            case "":
                return self.text in f"{repository}/{path}"
            case "image":
                return self.text in path
            case "repository" | "storage":
                return self.admits(repository)
            case _:
                return False

    def holds_itself(self, subject: Subject) -> bool:
        """Whether it holds by what is not the image's: tag, digest or type."""
        match self.field:
            case "" | "tag" | "digest":
                return self._is_in_tag(subject.tag) or self._begins(subject.digest)
            case "type":
                types = (subject.media_type, subject.artifact_type)
                return bool(subject.media_type) and is_of_type(self.text, *types, subject.tag)
            case _:
                return False

    def admits(self, repository: str) -> bool:
        """Whether anything in this repository can fit, as far as its name says."""
        match self.field:
            case "repository":
                return self.text in repository
            case "storage":
                return self.text in repository.partition("/")[0]
            case _:
                return True

    def _is_in_tag(self, tag: str) -> bool:
        return self.field != "digest" and bool(tag) and self.text in tag.lower()

    def _begins(self, digest: bytes) -> bool:
        return self.prefix is not None and bool(digest) and self.prefix.fits(digest)


@dataclass(frozen=True, slots=True)
class Query:
    """Terms that have to hold together; there is at least one."""

    terms: tuple[Term, ...]

    def admits(self, repository: str) -> bool:
        """Whether anything in this repository can fit, as far as its name says."""
        return all(term.admits(repository) for term in self.terms)

    def lists(self, subject: Subject) -> bool:
        """Whether a tag, a manifest or a blob is a result.

        All terms hold of it, and at least one by something of its own: the tags of an image whose
        name is enough are not listed beside it.
        """
        is_own = False
        for term in self.terms:
            if term.holds_itself(subject):
                is_own = True
            elif not term.holds_of_image(subject.repository, subject.path):
                return False
        return is_own

    @property
    def whole_paths(self) -> frozenset[str]:
        """Paths, or last components of paths, of which a term is all."""
        return frozenset(term.text for term in self.terms if term.field in ("", "image"))

    @property
    def whole_tags(self) -> frozenset[str]:
        """Tags, in lower case, of which a term is all."""
        return frozenset(term.text for term in self.terms if term.field in ("", "tag"))

    @property
    def required_digest(self) -> Term | None:
        """The longest digest that every result has to have."""
        found = [term for term in self.terms if term.field == "digest"]
        return max(found, key=lambda term: len(term.text), default=None)

    @property
    def possible_digests(self) -> tuple[Term, ...]:
        """Terms without a field that may be digests."""
        return tuple(term for term in self.terms if not term.field and term.prefix is not None)

    @property
    def has_types(self) -> bool:
        """Whether results need a media type."""
        return any(term.field == "type" for term in self.terms)

    @property
    def has_words(self) -> bool:
        """Whether names are looked into."""
        return any(term.field in ("", "image", "tag") for term in self.terms)

    @property
    def lists_images(self) -> bool:
        """Whether an image's name can be enough."""
        return all(term.field in ("", *FIELDS[:3]) for term in self.terms)

    @property
    def narrows(self) -> bool:
        """Whether there are repositories that nothing can be in."""
        return any(term.field in ("repository", "storage") for term in self.terms)


def parse_query(text: str) -> Query:
    """Read what somebody typed.

    Raises:
        SearchInvalid: says what is wrong, and for an unknown field which is the nearest.
    """
    if len(text) > MAX_LENGTH:
        raise SearchInvalid(f"it is longer than {MAX_LENGTH} characters")
    terms: list[Term] = []
    position = 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        match = _TERM.match(text, position)
        if match is None:
            raise SearchInvalid("a quote is not closed, or nothing follows a field")
        terms.extend(_terms_of(match))
        position = match.end()
    if not terms:
        raise SearchInvalid("it asks for nothing: give a part of a path, of a tag, or a digest")
    if len(terms) > MAX_TERMS:
        raise SearchInvalid(f"it has more than {MAX_TERMS} terms")
    return Query(tuple(terms))


def _terms_of(match: "re.Match[str]") -> list[Term]:
    name, quoted, plain = (match["field"] or "").lower(), match["quoted"], match["plain"]
    text = (plain if quoted is None else quoted).lower()
    if not text:
        raise SearchInvalid("there is nothing between two quotes")
    if name in _CODES:
        return [_digest_term(text, name)]
    if name in FIELDS or (name and _HOST.match(match[0]) is None):
        return [_field_term(name, text)]
    if quoted is not None:
        return [Term("", text)]
    return _plain_terms(_HOST.sub("", match[0].lower()))


def _plain_terms(text: str) -> list[Term]:
    """A term without a field; a reference as clients print it is taken apart."""
    if not text or text.endswith(":"):
        raise SearchInvalid(f"nothing follows {text or 'a host'!r}")
    before, at, digest = text.partition("@")
    if at and before and digest:
        return [*_plain_terms(before), _field_term("digest", digest)]
    path, colon, tag = text.rpartition(":")
    if colon and "/" in path and tag and "/" not in tag:
        return [Term("", path), Term("tag", tag)]
    is_hex = len(text) >= MIN_HEX and _HEX.fullmatch(text) is not None
    return [Term("", text, DigestPrefix(text) if is_hex else None)]


def _field_term(name: str, text: str) -> Term:
    if name == "digest":
        algorithm, colon, digits = text.rpartition(":")
        if colon and algorithm not in _CODES:
            raise SearchInvalid(f"a digest is sha256:… or sha512:…, not {algorithm!r}")
        return _digest_term(digits, algorithm)
    if name not in FIELDS:
        raise SearchInvalid(_unknown(name))
    return Term(name, text)


def _digest_term(digits: str, algorithm: str) -> Term:
    if _HEX.fullmatch(digits) is None or len(digits) < MIN_HEX:
        raise SearchInvalid(f"a digest is {MIN_HEX} hexadecimal digits or more, not {digits!r}")
    if len(digits) > _CODES.get(algorithm, ("", 128))[1]:
        raise SearchInvalid(f"a digest of {algorithm or 'sha512'} has no {len(digits)} digits")
    return Term("digest", digits, DigestPrefix(digits, algorithm))


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, FIELDS, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}:" if near else f"there are {', '.join(FIELDS)}"
    return f"there is no field {name!r}: {hint}; a tag of an image is image:{name} tag:…"
