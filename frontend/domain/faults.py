"""What a request can get wrong; fields, not sentences, and no statuses (see `frontend.errors`).

FrontendFault
├── names       NameInvalid, NameUnknown, ImageUnknown, TagInvalid, RouteUnknown, MethodNotAllowed
├── contents    ManifestInvalid, ManifestUnknown, ManifestBlobUnknown, ImageBlobUnknown, Referenced
├── uploads     BlobUploadInvalid, SizeInvalid, RangeInvalid, BodyTooSlow
├── requests    RangeNotSatisfiable, PaginationNumberInvalid, PreconditionFailed, TooLarge,
│               TooManyTags, RequestInvalid, Unsupported
├── rules       see `frontend.domain.rule_faults`
├── searches    see `frontend.domain.search_faults`
└── access      Unauthorized, Denied, CsrfFailed, TooManyRequests

A message says what was wrong, where, and what to do. It is sent to whoever asked, so it names only
what the request named: a private repository and a missing one read the same.
"""

from dataclasses import dataclass

from cas.digest import Digest
from index.changes import ImageName

_SHOWN = 200  # characters of a stranger's text that are repeated to him
_DAMAGED = "was damaged on this registry's disk: push it again"


class FrontendFault(Exception):
    """Any error that a request is answered with."""

    def entries(self) -> tuple[tuple[str, object], ...]:
        """(message, detail) of each of the answer's `errors`; a detail of None is left out."""
        return ((str(self), None),)


# --- names ---------------------------------------------------------------------------------


@dataclass(eq=False)
class NameInvalid(FrontendFault):
    """The text is no name of the specification's grammar."""

    text: str

    def __str__(self) -> str:
        return (
            f"not a repository name: {self.text[:_SHOWN]!r}: use lower-case letters, digits and "
            "single separators . _ - between them, in parts divided by /, 255 characters at most"
        )


@dataclass(eq=False)
class NameUnknown(FrontendFault):
    """No such repository, or none that the caller may know of: both are worded the same."""

    name: str

    def __str__(self) -> str:
        parts = self.name.split("/")
        if len(parts) < 3:
            return (
                f"a name here is storage/repository/image, and {self.name[:_SHOWN]!r} has fewer "
                f"than three parts: try local/images/{parts[-1][:_SHOWN]}"
            )
        repository = "/".join(parts[:2])[:_SHOWN]
        return (
            f"no repository {repository} that you may use: create it with "
            f"`orlop repository create {repository}`, or ask its owner for access"
        )


@dataclass(eq=False)
class ImageUnknown(FrontendFault):
    """The repository is there and may be read, but nothing was pushed under this name."""

    image: ImageName

    def __str__(self) -> str:
        return f"repository {self.image.repository} holds no image {self.image.path}"


@dataclass(eq=False)
class TagInvalid(FrontendFault):
    """The text is neither a tag nor a digest."""

    text: str

    def __str__(self) -> str:
        return (
            f"not a tag: {self.text[:_SHOWN]!r}: use letters, digits and . _ -, beginning with "
            "none of . and -, 128 characters at most"
        )


@dataclass(eq=False)
class RouteUnknown(FrontendFault):
    """The path is not one of the API."""

    path: str

    def __str__(self) -> str:
        return f"the registry API has no path {self.path[:_SHOWN]!r}"


@dataclass(eq=False)
class MethodNotAllowed(FrontendFault):
    """The path is there, the method is not."""

    method: str
    allowed: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.method[:20]} is not supported here: use {', '.join(self.allowed)}"


# --- contents ------------------------------------------------------------------------------


@dataclass(eq=False)
class ManifestInvalid(FrontendFault):
    """The manifest breaks a rule; `what` says which and where."""

    what: str

    def __str__(self) -> str:
        return f"the manifest is not valid: {self.what[: 2 * _SHOWN]}"


@dataclass(eq=False)
class ManifestUnknown(FrontendFault):
    """The image has no such tag or manifest."""

    image: ImageName
    reference: str

    def __str__(self) -> str:
        return f"image {self.image} has no manifest {self.reference}"


class ManifestDamaged(ManifestUnknown):
    """What the disk has of it is not what was pushed: as good as unknown, until it comes again."""

    def __str__(self) -> str:
        return f"manifest {self.reference} of image {self.image} {_DAMAGED}"


@dataclass(eq=False)
class ManifestBlobUnknown(FrontendFault):
    """A pushed manifest needs what its image does not have; one entry for each digest."""

    image: ImageName
    digests: tuple[Digest, ...]

    def __str__(self) -> str:
        return f"image {self.image} lacks {', '.join(map(str, self.digests[:3]))}: push that first"

    def entries(self) -> tuple[tuple[str, object], ...]:
        """One entry for each missing digest."""
        return tuple(
            (f"image {self.image} has no {digest}: push it first", {"digest": str(digest)})
            for digest in self.digests
        )


