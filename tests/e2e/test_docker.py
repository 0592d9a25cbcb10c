"""What users of docker do."""

import secrets

from tests.e2e.images import Rootfs
from tests.e2e.programs import Client
from tests.e2e.registry import Registry


def build(docker: Client, context: Rootfs, *references: str) -> str:
    """Build an image and return its id, the digest of its configuration."""
    tags = [word for reference in references for word in ("--tag", reference)]
    docker("build", "--quiet", *tags, str(context.folder.parent))
    return image_id(docker, references[0])


def image_id(docker: Client, reference: str) -> str:
    return docker("image", "inspect", "--format", "{{.Id}}", reference).strip()


def run(docker: Client, reference: str) -> str:
    return docker("run", "--rm", "--network", "none", "--pull", "never", reference)


def test_an_image_pushed_with_docker_comes_back_unchanged_and_runs(docker, registry, build_context):
    image = registry.image("docker-run") + ":1"
    built = build(docker, build_context, image)

    docker("push", image)
    docker("rmi", image)
    docker("pull", image)

    assert image_id(docker, image) == built
    assert run(docker, image) == build_context.message


def test_docker_pulls_by_the_digest_it_was_told_when_it_pushed(docker, registry, build_context):
    image = registry.image("docker-digest")
    built = build(docker, build_context, f"{image}:1")
    docker("push", f"{image}:1")
    template = "{{index .RepoDigests 0}}"
    by_digest = docker("image", "inspect", "--format", template, f"{image}:1").strip()
    docker("rmi", f"{image}:1")

    docker("pull", by_digest)

    assert by_digest.startswith(f"{image}@sha256:")
    assert image_id(docker, by_digest) == built


def test_docker_pulls_all_tags_of_an_image(docker, registry, build_context):
    image = registry.image("docker-tags")
    references = [f"{image}:one", f"{image}:two"]
    build(docker, build_context, *references)
    docker("push", "--all-tags", image)
    docker("rmi", *references)

    docker("pull", "--all-tags", image)

    assert run(docker, references[0]) == run(docker, references[1]) == build_context.message


def test_a_layer_that_docker_pushed_before_is_mounted_into_another_image(
    docker, registry, build_context
):
    first, second = registry.image("docker-first") + ":1", registry.image("docker-second") + ":1"
    build(docker, build_context, first, second)
    docker("push", first)

    output = docker("push", second)

    assert "Mounted from local/images/docker-first" in output


def test_docker_login_with_a_wrong_password_fails(anonymous_docker, registry):
    wrong = secrets.token_urlsafe(16)

    said = anonymous_docker.refused(
        "login", "--username", registry.user, "--password-stdin", registry.address, stdin=wrong
    )

    assert "unauthorized" in said.lower()


def test_anyone_pulls_with_docker_from_a_public_repository(
    docker, anonymous_docker, registry, public, build_context
):
    image = registry.image("docker-public", public) + ":1"
    build(docker, build_context, image)
    docker("push", image)
    docker("rmi", image)

    anonymous_docker("pull", image)

    assert run(anonymous_docker, image) == build_context.message


def test_docker_without_login_cannot_push_to_a_public_repository(
    anonymous_docker, registry, public, build_context
):
    image = registry.image("docker-stranger", public) + ":1"
    build(anonymous_docker, build_context, image)

    said = anonymous_docker.refused("push", image)

    assert is_refusal(said)


def test_docker_without_login_cannot_pull_from_a_private_repository(
    docker, anonymous_docker, registry, build_context
):
    image = registry.image("docker-private") + ":1"
    build(docker, build_context, image)
    docker("push", image)
    docker("rmi", image)

    said = anonymous_docker.refused("pull", image)

    assert is_refusal(said)


def test_docker_is_told_which_command_creates_a_missing_repository(
    docker, registry: Registry, build_context
):
    image = registry.image("docker-lost", "local/nowhere") + ":1"
    build(docker, build_context, image)

    said = docker.refused("push", image)

    assert "orlop repository create local/nowhere" in said


def is_refusal(said: str) -> bool:
    """Tell whether docker says that credentials are missing, in the words of any version."""
    words = ("unauthorized", "no basic auth credentials", "authentication required", "denied")
    return any(word in said.lower() for word in words)
