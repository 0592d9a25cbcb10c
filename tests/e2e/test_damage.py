"""What users of docker do when the disk goes bad: the pull says so, and the next push mends."""

import json
import os
from pathlib import Path

import pytest

from cas import layout
from tests.cas import pages
from tests.e2e.containers import containers_in
from tests.e2e.dockerd import docker_client
from tests.e2e.programs import wait_until
from tests.e2e.test_docker import build


def flip_largest(data: Path) -> None:
    """Change a byte in the middle of the largest pack, and have memory forget it."""
    packs = (data / layout.PACKS).iterdir()
    path = max(packs, key=lambda each: each.stat().st_size)
    path.chmod(0o600)
    descriptor = os.open(path, os.O_RDWR)
    try:
        middle = path.stat().st_size // 2
        os.pwrite(descriptor, bytes((os.pread(descriptor, 1, middle)[0] ^ 1,)), middle)
        pages.drop(descriptor)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_docker_pushes_again_what_the_disk_damaged(
    docker_host, own_orlop, build_context, folder, workers
):
    for name in ("containers", "docker"):
        (folder / name).mkdir()
    registry, skopeo = own_orlop.registry, containers_in(folder / "containers").skopeo
    image = registry.image("damaged") + ":1"
    copy = ("copy", "--src-tls-verify=false", f"--src-creds={registry.credentials}")
    copy = (*copy, f"docker://{image}")
    with own_orlop.serve("--workers", workers):
        docker = docker_client(docker_host, folder / "docker")
        docker(
            "login", "--username", registry.user, "--password-stdin", registry.address,
            stdin=registry.password,
        )  # fmt: skip
        build(docker, build_context, image)
        docker("push", image)
        flip_largest(own_orlop.data)

        skopeo.refused(*copy, f"dir:{folder}/cut")
        wait_until(
            lambda: registry.ask("HEAD", "/v2/local/images/damaged/manifests/1").status == 404,
            "the image is known to be damaged",
        )
        said = skopeo.refused(*copy, f"dir:{folder}/refused")
        scrubbed = own_orlop.command.refused("scrub", "--data", str(own_orlop.data))
        docker("push", image)
        skopeo(*copy, f"dir:{folder}/whole")

        assert "manifest unknown" in said
        assert scrubbed == ""  # what is damaged is its answer, and 1 its exit code
        found = json.loads(own_orlop.command("scrub", "--json", "--data", str(own_orlop.data)))
        assert (found["standing"], found["damaged"]) == (0, [])
