"""Links, edges, tags and their counts, against a dictionary that recounts everything."""

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import initialize, invariant, rule

from cas.digest import Digest
from index import names, ordering
from index.apply import apply
from index.changes import (
    DeleteRepository,
    EdgeKind,
    ImageName,
    Link,
    PutManifest,
    PutObject,
    PutRepository,
    SetTag,
    Unlink,
)
from index.clearing import clear_slice
from index.errors import ExpectationsFailed, TargetMissing
from index.expectations import (
    Linked,
    ManifestExists,
    NoParent,
    TagExists,
    TagIs,
    Unreferenced,
)
from index.ledger import Clock
from index.records import Manifest, Repository
from tests.index.tables import PLACES, dump
from tests.models.machine import IndexMachine
from tests.models.references import Missing, Model

CONTENTS = {
    Digest.of(bytes([number]) * number, algorithm).key: bytes([number]) * number
    for number, algorithm in enumerate(("sha256", "sha256", "sha256", "sha512", "sha256"))
}
IMAGES = st.builds(
    ImageName, st.sampled_from(["local/images", "local/more"]), st.sampled_from(["app", "a/b"])
)
DIGESTS = st.sampled_from(sorted(CONTENTS))
TAGS = st.sampled_from(["v1", "v2"])
LEASES = st.sampled_from([0, 5, 500])


def _manifest(image, digest, children, subject, media_type):
    record = Manifest(media_type=media_type, size=1, artifact_type="a", subject=subject)
    edges = tuple((child, EdgeKind.LAYER) for child in children if child != digest)
    return PutManifest(image, digest, record, edges, b"{}")


PUTS = st.builds(lambda digest: PutObject(digest, CONTENTS[digest]), DIGESTS)
LINKS = st.builds(Link, IMAGES, DIGESTS, LEASES)
UNLINKS = st.builds(Unlink, IMAGES, DIGESTS)
MANIFESTS = st.builds(
    _manifest,
    IMAGES,
    DIGESTS,
    st.lists(DIGESTS, max_size=3),
    st.just(b"") | DIGESTS,
    st.sampled_from(["m", "n"]),
)
SET_TAGS = st.builds(SetTag, IMAGES, TAGS, st.none() | DIGESTS)
CHANGES = PUTS | LINKS | LINKS | UNLINKS | MANIFESTS | SET_TAGS
EXPECTATIONS = st.one_of(
    st.builds(TagIs, IMAGES, TAGS, st.none() | DIGESTS),
    st.builds(TagExists, IMAGES, TAGS),
    *(
        st.builds(kind, IMAGES, DIGESTS)
        for kind in (Linked, ManifestExists, Unreferenced, NoParent)
    ),
)


