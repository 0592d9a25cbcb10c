"""podman, buildah and skopeo: no daemon, but settings and a store of images, here in one folder."""

import json
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.programs import Client, environment, need, need_root
from tests.e2e.registry import Registry

_CONTAINERS = """
[containers]
cgroups = "enabled"
netns = "host"
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
tmp_dir = "{folder}/tmp"
"""
_STORAGE = """
[storage]
driver = "vfs"
graphroot = "{folder}/graph"
runroot = "{folder}/run"
"""
_PLAIN_HTTP = """
[[registry]]
location = "{address}"
insecure = true
"""
_POLICY = {"default": [{"type": "insecureAcceptAnything"}]}


@dataclass(frozen=True)
class Containers:
    """The settings of one user: a store without images, and logins."""

    folder: Path
    env: dict[str, str]

    @property
    def settings(self) -> Path:
        """Where all three look for policy and registries; no variable leads all of them there."""
        return self.folder / "home" / ".config" / "containers"

    @property
    def podman(self) -> Client:
        need("podman", "podman")
        need("runc", "runc")
        need_root("podman")
        return Client(("podman",), self.env)

    @property
    def buildah(self) -> Client:
        need("buildah", "buildah")
        need_root("buildah")
        return Client(("buildah",), self.env)

    @property
    def skopeo(self) -> Client:
        need("skopeo", "skopeo")
        return Client(("skopeo",), self.env)

    def trust(self, registry: Registry) -> None:
        """Let all three use `registry` without TLS."""
        with (self.settings / "registries.conf").open("a") as registries:
            registries.write(_PLAIN_HTTP.format(address=registry.address))

    def log_in(self, registry: Registry) -> None:
        """Log all three in: they share one file of logins."""
        self.trust(registry)
        self.skopeo(
            "login", "--username", registry.user, "--password-stdin", registry.address,
            stdin=registry.password,
        )  # fmt: skip


def containers_in(folder: Path) -> Containers:
    """Write the settings into `folder`, which holds their HOME too."""
    home = folder / "home"
    settings = {
        "CONTAINERS_CONF": folder / "containers.conf",
        "CONTAINERS_STORAGE_CONF": folder / "storage.conf",
        "REGISTRY_AUTH_FILE": folder / "auth.json",
    }
    env = environment(home, {name: str(path) for name, path in settings.items()})
    containers = Containers(folder, env)
    containers.settings.mkdir(parents=True)
    (folder / "containers.conf").write_text(_CONTAINERS.format(folder=folder))
    (folder / "storage.conf").write_text(_STORAGE.format(folder=folder))
    (containers.settings / "policy.json").write_text(json.dumps(_POLICY))
    return containers
