"""What users of docker, podman, skopeo and containerd pull through, and after the upstream died."""

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import pytest

from tests.e2e.containers import Containers, containers_in
from tests.e2e.dockerd import docker_client, docker_daemon
from tests.e2e.images import SPEAK, Rootfs, add_rootfs_layer, make_rootfs
from tests.e2e.mirrors import documented, prefixing
from tests.e2e.oci import Layout, blobs_of, tagged_digest
from tests.e2e.orlop import Orlop
from tests.e2e.peer import docker_registry
from tests.e2e.programs import new_folder
from tests.e2e.registry import Registry
from tests.e2e.test_containerd import NATIVE
from tests.e2e.test_docker import run

KEEP = ("copy", "--all", "--preserve-digests")


@dataclass(frozen=True)
class Image:
    """An index for two platforms, and what it says when it runs."""

    layout: Path
    rootfs: Rootfs

    @property
    def digest(self) -> str:
        return tagged_digest(self.layout)


@dataclass
class Far:
    """Another registry, that the test ends; it has images below `prefix`."""

    registry: Registry
    prefix: str
    end: Callable[[], None]
    containers: Containers

    @property
    def url(self) -> str:
        return f"http://{self.registry.address}{self.prefix}"

    def push(self, image: Image, name: str) -> None:
        place = f"docker://{self.registry.address}{self.prefix}/{name}"
        self.containers.skopeo(*KEEP, f"oci:{image.layout}:latest", place)


@pytest.fixture
def image(folder: Path) -> Image:
    return make_image(folder)


def make_image(folder: Path) -> Image:
    rootfs = make_rootfs(folder / "rootfs")
    layout = Layout(folder / "layout")
    layer = add_rootfs_layer(layout, rootfs)
    both = [layout.add_image([layer], SPEAK, each) for each in ("amd64", "arm64")]
    layout.tag(layout.add_index(both), "latest")
    return Image(layout.root, rootfs)


@contextmanager
def far_away(kind: str) -> Iterator[Far]:
    """Run another registry; the password of "open" is none."""
    with new_folder() as folder, ExitStack() as stack:
        home = folder / "user"
        home.mkdir()
        containers = containers_in(home)
        prefix = ""
        if kind == "orlop":
            orlop = Orlop(folder)
            stack.enter_context(orlop.serve())
            registry, prefix = orlop.registry, "/local/images"
        else:
            password = secrets.token_urlsafe(12) if kind == "htpasswd" else ""
            registry = stack.enter_context(docker_registry(password))
        if registry.password:
            containers.log_in(registry)
        else:
            containers.trust(registry)
        yield Far(registry, prefix, stack.close, containers)


@pytest.fixture(params=["open", "htpasswd", "orlop"])
def far(request: pytest.FixtureRequest) -> Iterator[Far]:
    with far_away(request.param) as made:
        yield made


@pytest.fixture
def open_far() -> Iterator[Far]:
    with far_away("open") as made:
        yield made


def new_proxy(orlop: Orlop, far: Far, *options: str) -> str:
    """A proxy repository whose tags are asked for at each pull."""
    name = f"local/p{secrets.token_hex(3)}"
    said = ["--proxy", far.url, "--ttl", "0", "--data", str(orlop.data), *options]
    if far.registry.password:
        said += ["--upstream-user", far.registry.user, "--upstream-password-stdin"]
    orlop.command("repository", "create", name, *said, stdin=far.registry.password)
    return name


def test_docker_runs_what_it_pulled_through_also_when_the_upstream_is_gone(
    docker, orlop, far, image
):
    far.push(image, "app:1")
    reference = orlop.registry.image("app", new_proxy(orlop, far)) + ":1"

    docker("pull", reference)
    assert run(docker, reference) == image.rootfs.message
    docker("rmi", reference)
    far.end()
    docker("pull", reference)
    by_digest = f"{reference.rpartition(':')[0]}@{image.digest}"
    docker("pull", by_digest)

    assert run(docker, reference) == image.rootfs.message


