"""Another registry, Debian's docker-registry: images come from there too."""

import base64
import ctypes
import json
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.programs import need, new_folder, running, wait_until
from tests.e2e.registry import Registry, free_port


@contextmanager
def docker_registry(password: str = "") -> Iterator[Registry]:
    """Run an empty docker-registry that lets everybody do everything; or, by `password`, admin."""
    need("docker-registry", "docker-registry")
    with new_folder() as folder:
        registry = Registry(free_port(), password)
        chosen = _settings(f"{folder}/data", registry.address)
        if password:
            users = folder / "htpasswd"
            users.write_text(f"{registry.user}:{_bcrypt(password)}\n")
            chosen["auth"] = {"htpasswd": {"realm": "peer", "path": str(users)}}
        settings = folder / "settings.yml"
        settings.write_text(json.dumps(chosen))
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


def _bcrypt(password: str) -> str:
    """What `htpasswd -B` makes of it; docker-registry takes no other hash."""
    crypt = ctypes.CDLL("libcrypt.so.1").crypt
    crypt.restype = ctypes.c_char_p
    salt = base64.b64encode(secrets.token_bytes(16), b"./")[:21].decode()
    hashed: bytes = crypt(password.encode(), f"$2b$05${salt}u".encode())
    return hashed.decode()


def _htpasswd(folder: Path, registry: Registry) -> Path:
    need("htpasswd", "apache2-utils")
    path = folder / "htpasswd"
    command = ["htpasswd", "-ciBC5", str(path), registry.user]  # 2^5 rounds: it is asked a lot
    subprocess.run(
        command, input=registry.password, text=True, stderr=subprocess.DEVNULL, check=True
    )
    return path
