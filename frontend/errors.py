"""Which status and which code an error is answered with: the only module that knows.

`WIRE` has every error type of `cas.errors`, `index.errors`, `frontend.domain.faults` and
`frontend.upstream.errors`; a test asserts it. Bodies follow the distribution-spec, "Error Codes".
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

import msgspec

from cas import errors as cas
from frontend.domain import faults, rule_faults, search_faults
from frontend.domain.message import Realm, Response
from frontend.domain.rights import challenge
from frontend.upstream import errors as upstream
from index import errors as index

API_VERSION: Final = ("Docker-Distribution-API-Version", "registry/2.0")
KNOWN_ERRORS: Final = (faults.FrontendFault, cas.CasError, index.IndexFault)
_INTERNAL: Final = "the server failed: its log says how"

_log = logging.getLogger("orlop.errors")


@dataclass(frozen=True, slots=True)
class Wire:
    """How an error type is answered; `message` replaces texts that are not for the client."""

    status: HTTPStatus
    code: str
    message: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


_SOON: Final = {"Retry-After": "1"}
_LATER: Final = {"Retry-After": "30"}
_BROKEN: Final = Wire(HTTPStatus.INTERNAL_SERVER_ERROR, "UNKNOWN", _INTERNAL)
_GATEWAY: Final = Wire(HTTPStatus.BAD_GATEWAY, "UNAVAILABLE")
_FULL: Final = Wire(HTTPStatus.INSUFFICIENT_STORAGE, "UNAVAILABLE", "the server's disk is full")

WIRE: Final[Mapping[type[Exception], Wire]] = {
    # names
    faults.NameInvalid: Wire(HTTPStatus.BAD_REQUEST, "NAME_INVALID"),
    faults.NameUnknown: Wire(HTTPStatus.NOT_FOUND, "NAME_UNKNOWN"),
    faults.ImageUnknown: Wire(HTTPStatus.NOT_FOUND, "NAME_UNKNOWN"),
    faults.TagInvalid: Wire(HTTPStatus.BAD_REQUEST, "TAG_INVALID"),
    faults.RouteUnknown: Wire(HTTPStatus.NOT_FOUND, "UNSUPPORTED"),
    faults.MethodNotAllowed: Wire(HTTPStatus.METHOD_NOT_ALLOWED, "UNSUPPORTED"),
    # contents
    faults.ManifestInvalid: Wire(HTTPStatus.BAD_REQUEST, "MANIFEST_INVALID"),
    faults.ManifestUnknown: Wire(HTTPStatus.NOT_FOUND, "MANIFEST_UNKNOWN"),
    faults.ManifestDamaged: Wire(HTTPStatus.NOT_FOUND, "MANIFEST_UNKNOWN"),
    faults.ManifestBlobUnknown: Wire(HTTPStatus.BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN"),
    faults.ImageBlobUnknown: Wire(HTTPStatus.NOT_FOUND, "BLOB_UNKNOWN"),
    faults.ImageBlobDamaged: Wire(HTTPStatus.NOT_FOUND, "BLOB_UNKNOWN"),
    faults.Referenced: Wire(HTTPStatus.METHOD_NOT_ALLOWED, "UNSUPPORTED"),
    # uploads
    faults.BlobUploadInvalid: Wire(HTTPStatus.BAD_REQUEST, "BLOB_UPLOAD_INVALID"),
    faults.SizeInvalid: Wire(HTTPStatus.BAD_REQUEST, "SIZE_INVALID"),
    faults.RangeInvalid: Wire(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "RANGE_INVALID"),
    faults.BodyTooSlow: Wire(HTTPStatus.REQUEST_TIMEOUT, "BLOB_UPLOAD_INVALID"),
    # requests
    faults.RangeNotSatisfiable: Wire(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "RANGE_INVALID"),
    faults.PaginationNumberInvalid: Wire(HTTPStatus.BAD_REQUEST, "PAGINATION_NUMBER_INVALID"),
    faults.PreconditionFailed: Wire(HTTPStatus.PRECONDITION_FAILED, "DENIED"),
    faults.TooLarge: Wire(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "SIZE_INVALID"),
    faults.TooManyTags: Wire(HTTPStatus.REQUEST_URI_TOO_LONG, "UNSUPPORTED"),
    faults.RequestInvalid: Wire(HTTPStatus.BAD_REQUEST, "UNSUPPORTED"),
    faults.Unsupported: Wire(HTTPStatus.METHOD_NOT_ALLOWED, "UNSUPPORTED"),
    # rules: docker and podman print what is DENIED, and do not try again; Docker Hub says 403 too.
    # Source: moby, distribution/errors.go, retryOnError; containers/common, pkg/retry.
    rule_faults.TagImmutable: Wire(HTTPStatus.FORBIDDEN, "DENIED"),
    rule_faults.QuotaExceeded: Wire(HTTPStatus.FORBIDDEN, "DENIED"),
    rule_faults.PatternsInvalid: Wire(HTTPStatus.BAD_REQUEST, "UNSUPPORTED"),
    # searches
    search_faults.SearchInvalid: Wire(HTTPStatus.BAD_REQUEST, "UNSUPPORTED"),
    search_faults.SearchTooBroad: Wire(HTTPStatus.UNPROCESSABLE_ENTITY, "UNSUPPORTED"),
    search_faults.SearchAbandoned: Wire(HTTPStatus.BAD_REQUEST, "UNSUPPORTED"),
    # access
    faults.Unauthorized: Wire(HTTPStatus.UNAUTHORIZED, "UNAUTHORIZED"),
    faults.Denied: Wire(HTTPStatus.FORBIDDEN, "DENIED"),
    faults.CsrfFailed: Wire(HTTPStatus.FORBIDDEN, "DENIED"),
    faults.TooManyRequests: Wire(HTTPStatus.TOO_MANY_REQUESTS, "TOOMANYREQUESTS"),
    # other registries; what an administrator has to mend is a bad gateway to all others
    upstream.UpstreamFault: _GATEWAY,
    upstream.UpstreamMissing: Wire(HTTPStatus.NOT_FOUND, "NAME_UNKNOWN"),
    upstream.ManifestMissing: Wire(HTTPStatus.NOT_FOUND, "MANIFEST_UNKNOWN"),
    upstream.BlobMissing: Wire(HTTPStatus.NOT_FOUND, "BLOB_UNKNOWN"),
    upstream.NameMissing: Wire(HTTPStatus.NOT_FOUND, "NAME_UNKNOWN"),
    upstream.UpstreamDenied: Wire(HTTPStatus.NOT_FOUND, "NAME_UNKNOWN"),
    upstream.UpstreamUnauthorized: _GATEWAY,
    upstream.UpstreamLimited: Wire(HTTPStatus.TOO_MANY_REQUESTS, "TOOMANYREQUESTS"),
    upstream.UpstreamUnavailable: Wire(HTTPStatus.SERVICE_UNAVAILABLE, "UNAVAILABLE"),
    upstream.UpstreamResting: Wire(HTTPStatus.SERVICE_UNAVAILABLE, "UNAVAILABLE"),
    upstream.UpstreamBroken: _GATEWAY,
    upstream.UpstreamChanged: _GATEWAY,
    upstream.UpstreamRefused: _GATEWAY,
    upstream.AddressRefused: _GATEWAY,
    upstream.RedirectRefused: _GATEWAY,
    upstream.RealmRefused: _GATEWAY,
    # bytes
    cas.DigestInvalid: Wire(HTTPStatus.BAD_REQUEST, "DIGEST_INVALID"),
    cas.DigestMismatch: Wire(HTTPStatus.BAD_REQUEST, "DIGEST_INVALID"),
    cas.UploadUnknown: Wire(HTTPStatus.NOT_FOUND, "BLOB_UPLOAD_UNKNOWN"),
    cas.OffsetMismatch: Wire(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "RANGE_INVALID"),
    cas.UploadSealed: Wire(HTTPStatus.CONFLICT, "BLOB_UPLOAD_INVALID"),
    cas.UploadOrphaned: Wire(HTTPStatus.SERVICE_UNAVAILABLE, "UNAVAILABLE", headers=_SOON),
    cas.BlobUnknown: Wire(HTTPStatus.NOT_FOUND, "BLOB_UNKNOWN"),
    cas.ObjectTooLarge: Wire(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "SIZE_INVALID"),
    cas.Damaged: _BROKEN,
    cas.StorageFull: _FULL,
    cas.Busy: Wire(HTTPStatus.SERVICE_UNAVAILABLE, "UNAVAILABLE", headers=_SOON),
    cas.DaemonAway: Wire(HTTPStatus.SERVICE_UNAVAILABLE, "UNAVAILABLE", headers=_SOON),
    cas.StoreFailed: Wire(HTTPStatus.SERVICE_UNAVAILABLE, "UNAVAILABLE", _INTERNAL, _LATER),
    # references; a handler that expects something words its failure itself
    index.ExpectationsFailed: Wire(
        HTTPStatus.CONFLICT, "DENIED", "something changed meanwhile: repeat the request"
    ),
    index.TargetMissing: Wire(
        HTTPStatus.CONFLICT, "DENIED", "something was deleted meanwhile: repeat the request"
    ),
    index.FormatUnknown: _BROKEN,
    index.DirectoryHeld: _BROKEN,
    index.WriterBusy: Wire(HTTPStatus.SERVICE_UNAVAILABLE, "UNAVAILABLE", headers=_SOON),
    index.NoSpace: _FULL,
    index.IndexDamaged: Wire(
        HTTPStatus.SERVICE_UNAVAILABLE, "UNAVAILABLE", f"the index is damaged: {index.REMEDY}"
    ),
    index.IndexFailed: Wire(HTTPStatus.SERVICE_UNAVAILABLE, "UNAVAILABLE", _INTERNAL, _LATER),
}


def wire(error: Exception) -> Wire:
    """How `error` is answered; a type that is not ours is a server's failure."""
    for kind in type(error).__mro__:
        if kind in WIRE:
            return WIRE[kind]
    return _BROKEN