def test_podman_runs_what_it_pulled_through_also_when_the_upstream_is_gone(
    containers, other_containers, orlop, far, image
):
    far.push(image, "app:1")
    reference = orlop.registry.image("app", new_proxy(orlop, far)) + ":1"

    containers.podman("pull", reference)
    far.end()
    other_containers.podman("pull", reference)
    by_digest = f"{reference.rpartition(':')[0]}@{image.digest}"
    other_containers.podman("pull", by_digest)

    for each in (containers, other_containers):
        said = each.podman("run", "--rm", "--pull", "never", reference)
        assert said == image.rootfs.message


def test_containerd_runs_what_it_pulled_through_also_when_the_upstream_is_gone(
    ctr, orlop, far, image
):
    far.push(image, "app:1")
    reference = orlop.registry.image("app", new_proxy(orlop, far)) + ":1"
    pull = ("images", "pull", *NATIVE, "--plain-http", "--user", orlop.registry.credentials)

    ctr(*pull, reference)
    ctr("images", "remove", "--sync", reference)
    far.end()
    ctr(*pull, reference)

    said = ctr("run", "--rm", "--net-host", *NATIVE, reference, f"ctr-{secrets.token_hex(3)}")
    assert said == image.rootfs.message


def test_skopeo_copies_an_index_byte_for_byte_also_when_the_upstream_is_gone(
    skopeo, orlop, far, image, folder
):
    far.push(image, "app:1")
    proxy = new_proxy(orlop, far)
    there = "docker://" + orlop.registry.image("app", proxy) + ":1"

    skopeo(*KEEP, there, f"oci:{folder}/first:latest")
    far.end()
    skopeo(*KEEP, there, f"oci:{folder}/second:latest")

    for copy in ("first", "second"):
        assert blobs_of(folder / copy) == blobs_of(image.layout)
        assert tagged_digest(folder / copy) == image.digest
    stale = orlop.registry.ask("GET", f"/v2/{proxy}/app/manifests/1")
    exact = orlop.registry.ask("GET", f"/v2/{proxy}/app/manifests/{image.digest}")
    assert stale.headers["Warning"].startswith('299 - "stale: ')
    assert "Warning" not in exact.headers
    assert stale.body == exact.body


def test_of_an_index_only_what_a_client_took_is_here(docker, orlop, open_far, image):
    open_far.push(image, "app:1")
    proxy = new_proxy(orlop, open_far)
    docker("pull", orlop.registry.image("app", proxy) + ":1")
    open_far.end()

    index = json.loads(orlop.registry.ask("GET", f"/v2/{proxy}/app/manifests/1").body)
    found = {
        each["platform"]["architecture"]: orlop.registry.ask(
            "GET", f"/v2/{proxy}/app/manifests/{each['digest']}"
        ).status
        for each in index["manifests"]
    }

    assert found == {"amd64": HTTPStatus.OK, "arm64": HTTPStatus.SERVICE_UNAVAILABLE}


def test_a_client_is_told_when_the_upstream_is_gone_before_it_pulled(skopeo, orlop, open_far):
    reference = orlop.registry.image("app", new_proxy(orlop, open_far)) + ":1"
    open_far.end()

    said = skopeo.refused("inspect", f"docker://{reference}")

    assert "upstream registry does not answer" in said or "503" in said


# --- as a mirror: the files of docs/mirrors.md ---


@pytest.mark.parametrize("ending", ["", "/v2"], ids=["containerd", "k3s"])
def test_containerd_finds_the_repository_by_the_namespace_it_means(
    ctr, orlop, open_far, folder, ending
):
    image = make_image(folder)
    open_far.push(image, "library/app:1")
    proxy = new_proxy(orlop, open_far, "--public")
    hosts = documented("docker.io/hosts.toml\n", orlop.registry.address + ending, proxy)
    write_hosts(folder, open_far.registry.address, hosts)
    reference = f"{open_far.registry.address}/library/app:1"
    pull = ("images", "pull", *NATIVE, "--hosts-dir", str(folder / "hosts"), reference)

    ctr(*pull)
    ctr("images", "remove", "--sync", reference)
    open_far.end()
    ctr(*pull)

    said = ctr("run", "--rm", "--net-host", *NATIVE, reference, f"ctr-{secrets.token_hex(3)}")
    assert said == image.rootfs.message


