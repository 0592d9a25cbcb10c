"""The dictionary that links, manifests and tags are compared with."""

from copy import deepcopy
from dataclasses import dataclass, field

from index.changes import Link, PutManifest, PutObject, SetTag, Unlink
from index.expectations import (
    Linked,
    ManifestExists,
    NoParent,
    TagExists,
    TagIs,
    Unreferenced,
)


class Missing(Exception):
    """A change names what is not there."""


@dataclass
class ModelImage:
    links: dict = field(default_factory=dict)  # digest → [since, lease, not before]
    manifests: dict = field(default_factory=dict)  # digest → (media type, children, subject)
    tags: dict = field(default_factory=dict)  # tag → digest

    def references(self, digest):
        edges = sum(digest in children for _, children, _ in self.manifests.values())
        tags = sum(digest == named for named in self.tags.values())
        return edges + tags + (digest in self.manifests)


class Model:
    """What a commit does, without any count that could be wrong: each is a recount."""

    def __init__(self):
        self.images = {}
        self.objects = {}  # digest → content
        self.waiting = {}  # digest of an object without links → not before

    def commit(self, changes, clock):
        """The model after `changes`; raises Missing and stays as it was when one cannot be."""
        after = deepcopy(self)
        touched = set()
        for change in changes:
            after._apply(change, clock, touched)
        after._settle(self, clock, touched)
        return after

    def without(self, repository, clock):
        """The model after all of a repository went, links and all."""
        after = deepcopy(self)
        after.images = {n: image for n, image in self.images.items() if n.repository != repository}
        after._settle(self, clock, set())
        return after

    def image(self, name):
        return self.images.get(name) or ModelImage()

    def linking(self, digest):
        return [name for name, image in self.images.items() if digest in image.links]

    def _apply(self, change, clock, touched):
        match change:
            case PutManifest() | SetTag():
                self._refer(change)
            case PutObject(digest, content):
                self.objects.setdefault(digest, content)
            case Link(name, digest, lease):
                self._link(name, digest, clock.now + lease if lease else 0, clock)
                touched.add((name, digest))
            case Unlink(name, digest):
                image = self._linked(name, digest)
                del image.links[digest]
                image.manifests.pop(digest, None)
                image.tags = {tag: named for tag, named in image.tags.items() if named != digest}

    def _refer(self, change):
        match change:
            case PutManifest(name, digest, record, edges):
                image = self._linked(name, digest)
                known = image.manifests.get(digest)
                if known is None or known[0] != record.media_type:
                    children = {child for child, _ in edges}
                    image.manifests[digest] = record.media_type, children, record.subject
            case SetTag(name, tag, None):
                if self.image(name).tags.pop(tag, None) is None:
                    raise Missing
            case SetTag(name, tag, digest):
                self._linked(name, digest).tags[tag] = digest

    def _linked(self, name, digest):
        image = self.image(name)
        if digest not in image.links:
            raise Missing
        return image

    def _link(self, name, digest, lease, clock):
        if digest not in self.objects:
            raise Missing
        links = self.images.setdefault(name, ModelImage()).links
        if digest in links:
            links[digest][1] = max(links[digest][1], lease)
        else:
            links[digest] = [clock.now, lease, 0]

    def _settle(self, before, clock, touched):
        """Whatever nothing refers to any more begins to wait; what still waits goes on."""
        self.images = {name: image for name, image in self.images.items() if image.links}
        for name, image in self.images.items():
            for digest, link in image.links.items():
                was_waiting = before.image(name).links.get(digest, [0, 0, 0])[2]
                if image.references(digest):
                    link[2] = 0
                elif not was_waiting or (name, digest) in touched:
                    link[2] = max(clock.now + clock.grace, link[1])
        self.waiting = {
            digest: before.waiting.get(digest) or clock.now + clock.grace
            for digest in self.objects
            if not self.linking(digest)
        }

    def is_met(self, expectation):
        image = self.image(expectation.image)
        match expectation:
            case Linked(_, digest):
                return digest in image.links
            case TagIs(_, tag, digest):
                return image.tags.get(tag) == digest
            case TagExists(_, tag):
                return tag in image.tags
            case ManifestExists(_, digest):
                return digest in image.manifests
            case Unreferenced(_, digest):
                return digest not in image.links or image.references(digest) == 0
            case NoParent(_, digest):
                return not any(digest in children for _, children, _ in image.manifests.values())