@dataclass(eq=False)
class ImageBlobUnknown(FrontendFault):
    """The image may not serve this blob, whether or not another one holds it."""

    image: ImageName
    digest: Digest

    def __str__(self) -> str:
        return f"image {self.image} has no blob {self.digest}"


class ImageBlobDamaged(ImageBlobUnknown):
    """As ManifestDamaged."""

    def __str__(self) -> str:
        return f"blob {self.digest} of image {self.image} {_DAMAGED}"


@dataclass(eq=False)
class Referenced(FrontendFault):
    """The manifest or blob cannot go: a manifest of the image needs it."""

    image: ImageName
    digest: Digest

    def __str__(self) -> str:
        return f"a manifest of image {self.image} needs {self.digest}: delete that manifest first"


# --- uploads -------------------------------------------------------------------------------


@dataclass(eq=False)
class BlobUploadInvalid(FrontendFault):
    """The upload request cannot be understood; the session keeps what it holds."""

    what: str

    def __str__(self) -> str:
        return self.what[: 2 * _SHOWN]


@dataclass(eq=False)
class SizeInvalid(FrontendFault):
    """The body has another length than was announced."""

    expected: int
    received: int

    def __str__(self) -> str:
        return f"{self.expected} bytes were announced and {self.received} came"


@dataclass(eq=False)
class RangeInvalid(FrontendFault):
    """A chunk's Content-Range does not continue the upload."""

    text: str
    size: int | None = None  # bytes the upload holds, when known

    def __str__(self) -> str:
        known = "" if self.size is None else f": the next byte is {self.size}"
        return f"the range {self.text[:50]!r} does not continue the upload{known}"


@dataclass(eq=False)
class BodyTooSlow(FrontendFault):
    """The body stalled; what an upload holds stays for a resume."""

    def __str__(self) -> str:
        return "the request body came too slowly; an upload keeps what arrived and can be resumed"


# --- requests ------------------------------------------------------------------------------


@dataclass(eq=False)
class RangeNotSatisfiable(FrontendFault):
    """No byte of the asked ranges exists."""

    size: int

    def __str__(self) -> str:
        return f"no byte of that range exists: the blob has {self.size} bytes"


@dataclass(eq=False)
class PaginationNumberInvalid(FrontendFault):
    """`n` is no number, or `last` no cursor that we gave."""

    parameter: str
    text: str

    def __str__(self) -> str:
        return f"not a valid {self.parameter}: {self.text[:50]!r}: follow the Link header"


@dataclass(eq=False)
class PreconditionFailed(FrontendFault):
    """If-Match or If-None-Match did not hold for the tag; nothing was changed."""

    tag: str
    current: Digest | None

    def __str__(self) -> str:
        state = "does not exist" if self.current is None else f"points at {self.current}"
        return f"tag {self.tag} {state}: read it again, and repeat the change on that"


@dataclass(eq=False)
class TooLarge(FrontendFault):
    """The body has more than `limit` bytes."""

    limit: int

    def __str__(self) -> str:
        return f"the body has more than the {self.limit} bytes that are allowed here"


@dataclass(eq=False)
class TooManyTags(FrontendFault):
    """More `tag` parameters than one push may set."""

    limit: int

    def __str__(self) -> str:
        return f"one push sets at most {self.limit} tags: push the rest with another request"


@dataclass(eq=False)
class RequestInvalid(FrontendFault):
    """The request breaks a rule that has no code of its own; `what` says which."""

    what: str

    def __str__(self) -> str:
        return self.what[: 2 * _SHOWN]


@dataclass(eq=False)
class Unsupported(FrontendFault):
    """This registry or repository does not do that."""

    what: str

    def __str__(self) -> str:
        return self.what[: 2 * _SHOWN]


# --- access --------------------------------------------------------------------------------


@dataclass(eq=False)
class Unauthorized(FrontendFault):
    """Credentials are needed, or others: for `scope`, because of `error`, both in Docker's words.

    `is_basic`: a password is needed, no token will do.
    """

    what: str = "authentication is required: log in with `docker login`"
    scope: str = ""
    error: str = ""
    is_basic: bool = False

    def __str__(self) -> str:
        return self.what


@dataclass(eq=False)
class Denied(FrontendFault):
    """The caller may see the repository, but not do this."""

    action: str
    repository: str

    def __str__(self) -> str:
        return (
            f"you may not {self.action} in repository {self.repository}: ask its owner for access"
        )


@dataclass(eq=False)
class CsrfFailed(FrontendFault):
    """A change that a browser's session did not ask for by a page of ours."""

    def __str__(self) -> str:
        return (
            "this change does not come from a page of this registry: send X-CSRF-Token as "
            "`/api/v1/session` says it"
        )


@dataclass(eq=False)
class TooManyRequests(FrontendFault):
    """The caller has to wait `retry_after` seconds."""

    retry_after: int = 1
    what: str = "requests"

    def __str__(self) -> str:
        return f"too many {self.what}: try again in {self.retry_after} s"