class References(IndexMachine):
    """Commits of any changes under any expectations, in two repositories of two images."""

    def __init__(self):
        super().__init__()
        self.clock = Clock(1000, 60)
        self.model = Model()

    def commit(self, changes, expectations=()):
        self.write(lambda t: apply(t, changes, expectations, self.clock))

    @initialize()
    def begin(self):
        self.commit(PLACES)

    @rule(seconds=st.sampled_from([1, 30, 100]), grace=st.sampled_from([0, 60]))
    def wait(self, seconds, grace):
        self.clock = Clock(self.clock.now + seconds, grace)

    @rule(image=IMAGES, digest=DIGESTS, lease=LEASES)
    def push(self, image, digest, lease):
        self._check([PutObject(digest, CONTENTS[digest]), Link(image, digest, lease)])

    @rule(manifest=MANIFESTS, tags=st.sets(TAGS))
    def push_manifest(self, manifest, tags):
        image, digest = manifest.image, manifest.digest
        put = PutObject(digest, CONTENTS[digest])
        named = (SetTag(image, tag, digest) for tag in tags)
        self._check([put, Link(image, digest), manifest, *named])

    @rule(name=st.sampled_from(["local/images", "local/more"]), rows=st.sampled_from([30, 512]))
    def delete_a_repository_and_create_it_again(self, name, rows):
        self.commit([DeleteRepository(name)])
        self.commit([PutRepository(name, Repository())])
        is_over = False
        while not is_over:
            is_over = self.write(lambda t: clear_slice(t, self.clock, rows)).is_over
            assert self.drift() == []
        self.model = self.model.without(name, self.clock)

    @rule(change=CHANGES)
    def change(self, change):
        self._check([change])

    @rule(changes=st.lists(CHANGES, min_size=2, max_size=5))
    def change_together(self, changes):
        self._check(changes)

    @rule(change=CHANGES, expectations=st.lists(EXPECTATIONS, min_size=1, max_size=3))
    def change_as_expected(self, change, expectations):
        failed = tuple(e for e in expectations if not self.model.is_met(e))
        if not failed:
            self._check([change], expectations)
            return
        before = dump(self.view)
        with pytest.raises(ExpectationsFailed) as raised:
            self.commit([change], expectations)
        assert raised.value.failed == failed
        assert dump(self.view) == before

    def _check(self, changes, expectations=()):
        """Do it to both; what the model refuses must be refused and change nothing."""
        try:
            after = self.model.commit(changes, self.clock)
        except Missing:
            before = dump(self.view)
            with pytest.raises(TargetMissing):
                self.commit(changes, expectations)
            assert dump(self.view) == before
        else:
            self.commit(changes, expectations)
            self.model = after

    @invariant()
    def a_recount_finds_no_drift(self):
        assert self.drift() == []

    @invariant()
    def links_are_the_models(self):
        found = {}
        for key, _ in self.view.scan("link"):
            link = self.view.link(key[:8], key[8:])
            found[self.view.image_name(key[:8]), key[8:]] = tuple(link)
        assert found == {
            (name, digest): (since, lease, image.references(digest), not_before)
            for name, image in self.model.images.items()
            for digest, (since, lease, not_before) in image.links.items()
        }

    @invariant()
    def objects_are_the_models_and_read_back(self):
        found = {digest: self.view.object(digest) for digest, _ in self.view.scan("object")}
        assert {
            digest: (self.view.inline(row.id), row.references, row.not_before)
            for digest, row in found.items()
        } == {
            digest: (content, len(self.model.linking(digest)), self.model.waiting.get(digest, 0))
            for digest, content in self.model.objects.items()
        }
        assert self.view.entries("inline") == len(found)

    @invariant()
    def tags_and_manifests_are_the_models(self):
        images = {name: self.view.image(name) for name in self.model.images}
        for name, image in self.model.images.items():
            row = images[name]
            tags = {
                tag: self.view.tag(row.id, tag).digest for tag, _ in self.view.iter_tags(row.id)
            }
            manifests = {
                digest: (
                    record.media_type,
                    {child for child, _ in self.view.iter_children(row.id, digest)},
                    record.subject,
                )
                for digest, record in self.view.iter_manifests(row.id)
            }
            assert (tags, manifests) == (image.tags, image.manifests)
            assert row[1:4] == (len(image.links), len(manifests), len(tags))
        assert self.view.entries("image") == self.view.entries("image_by_id") == len(images)

    @invariant()
    def packages_are_the_models_in_every_order(self):
        for name, repository in self.view.iter_repositories():
            expected = set()
            for image, held in self.model.images.items():
                if image.repository == name:
                    expected |= {(image.path, tag, None) for tag in held.tags}
                    untagged = held.manifests.keys() - held.tags.values()
                    expected |= {(image.path, None, digest) for digest in untagged}
            blocks = list(names.iter_blocks(self.view, repository.id))
            found = [entry for block in blocks for entry in names.iter_entries(block)]
            assert found == sorted(expected, key=lambda e: (e[0], e[1] is None, e[1], e[2]))
            for order in names.Order:
                run = ordering.measure(self.view, names.prefix(repository.id, order))
                assert run.total == len(expected)

    @invariant()
    def usage_is_the_models(self):
        for name, repository in self.view.iter_repositories():
            mine = [i for image, i in self.model.images.items() if image.repository == name]
            digests = {digest for image in mine for digest in image.links}
            assert self.view.usage(repository.id) == (
                sum(len(self.model.objects[digest]) for digest in digests),
                len(mine),
                sum(len(image.manifests) for image in mine),
            )


TestReferences = References.TestCase
TestReferences.settings = settings(max_examples=8, stateful_step_count=15)


class TestReferencesAtLength(References.TestCase):
    """The same, longer."""

    settings = settings(max_examples=300, stateful_step_count=40)
    pytestmark = pytest.mark.slow
