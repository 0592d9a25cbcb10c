"""What people see whose push a rule of the repository refuses: the rule, and no second try."""

import json
import secrets

import pytest

from tests.e2e.images import make_small_layout
from tests.e2e.registry import Registry
from tests.e2e.test_docker import build


def make(registry: Registry, **settings: object) -> str:
    """A repository of its own."""
    name = f"rules-{secrets.token_hex(3)}"
    content = json.dumps({"storage": "local", "name": name, **settings}).encode()
    answer = registry.ask(
        "POST", "/api/v1/repositories", content, {"Content-Type": "application/json"}
    )
    assert answer.status == 201, answer.body
    return f"local/{name}"


@pytest.fixture
def ruled(registry: Registry) -> str:
    """A repository whose version tags never change."""
    return make(registry, immutable_tags=["v*"])


def test_docker_is_told_which_rule_keeps_a_tag(docker, registry, ruled, build_context):
    image = registry.image("app", ruled)
    build(docker, build_context, f"{image}:v1")
    docker("push", f"{image}:v1")
    docker("push", f"{image}:v1")  # again: nothing would change
    (build_context.folder / "message").write_text("another")
    build(docker, build_context, f"{image}:v1", f"{image}:latest")

    said = docker.refused("push", f"{image}:v1")

    assert f"denied: tag v1 of {ruled}/app is immutable, by rule v* of repository {ruled}" in said
    assert "Retrying" not in said
    docker("push", f"{image}:latest")


def test_docker_is_told_that_a_quota_is_full_and_does_not_try_again(
    docker, registry, build_context
):
    """It sends layers without saying how long they are: this one is refused as it comes."""
    name = make(registry, quota_bytes=3 << 20)
    image = registry.image("app", name) + ":1"
    (build_context.folder / "noise").write_bytes(secrets.token_bytes(8 << 20))
    build(docker, build_context, image)

    said = docker.refused("push", image)

    assert "denied:" in said
    assert f"more do not fit: repository {name} holds" in said
    assert "its quota is 3.0 MiB" in said
    assert "Retrying" not in said


def test_skopeo_and_podman_are_told_both(containers, registry, ruled, folder):
    small = make_small_layout(folder)
    other = make_small_layout(folder, "other")
    target = f"docker://{registry.image('app', ruled)}:v1"
    containers.skopeo("copy", f"oci:{small}:latest", target)
    full = make(registry, quota_bytes=1000)

    kept = containers.skopeo.refused("copy", f"oci:{other}:latest", target)
    over = containers.skopeo.refused(
        "copy", f"oci:{small}:latest", f"docker://{registry.image('app', full)}:1"
    )

    assert "tag v1 of" in kept
    assert "by rule v*" in kept
    assert "its quota is 1000 bytes" in over
