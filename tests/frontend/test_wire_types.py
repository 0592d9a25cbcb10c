"""A manifest keeps the media type that it was pushed with: what needs it reads it so."""

import pytest

from tests.frontend.live import codes, digest_of
from tests.frontend.test_wire_manifests import INDEX, descriptor, index, manifest, put
from tests.frontend.test_wire_rules import collect_later, make, pointed


@pytest.fixture
def image(live):
    """An image whose version tags never change."""
    return make(live, immutable_tags=("v*",))[1]


@pytest.mark.parametrize("kind", ["text/plain", "application/vnd.else+json"])
def test_nobody_takes_from_a_manifest_what_it_needs_by_another_type(live, image, kind):
    """Pushed again as something that needs nothing, its layers would be let go."""
    layer = live.push(image, b"a layer")
    content = manifest(layers=[descriptor(b"a layer")], mediaType=None)
    whole = index(content)
    assert put(live, image, digest_of(content), content).status_code == 201
    assert put(live, image, "v1", whole, INDEX).status_code == 201

    for reference, each in ((digest_of(content), content), (digest_of(whole), whole)):
        answer = put(live, image, reference, each, kind)
        assert (answer.status_code, codes(answer)) == (400, ["MANIFEST_INVALID"])
        assert "another Content-Type" in answer.text or "but Content-Type is" in answer.text

    collect_later(live)
    assert live.client.head(f"/v2/{image}/blobs/{layer}").status_code == 200
    assert pointed(live, image, "v1") == digest_of(whole)


def test_what_was_pushed_alone_and_as_another_type_is_pushed_again_as_itself(live, image):
    content = manifest(annotations={"mistaken": "once"})
    reference = digest_of(content)
    assert put(live, image, reference, content, "text/plain").status_code == 201

    assert put(live, image, reference, content).status_code == 201
    assert put(live, image, reference, content, "text/plain").status_code == 400
