"""The same clients, served by several processes."""

import os
import signal
import subprocess
from http import HTTPStatus
from pathlib import Path

import pytest

from tests.e2e.containers import containers_in
from tests.e2e.dockerd import docker_client
from tests.e2e.images import make_index_layout
from tests.e2e.oci import blobs_of, tagged_digest
from tests.e2e.programs import new_folder, wait_until
from tests.e2e.test_docker import build, image_id, run

KEEP = ("copy", "--all", "--preserve-digests")


@pytest.fixture
def workers(own_orlop):
    with own_orlop.serve("--workers", "2") as supervisor:
        yield own_orlop, supervisor


@pytest.fixture
def own_docker(docker_host, workers):
    """A docker that is logged in where several processes serve."""
    registry = workers[0].registry
    with new_folder() as folder:
        docker = docker_client(docker_host, folder)
        login = ("login", "--username", registry.user, "--password-stdin", registry.address)
        docker(*login, stdin=registry.password)
        yield docker


def child(supervisor: subprocess.Popen[bytes], name: str) -> int:
    """The process of a supervisor that has this name on its command line."""
    threads = Path(f"/proc/{supervisor.pid}/task").iterdir()
    listed = " ".join((thread / "children").read_text() for thread in threads).split()
    for pid in map(int, listed):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
        if name in words:
            return pid
    raise LookupError(f"{name} among the processes {listed}")


def test_docker_pushes_and_pulls_where_several_processes_serve(own_docker, workers, build_context):
    image = workers[0].registry.image("workers") + ":1"
    built = build(own_docker, build_context, image)

    own_docker("push", image)
    own_docker("rmi", image)
    own_docker("pull", image)

    assert image_id(own_docker, image) == built
    assert run(own_docker, image) == build_context.message


def test_an_image_pushed_before_the_daemon_was_killed_is_pulled_meanwhile(workers, folder):
    orlop, supervisor = workers
    home = folder / "user"
    home.mkdir()
    containers = containers_in(home)
    containers.log_in(orlop.registry)
    source, target = make_index_layout(folder), folder / "target"
    image = "docker://" + orlop.registry.image("workers") + ":1"
    containers.skopeo(*KEEP, f"oci:{source}:latest", image)

    os.kill(child(supervisor, "daemon"), signal.SIGKILL)
    containers.skopeo(*KEEP, image, f"oci:{target}:latest")

    assert blobs_of(target) == blobs_of(source)
    assert tagged_digest(target) == tagged_digest(source)
    uploads = "/v2/local/images/workers/blobs/uploads/"
    wait_until(
        lambda: orlop.registry.ask("POST", uploads).status == HTTPStatus.ACCEPTED,
        "pushes work again",
        supervisor,
        orlop.log,
    )
    containers.skopeo(*KEEP, f"oci:{target}:latest", image)
    found = orlop.command("fsck", "--data", str(orlop.data))
    assert "everything is as it must be" in found
