"""containerd, and its client ctr."""

import subprocess
from collections.abc import Iterator
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

_SETTINGS = """
version = 2
root = "{folder}/root"
state = "{folder}/state"
oom_score = 0
disabled_plugins = [
  "io.containerd.grpc.v1.cri",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.devmapper",
]
[grpc]
  address = "{folder}/c.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/opt"
"""


@contextmanager
def containerd_client() -> Iterator[Client]:
    """Run a containerd that knows no image; yield its ctr."""
    need("containerd", "containerd")
    need("ctr", "containerd")
    need("runc", "runc")
    need_root("containerd")
    with new_folder() as folder:
        settings = folder / "containerd.toml"
        settings.write_text(_SETTINGS.format(folder=folder))
        log = folder / "containerd.log"
        client = Client(("ctr", "-a", f"{folder}/c.sock"), environment(folder / "home"))
        with running(["containerd", "-c", str(settings)], log=log, env=client.env) as daemon:
            wait_until(lambda: _is_up(client, folder), "containerd is up", daemon, log)
            yield client


def _is_up(client: Client, folder: Path) -> bool:
    if not (folder / "c.sock").exists():
        return False
    command = [*client.command, "version"]
    result = subprocess.run(command, env=dict(client.env), capture_output=True, check=False)
    return result.returncode == 0
