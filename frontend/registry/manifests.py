"""Pushing and deleting manifests and tags, and deleting blobs: each is one commit.

What must hold is checked inside the commit; here a failed expectation becomes the error it means.
"""

import contextlib
from collections.abc import Sequence
from functools import partial
from typing import Final

import trio

from cas.digest import Digest
from cas.errors import DigestMismatch
from cas.verbs import StoreChange, View
from frontend.domain.conditions import tag_expectations
from frontend.domain.deeds import Deed
from frontend.domain.faults import (
    FrontendFault,
    ImageBlobUnknown,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    PreconditionFailed,
    Referenced,
    TooManyTags,
)
from frontend.domain.manifests import ParsedManifest, parse_manifest
from frontend.domain.message import Response
from frontend.domain.names import parse_tag
from frontend.domain.platforms import of_config
from frontend.domain.routes import Blob, Manifest
from frontend.registry.call import Call
from index.changes import ImageName, Link, PutManifest, PutObject, SetTag, Unlink
from index.damage import has_hurt
from index.errors import ExpectationsFailed
from index.expectations import (
    Expectation,
    Linked,
    ManifestExists,
    NoParent,
    TagExists,
    TagIs,
    TypeKept,
    Unreferenced,
)

PARSE_HERE: Final = 64 << 10  # bytes; reading more JSON would hold up other connections
# One at a time: parsers hold the interpreter for long, and 4 MiB of `{},` make 100 MiB of objects.
_parsing = trio.CapacityLimiter(1)
MAX_TAGS: Final = 100  # of one push; the specification asks for ten at least


async def put_manifest(call: Call, route: Manifest) -> Response:
    """PUT: store the bytes as they came, link them, record what they need, and set the tags."""
    call.require("push", route.name)
    length = call.body.content_length
    is_small = length is not None and length <= PARSE_HERE
    with contextlib.nullcontext() if is_small else call.upload_place():
        return await _put_manifest(call, route)


async def _put_manifest(call: Call, route: Manifest) -> Response:
    tags = _tags(call, route)
    content = await call.body.read_all(call.registry.settings.limits.manifest_bytes)
    digest = _digest(route.reference, content)
    parsed = await _parse(content, call.request.headers.get("content-type"))
    required = [child for child in parsed.required if child != digest]
    expectations: list[Expectation] = [Linked(route.name, child.key) for child in required]
    lacking = call.store.read(partial(_lacking, image=route.name, children=required))
    if lacking:
        raise ManifestBlobUnknown(route.name, lacking)
    for tag in tags:
        expectations += _conditions(call, route.name, tag)
    expectations.append(TypeKept(route.name, digest.key, parsed.media_type))
    changes = _changes(call, route.name, (digest, content, parsed), tags)
    try:
        note = call.note(_pushed(route, digest, len(content), tags))
        await call.commit("push", route.name, [*changes, note], expectations)
    except ExpectationsFailed as error:
        raise _push_fault(route.name, error.failed) from None
    return _created(route, digest, parsed, tags)


async def delete_manifest(call: Call, route: Manifest) -> Response:
    """DELETE: a tag alone, or a manifest with all of its tags."""
    call.require("delete", route.name)
    image, reference = route.name, route.reference
    if isinstance(reference, str):
        expectations: list[Expectation] = [TagExists(image, reference)]
        expectations += _conditions(call, image, reference)
        await _delete(call, route, [SetTag(image, reference, None)], expectations)
    else:
        key = reference.key
        await _delete(
            call, route, [Unlink(image, key)], [ManifestExists(image, key), NoParent(image, key)]
        )
    return _deleted()


async def delete_blob(call: Call, route: Blob) -> Response:
    """DELETE: the image may not serve the blob any more; other images are not touched."""
    call.require("delete", route.name)
    image, key = route.name, route.digest.key
    await _delete(call, route, [Unlink(image, key)], [Linked(image, key), Unreferenced(image, key)])
    return _deleted()


async def _parse(content: bytes, content_type: str | None) -> ParsedManifest:
    if len(content) <= PARSE_HERE:
        return parse_manifest(content, content_type)
    return await trio.to_thread.run_sync(parse_manifest, content, content_type, limiter=_parsing)


def _tags(call: Call, route: Manifest) -> tuple[str, ...]:
    """The tags to set. Source: distribution-spec 1.1+dev, end-7b: `?tag=` with a digest only."""
    if isinstance(route.reference, str):
        return (route.reference,)
    wanted = [value for name, value in call.parameters if name == "tag"]
    tags = tuple(dict.fromkeys(map(parse_tag, wanted)))
    if len(tags) > MAX_TAGS:
        raise TooManyTags(MAX_TAGS)
    return tags


def _digest(reference: Digest | str, content: bytes) -> Digest:
    if isinstance(reference, str):
        return Digest.of(content)
    actual = Digest.of(content, reference.algorithm)
    if actual != reference:
        raise DigestMismatch(reference, actual)
    return reference


def _conditions(call: Call, image: ImageName, tag: str) -> tuple[TagIs, ...]:
    """What If-Match and If-None-Match expect of a tag."""
    headers = call.request.headers
    current = call.store.read(partial(_tag_digest, image=image, tag=tag))
    return tag_expectations(
        headers.get("if-match"), headers.get("if-none-match"), image, tag, current
    )


