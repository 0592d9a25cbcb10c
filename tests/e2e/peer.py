"""Another registry, Debian's docker-registry: images come from there too."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from tests.e2e.programs import need, new_folder, running, wait_until
from tests.e2e.registry import Registry, free_port


@contextmanager
def docker_registry() -> Iterator[Registry]:
    """Run an empty docker-registry that lets everybody do everything."""
    need("docker-registry", "docker-registry")
    with new_folder() as folder:
        registry = Registry(free_port(), password="")
        settings = folder / "settings.yml"
        settings.write_text(json.dumps(_settings(f"{folder}/data", registry.address)))
        log = folder / "registry.log"
        with running(["docker-registry", "serve", str(settings)], log=log) as process:
            wait_until(lambda: registry.answers("/v2/"), "docker-registry is up", process, log)
            yield registry


def _settings(data: str, address: str) -> dict[str, object]:
    # Every JSON document is a YAML document.
    return {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {
            "cache": {"blobdescriptor": "inmemory"},
            "filesystem": {"rootdirectory": data},
            "delete": {"enabled": True},
        },
        "http": {"addr": address},
    }
