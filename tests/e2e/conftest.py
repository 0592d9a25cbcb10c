"""Fixtures: one Orlop and one of each daemon a session; client settings of its own each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.containerd import containerd_client
from tests.e2e.containers import Containers, containers_in
from tests.e2e.dockerd import docker_client, docker_daemon
from tests.e2e.images import Rootfs, make_big_layout, make_build_context
from tests.e2e.orlop import Orlop
from tests.e2e.peer import docker_registry
from tests.e2e.programs import Client, new_folder
from tests.e2e.registry import Registry

TEST_SECONDS = 300  # the first test that needs a daemon or the big image waits for that too


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything below this folder."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(TEST_SECONDS))


@pytest.fixture
def folder() -> Iterator[Path]:
    with new_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def orlop() -> Iterator[Orlop]:
    with new_folder() as folder:
        orlop = Orlop(folder)
        with orlop.serve():
            yield orlop


@pytest.fixture(scope="session")
def registry(orlop: Orlop) -> Registry:
    return orlop.registry


@pytest.fixture
def own_orlop(folder: Path) -> Orlop:
    """An Orlop for one test, which serves it itself."""
    return Orlop(folder)


@pytest.fixture
def fresh_registry(own_orlop: Orlop) -> Iterator[Registry]:
    """A registry without blobs: clients cannot mount what an earlier test pushed."""
    with own_orlop.serve():
        yield own_orlop.registry


@pytest.fixture(scope="session")
def public(orlop: Orlop) -> str:
    """The name of a repository that anyone may pull from."""
    orlop.command("repository", "create", "local/public", "--public", "--data", str(orlop.data))
    return "local/public"


@pytest.fixture(scope="session")
def peer() -> Iterator[Registry]:
    with docker_registry() as registry:
        yield registry


@pytest.fixture(scope="session")
def docker_host() -> Iterator[str]:
    with docker_daemon() as host:
        yield host


@pytest.fixture
def docker(docker_host: str, registry: Registry) -> Iterator[Client]:
    """A docker that is logged in."""
    with new_folder() as folder:
        docker = docker_client(docker_host, folder)
        docker(
            "login", "--username", registry.user, "--password-stdin", registry.address,
            stdin=registry.password,
        )  # fmt: skip
        yield docker


@pytest.fixture
def anonymous_docker(docker_host: str) -> Iterator[Client]:
    """A docker of somebody who never logged in, on the same daemon."""
    with new_folder() as folder:
        yield docker_client(docker_host, folder)


@pytest.fixture
def build_context(folder: Path) -> Rootfs:
    """What `docker build` builds from; the context is the parent of its folder."""
    return make_build_context(folder / "context")


@pytest.fixture
def containers(registry: Registry) -> Iterator[Containers]:
    """podman, buildah and skopeo of a user who is logged in and has no images."""
    with new_folder() as folder:
        containers = containers_in(folder)
        containers.log_in(registry)
        yield containers


@pytest.fixture
def other_containers(registry: Registry) -> Iterator[Containers]:
    """The same on another machine: what it has, it pulled."""
    with new_folder() as folder:
        containers = containers_in(folder)
        containers.log_in(registry)
        yield containers


@pytest.fixture
def skopeo(containers: Containers) -> Client:
    return containers.skopeo


@pytest.fixture(scope="session")
def ctr() -> Iterator[Client]:
    with containerd_client() as client:
        yield client


@pytest.fixture(scope="session")
def big_layout() -> Iterator[Path]:
    with new_folder() as folder:
        yield make_big_layout(folder)
