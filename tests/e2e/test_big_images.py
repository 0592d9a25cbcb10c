"""Large layers of all three kinds, pushed from several clients and in several tries."""

import signal
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.e2e.oci import blobs_of
from tests.e2e.programs import CLIENT_SECONDS, Client, running, wait_until

KEEP = ("copy", "--preserve-digests")


def copy_beside(skopeo: Client, stack: ExitStack, log: Path, *pair: str) -> subprocess.Popen[bytes]:
    """Start a copy that ends with `stack` at the latest."""
    command = [*skopeo.command, *KEEP, *pair]
    return stack.enter_context(running(command, log=log, env=skopeo.env))


def has_written(process: subprocess.Popen[bytes], size: int) -> Callable[[], bool]:
    """Return a function that tells whether `process` has written `size` bytes to anywhere."""
    counters = Path(f"/proc/{process.pid}/io")

    def is_so() -> bool:
        fields = dict(line.split(": ") for line in counters.read_text().splitlines())
        return int(fields["wchar"]) >= size

    return is_so


def test_a_big_image_comes_back_with_equal_digests(skopeo, registry, big_layout, folder):
    image = "docker://" + registry.image("big") + ":1"

    skopeo(*KEEP, f"oci:{big_layout}:latest", image)
    skopeo(*KEEP, image, f"oci:{folder}/target:latest")

    assert blobs_of(folder / "target") == blobs_of(big_layout)


def test_a_push_that_is_killed_half_way_succeeds_when_repeated(
    containers, fresh_registry, big_layout, folder
):
    containers.log_in(fresh_registry)
    skopeo = containers.skopeo
    image = "docker://" + fresh_registry.image("big-killed") + ":1"
    pair = f"oci:{big_layout}:latest", image
    with ExitStack() as stack:
        push = copy_beside(skopeo, stack, folder / "log", *pair)
        wait_until(has_written(push, 32 << 20), "32 MiB are pushed", push, folder / "log")
        push.kill()
    assert push.returncode == -signal.SIGKILL
    assert fresh_registry.ask("GET", "/v2/local/images/big-killed/manifests/1").status == 404

    skopeo(*KEEP, *pair)
    skopeo(*KEEP, image, f"oci:{folder}/target:latest")

    assert blobs_of(folder / "target") == blobs_of(big_layout)


def test_two_clients_push_the_same_layers_at_once(
    containers, other_containers, fresh_registry, big_layout, folder
):
    clients = {"one": containers, "two": other_containers}
    for client in clients.values():
        client.log_in(fresh_registry)
    image = "docker://" + fresh_registry.image("big-twice")
    with ExitStack() as stack:
        pushes = [
            copy_beside(
                client.skopeo, stack, folder / "log", f"oci:{big_layout}:latest", f"{image}:{tag}"
            )
            for tag, client in clients.items()
        ]
        codes = [push.wait(CLIENT_SECONDS) for push in pushes]

    assert codes == [0, 0]
    for tag, client in clients.items():
        target = folder / tag
        client.skopeo(*KEEP, f"{image}:{tag}", f"oci:{target}:latest")
        assert blobs_of(target) == blobs_of(big_layout)
