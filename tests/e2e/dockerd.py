"""Docker's daemon, and its client."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.programs import (
    Client,
    environment,
    need,
    need_root,
    new_folder,
    running,
    wait_until,
)


@contextmanager
def docker_daemon(more: Mapping[str, object] | None = None) -> Iterator[str]:
    """Run a dockerd that knows no image, with `more` settings; yield the value for DOCKER_HOST."""
    need("dockerd", "docker.io")
    need("docker", "docker.io")
    need("runc", "runc")
    need_root("dockerd")
    with new_folder() as folder:
        host = f"unix://{folder}/docker.sock"
        settings = folder / "dockerd.json"
        settings.write_text(json.dumps(_settings(folder, host) | dict(more or {})))
        log = folder / "dockerd.log"
        env = environment(folder / "home")
        try:
            with running(["dockerd", "--config-file", str(settings)], log=log, env=env) as daemon:
                wait_until(lambda: _is_up(host, env), "dockerd is up", daemon, log)
                yield host
        finally:
            _unmount(folder / "exec" / "netns" / "default")


def docker_client(host: str, folder: Path) -> Client:
    """Return a docker that keeps its logins in `folder`."""
    settings = {"DOCKER_HOST": host, "DOCKER_CONFIG": str(folder), "DOCKER_BUILDKIT": "0"}
    return Client(("docker",), environment(folder / "home", settings))


def _settings(folder: Path, host: str) -> dict[str, object]:
    # No bridge, no netfilter, plain copies instead of overlays, and no raised limits: these need
    # rights that a container or a small virtual machine does not have.
    return {
        "data-root": str(folder / "data"),
        "exec-root": str(folder / "exec"),
        "pidfile": str(folder / "dockerd.pid"),
        "hosts": [host],
        "storage-driver": "vfs",
        "bridge": "none",
        "iptables": False,
        "ip-forward": False,
        "ip-masq": False,
        "insecure-registries": ["127.0.0.0/8"],
        "oom-score-adjust": 0,
        "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 1024, "Hard": 1024}},
    }


def _is_up(host: str, env: dict[str, str]) -> bool:
    command = ["docker", "--host", host, "version"]
    return subprocess.run(command, env=env, capture_output=True, check=False).returncode == 0


def _unmount(mount: Path) -> None:
    # dockerd leaves this behind; it is absent if no container ran on the host's network.
    subprocess.run(["umount", str(mount)], capture_output=True, check=False)
