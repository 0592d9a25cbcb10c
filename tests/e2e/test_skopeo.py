"""What users of skopeo do: copies that keep every byte, and housekeeping."""

import json

from tests.e2e.images import make_index_layout, make_small_layout
from tests.e2e.oci import blobs_of, digest_of, tagged_digest

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
KEEP = ("copy", "--all", "--preserve-digests")


def test_an_oci_layout_comes_back_with_equal_digests(skopeo, registry, folder):
    source, target = make_small_layout(folder), folder / "target"
    image = "docker://" + registry.image("skopeo-oci") + ":1"

    skopeo(*KEEP, f"oci:{source}:latest", image)
    skopeo(*KEEP, image, f"oci:{target}:latest")

    assert blobs_of(target) == blobs_of(source)
    assert tagged_digest(target) == tagged_digest(source)


def test_an_index_comes_back_with_all_its_platforms(skopeo, registry, folder):
    source, target = make_index_layout(folder), folder / "target"
    image = "docker://" + registry.image("skopeo-index") + ":1"

    skopeo(*KEEP, f"oci:{source}:latest", image)
    skopeo(*KEEP, image, f"oci:{target}:latest")

    assert blobs_of(target) == blobs_of(source)
    assert tagged_digest(target) == tagged_digest(source)


def test_a_schema_2_manifest_comes_back_byte_for_byte(skopeo, registry, folder):
    source, target = make_small_layout(folder), folder / "target"
    image = "docker://" + registry.image("skopeo-v2s2") + ":1"

    skopeo("copy", "--format", "v2s2", f"oci:{source}:latest", image)
    skopeo("copy", "--preserve-digests", image, f"dir:{target}")

    manifest = (target / "manifest.json").read_bytes()
    assert json.loads(manifest)["mediaType"] == DOCKER_MANIFEST
    told = registry.ask(
        "HEAD", "/v2/local/images/skopeo-v2s2/manifests/1", headers={"Accept": DOCKER_MANIFEST}
    )
    assert told.headers["Docker-Content-Digest"] == digest_of(manifest)


def test_an_image_copied_from_another_registry_keeps_its_digests(
    containers, registry, peer, folder
):
    containers.trust(peer)
    skopeo = containers.skopeo
    source, target = make_index_layout(folder), folder / "target"
    there = f"docker://{peer.address}/elsewhere:1"
    here = "docker://" + registry.image("skopeo-copied") + ":1"
    skopeo(*KEEP, f"oci:{source}:latest", there)

    skopeo(*KEEP, there, here)
    skopeo(*KEEP, here, f"oci:{target}:latest")

    assert blobs_of(target) == blobs_of(source)


def test_skopeo_lists_the_tags_of_an_image(skopeo, registry, folder):
    source = make_small_layout(folder)
    image = "docker://" + registry.image("skopeo-tags")
    for tag in ("b", "a", "C", "1.0"):
        skopeo("copy", f"oci:{source}:latest", f"{image}:{tag}")

    listed = json.loads(skopeo("list-tags", image))

    assert listed["Tags"] == ["1.0", "C", "a", "b"]


def test_skopeo_deletes_an_image_with_all_its_tags(skopeo, registry, folder):
    source = make_small_layout(folder)
    image = "docker://" + registry.image("skopeo-delete")
    for tag in ("one", "two"):
        skopeo("copy", f"oci:{source}:latest", f"{image}:{tag}")

    skopeo("delete", f"{image}:one")

    for tag in ("one", "two"):
        assert "manifest unknown" in skopeo.refused("inspect", f"{image}:{tag}").lower()