def error_response(
    error: Exception,
    *,
    method: str = "GET",
    headers: tuple[tuple[str, str], ...] = (),
    realm: Realm | None = None,
) -> Response:
    """Answer an error; `headers` are the caller's own (Location and Range beside a 416).

    `realm` is where credentials come from: whoever may find that there are none has to say it.

    What the client is not told is logged here; a bug of ours with its trace.
    """
    answer = wire(error)
    if answer.message == _INTERNAL:
        trace = None if isinstance(error, KNOWN_ERRORS) else error
        _log.error("request failed: %s", error, exc_info=trace)
    body = msgspec.json.encode({"errors": _entries(error, answer)})
    fixed = (
        API_VERSION,
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("X-Content-Type-Options", "nosniff"),
    )
    own = (*answer.headers.items(), *_own_headers(error, realm), *headers)
    return Response(answer.status, (*fixed, *own), () if method == "HEAD" else (body,))


def _entries(error: Exception, answer: Wire) -> list[dict[str, object]]:
    """The members of `errors`."""
    if answer.message:
        said: tuple[tuple[str, object], ...] = ((answer.message, None),)
    elif isinstance(error, faults.FrontendFault):
        said = error.entries()
    else:
        said = ((str(error), None),)
    return [
        {"code": answer.code, "message": message} | ({} if detail is None else {"detail": detail})
        for message, detail in said
    ]


def _own_headers(error: Exception, realm: Realm | None) -> tuple[tuple[str, str], ...]:
    """Headers that follow from an error's fields."""
    match error:
        case faults.Unauthorized():
            said = "Bearer" if realm is None else challenge(realm, error)
            return (("WWW-Authenticate", said),)
        case faults.MethodNotAllowed():
            return (("Allow", ", ".join(error.allowed)),)
        case faults.RangeNotSatisfiable():
            return (("Content-Range", f"bytes */{error.size}"),)
        case faults.TooManyRequests():
            return (("Retry-After", str(error.retry_after)),)
        case upstream.UpstreamLimited() | upstream.UpstreamUnavailable():
            return (("Retry-After", str(max(1, math.ceil(error.retry_after or 0)))),)
        case _:
            return ()