def _lacking(view: View, image: ImageName, children: Sequence[Digest]) -> tuple[Digest, ...]:
    """What has to be pushed first, if the image has any that is known to be damaged.

    Then all that it does not have, too: of what others have damaged nothing may be learnt.
    """
    row = view.image(image)
    if row is None or not view.entries("damage"):
        return ()
    if not any(has_hurt(view, row.id, child.key) for child in children):
        return ()
    return tuple(
        child
        for child in children
        if has_hurt(view, row.id, child.key) or view.link(row.id, child.key) is None
    )


def _tag_digest(view: View, image: ImageName, tag: str) -> Digest | None:
    row = view.image(image)
    found = None if row is None else view.tag(row.id, tag)
    return None if found is None else Digest(found.digest)


def _changes(
    call: Call,
    image: ImageName,
    manifest: tuple[Digest, bytes, ParsedManifest],
    tags: Sequence[str],
) -> list[StoreChange]:
    digest, content, parsed = manifest
    by = call.request.principal.name
    referrer = b"" if parsed.subject is None else parsed.referrer(digest)
    edges = tuple((child.key, kind) for child, kind in parsed.edges)
    platforms = call.store.read(partial(_platforms, image=image, config=parsed.config))
    record = parsed.record(call.registry.site.now(), by, platforms)
    return [
        PutObject(digest.key, content),
        Link(image, digest.key),
        PutManifest(image, digest.key, record, edges, referrer),
        *(SetTag(image, tag, digest.key, by) for tag in tags),
    ]


def _platforms(view: View, image: ImageName, config: Digest | None) -> tuple[str, ...]:
    """What the config of an image says it runs on, if it is small enough to be in the index."""
    row = None if config is None else view.image(image)
    if config is None or row is None or view.link(row.id, config.key) is None:
        return ()
    found = view.object(config.key)
    content = None if found is None else view.inline(found.id)
    return () if content is None else of_config(content)


def _push_fault(image: ImageName, failed: Sequence[Expectation]) -> FrontendFault:
    missing = tuple(Digest(each.digest) for each in failed if isinstance(each, Linked))
    if missing:
        return ManifestBlobUnknown(image, missing)
    if any(isinstance(each, TypeKept) for each in failed):
        return ManifestInvalid(f"image {image} has it as another Content-Type: delete it first")
    return _tag_moved(failed)


def _tag_moved(failed: Sequence[Expectation]) -> PreconditionFailed:
    """A condition held when it was read and does not any more: what is there now is not known."""
    tag = next((each.tag for each in failed if isinstance(each, TagIs)), "")
    return PreconditionFailed(tag, None)


def _created(
    route: Manifest, digest: Digest, parsed: ParsedManifest, tags: Sequence[str]
) -> Response:
    headers = [
        ("Location", f"/v2/{route.name}/manifests/{digest}"),
        ("Docker-Content-Digest", str(digest)),
        ("Content-Length", "0"),
    ]
    if parsed.subject is not None:
        headers.append(("OCI-Subject", str(parsed.subject)))
    if tags and not isinstance(route.reference, str):
        headers.append(("OCI-Tag", ", ".join(tags)))
    return Response(201, tuple(headers))


def _deleted() -> Response:
    return Response(202, (("Content-Length", "0"),))


async def _delete(
    call: Call,
    route: Manifest | Blob,
    changes: list[StoreChange],
    expectations: Sequence[Expectation],
) -> None:
    try:
        note = call.note(_deletion(route))
        await call.commit("delete", route.name, [*changes, note], expectations)
    except ExpectationsFailed as error:
        raise _delete_fault(route, error.failed) from None


def _pushed(route: Manifest, digest: Digest, size: int, tags: Sequence[str]) -> Deed:
    """What the journal is told of a push; `size` is the manifest's own."""
    target = _target(route.name, route.reference)
    detail: dict[str, str | int] = {"digest": str(digest), "size": size}
    if tags and not isinstance(route.reference, str):
        detail["tags"] = " ".join(tags)
    return Deed("manifest.push", target, route.name.repository, detail)


def _deletion(route: Manifest | Blob) -> Deed:
    repository = route.name.repository
    if isinstance(route, Blob):
        return Deed("blob.delete", _target(route.name, route.digest), repository)
    is_tag = isinstance(route.reference, str)
    target = _target(route.name, route.reference)
    return Deed("tag.delete" if is_tag else "manifest.delete", target, repository)


def _target(image: ImageName, reference: Digest | str) -> str:
    return f"{image}:{reference}" if isinstance(reference, str) else f"{image}@{reference}"


def _delete_fault(route: Manifest | Blob, failed: Sequence[Expectation]) -> FrontendFault:
    """What is missing comes before what is in the way: a missing thing needs no reason to stay."""
    kinds = {type(each) for each in failed}
    if kinds & {Linked, ManifestExists, TagExists}:
        if isinstance(route, Blob):
            return ImageBlobUnknown(route.name, route.digest)
        return ManifestUnknown(route.name, str(route.reference))
    if TagIs in kinds:
        return _tag_moved(failed)
    digest = route.digest if isinstance(route, Blob) else route.reference
    if isinstance(digest, str):
        return ManifestUnknown(route.name, digest)
    return Referenced(route.name, digest)
