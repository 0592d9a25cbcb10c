"""What users of podman and buildah do."""

import json

import pytest

from tests.e2e.images import Rootfs
from tests.e2e.programs import Client


def build(buildah: Client, context: Rootfs, *arguments: str) -> None:
    buildah("bud", "--isolation", "chroot", *arguments, str(context.folder.parent))


def layer_types(skopeo: Client, image: str) -> list[str]:
    manifest = json.loads(skopeo("inspect", "--raw", f"docker://{image}"))
    return [layer["mediaType"] for layer in manifest["layers"]]


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_an_image_pushed_with_podman_runs_on_another_machine(
    compression, containers, other_containers, registry, build_context
):
    image = registry.image(f"podman-{compression}") + ":1"
    podman = containers.podman
    podman("build", "--isolation", "chroot", "--tag", image, str(build_context.folder.parent))

    podman("push", "--compression-format", compression, image)
    other_containers.podman("pull", image)

    message = other_containers.podman("run", "--rm", "--pull", "never", image)
    assert message == build_context.message
    types = layer_types(containers.skopeo, image)
    assert all(media_type.endswith(compression) for media_type in types)


def test_an_image_built_and_pushed_with_buildah_runs_on_another_machine(
    containers, other_containers, registry, build_context
):
    image = registry.image("buildah") + ":1"
    build(containers.buildah, build_context, "--tag", image)

    containers.buildah("push", image)
    other_containers.podman("pull", image)

    message = other_containers.podman("run", "--rm", "--pull", "never", image)
    assert message == build_context.message


def test_an_index_that_buildah_pushed_offers_each_of_its_platforms(
    containers, registry, build_context
):
    image = registry.image("buildah-index") + ":1"
    platforms = ["--platform", "linux/amd64,linux/arm64"]
    build(containers.buildah, build_context, *platforms, "--manifest", "both")

    containers.buildah("manifest", "push", "--all", "both", f"docker://{image}")

    for architecture in ("amd64", "arm64"):
        override = ["--override-arch", architecture]
        inspected = containers.skopeo(*override, "inspect", "--config", f"docker://{image}")
        assert json.loads(inspected)["architecture"] == architecture