def test_containerd_pulls_docker_hub_images_from_the_repository_that_a_path_names(
    ctr, orlop, open_far, image, folder
):
    open_far.push(image, "library/app:1")
    proxy = new_proxy(orlop, open_far, "--public")
    hosts = documented("for one repository\n", orlop.registry.address, proxy)
    write_hosts(folder, "docker.io", hosts)
    reference = "docker.io/library/app:1"

    ctr("images", "pull", *NATIVE, "--hosts-dir", str(folder / "hosts"), reference)

    said = ctr("run", "--rm", "--net-host", *NATIVE, reference, f"ctr-{secrets.token_hex(3)}")
    ctr("images", "remove", "--sync", reference)
    assert said == image.rootfs.message


def test_containerd_finds_a_private_repository_when_it_says_who_it_is(
    ctr, orlop, open_far, image, folder
):
    open_far.push(image, "library/app:1")
    proxy = new_proxy(orlop, open_far)
    hosts = documented("docker.io/hosts.toml\n", orlop.registry.address, proxy)
    dead = f"http://{orlop.registry.address.replace('127.0.0.1', '127.0.0.9')}"
    write_hosts(
        folder, open_far.registry.address, hosts.replace("https://registry-1.docker.io", dead)
    )
    reference = f"{open_far.registry.address}/library/app:1"
    pull = ("images", "pull", *NATIVE, "--hosts-dir", str(folder / "hosts"))

    ctr.refused(*pull, reference)
    ctr(*pull, "--user", orlop.registry.credentials, reference)

    ctr("images", "remove", "--sync", reference)


def write_hosts(folder: Path, namespace: str, hosts: str) -> None:
    place = folder / "hosts" / namespace
    place.mkdir(parents=True)
    (place / "hosts.toml").write_text(hosts)


@pytest.mark.parametrize("is_public", [True, False], ids=["public", "private"])
def test_podman_pulls_docker_hub_images_from_its_mirror(
    containers, orlop, open_far, image, is_public
):
    open_far.push(image, "library/app:1")
    proxy = new_proxy(orlop, open_far, *(["--public"] if is_public else []))
    mirror = documented("mirror.conf\n", orlop.registry.address, proxy)
    with (containers.settings / "registries.conf").open("a") as registries:
        registries.write(mirror + "insecure = true\n")

    containers.podman("pull", "docker.io/library/app:1")

    said = containers.podman("run", "--rm", "--pull", "never", "docker.io/library/app:1")
    assert said == image.rootfs.message


def test_docker_pulls_docker_hub_images_from_its_mirror(orlop, open_far, image, folder):
    open_far.push(image, "library/app:1")
    proxy = new_proxy(orlop, open_far, "--public")
    settings = json.loads(documented("registry-mirrors", orlop.registry.address, proxy))
    (mirror,) = settings["registry-mirrors"]
    assert mirror == f"http://{orlop.registry.address}/mirror/{proxy}"

    with ExitStack() as stack:
        # Debian's dockerd is older than 24.0.8, and takes no path: the front adds it.
        front = stack.enter_context(prefixing(orlop.registry.port, f"/mirror/{proxy}"))
        host = stack.enter_context(docker_daemon(settings | {"registry-mirrors": [front]}))
        docker = docker_client(host, folder)
        docker("pull", "app:1")
        docker("rmi", "app:1")
        open_far.end()
        docker("pull", "app:1")
        said = run(docker, "app:1")

    assert said == image.rootfs.message
