"""Configuration of clients and of proxies in front, for one address of ours. Pure.

Nothing in it comes from a request: the address is the configured one, names have the grammar of
repositories and of users, and other registries' addresses are parsed before they are written.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from shlex import quote
from typing import Final, Self

from frontend.domain.upstream import Upstream
from frontend.domain.urls import UrlInvalid

NOBODY: Final = "NAME"  # instead of a user
NO_HUB: Final = "STORAGE/REPOSITORY"  # instead of a repository
BEHIND: Final = "127.0.0.1:5080"  # where `orlop serve` listens unless told otherwise


@dataclass(frozen=True, slots=True)
class Snippet:
    """Text to be copied: into the file `place`, or (empty) into a shell. `about` says what for."""

    about: str
    text: str
    place: str = ""


@dataclass(frozen=True, slots=True)
class Mirror:
    """A proxy repository that can stand for the registry that clients call `namespace`."""

    repository: str
    namespace: str
    server: str  # its URL
    is_public: bool

    @classmethod
    def of(cls, repository: str, url: str, *, is_public: bool) -> Self | None:
        """What the upstream `url` is to clients; None: of a part of a registry, or of none."""
        try:
            upstream = Upstream.parse(url)
        except UrlInvalid:
            return None
        if upstream.prefix:
            return None
        server = str(upstream.origin)
        host = "docker.io" if upstream.is_docker_hub else server.partition("://")[2]
        return cls(repository, host, server, is_public)


@dataclass(frozen=True, slots=True)
class Address:
    """Where clients find us, and as whom and what for they come."""

    host: str
    is_tls: bool
    user: str = NOBODY
    repository: str = NO_HUB

    @property
    def url(self) -> str:
        """Scheme and host."""
        return f"{'https' if self.is_tls else 'http'}://{self.host}"

    @property
    def is_trusted(self) -> bool:
        """Whether docker speaks to us without being told that it may."""
        return self.is_tls or self.host.startswith("127.")


def docker(to: Address) -> list[Snippet]:
    """To pull and push by name."""
    image = f"{to.host}/{to.repository}/IMAGE:TAG"
    found = [
        Snippet("Log in, with your password or an access token", _login("docker", to)),
        Snippet("Push", f"docker tag IMAGE:TAG {quote(image)}\ndocker push {quote(image)}"),
        Snippet("Pull", f"docker pull {quote(image)}"),
    ]
    if not to.is_trusted:
        allowed = _json({"insecure-registries": [to.host]})
        about = "Docker speaks plain HTTP only to who is named here; then restart dockerd"
        found.insert(0, Snippet(about, allowed, "/etc/docker/daemon.json"))
    return found


def docker_mirror(to: Address, mirrors: Sequence[Mirror]) -> Snippet:
    """To pull Docker Hub's images from here: dockerd sends no credentials, so from a public one."""
    hubs = [each for each in mirrors if each.namespace == "docker.io" and each.is_public]
    name = hubs[0].repository if hubs else NO_HUB
    said: dict[str, list[str]] = {"registry-mirrors": [f"{to.url}/mirror/{name}"]}
    if not to.is_trusted:
        said["insecure-registries"] = [to.host]
    about = "Docker 24.0.8 or newer asks here first for images of Docker Hub; then restart dockerd"
    return Snippet(about, _json(said), "/etc/docker/daemon.json")


def podman(to: Address, mirrors: Sequence[Mirror]) -> list[Snippet]:
    """podman, buildah and skopeo."""
    image = f"{to.host}/{to.repository}/IMAGE:TAG"
    insecure = "" if to.is_tls else "insecure = true\n"
    found = [
        Snippet("Log in, with your password or an access token", _login("podman", to)),
        Snippet("Push", f"podman push IMAGE:TAG {quote(image)}"),
        Snippet("Pull", f"podman pull {quote(image)}"),
    ]
    if insecure:
        text = f'[[registry]]\nlocation = "{to.host}"\n{insecure}'
        place = "/etc/containers/registries.conf.d/orlop.conf"
        found.insert(0, Snippet("Plain HTTP has to be allowed", text.rstrip(), place))
    parts = [
        f'[[registry]]\nlocation = "{each.namespace}"\n\n[[registry.mirror]]\n'
        f'location = "{to.host}/{each.repository}"\n{insecure}'
        for each in mirrors
    ]
    if parts:
        place = "/etc/containers/registries.conf.d/mirror.conf"
        found.append(Snippet("Ask here first", "\n".join(parts).rstrip(), place))
    return found


def containerd(to: Address, mirrors: Sequence[Mirror]) -> list[Snippet]:
    """One file for each registry; ours needs one when it speaks plain HTTP."""
    found = []
    if not to.is_tls:
        text = _hosts(to.url, to.url, "pull", "resolve", "push")
        found.append(Snippet("Plain HTTP has to be allowed", text, _certs(to.host)))
    for each in mirrors:
        text = _hosts(each.server, to.url, "pull", "resolve")
        about = f"Ask here first for images of {each.namespace}"
        found.append(Snippet(about, text, _certs(each.namespace)))
    config = (
        '[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "/etc/containerd/certs.d"'
    )
    about = "containerd looks into that folder if its own configuration says so"
    found.append(Snippet(about, config, "/etc/containerd/config.toml"))
    return found


def k3s(to: Address, mirrors: Sequence[Mirror]) -> Snippet:
    """k3s writes containerd's files from its own."""
    lines = []
    ends = [*([] if to.is_tls else [to.host]), *(each.namespace for each in mirrors)]
    for namespace in ends:
        lines += [f"  {_json(namespace)}:", "    endpoint:", f"      - {_json(to.url)}"]
    lines = ["mirrors:", *lines] if lines else []
    lines += ["configs:", f"  {_json(to.host)}:", "    auth:"]
    lines += [f"      username: {_json(to.user)}", "      password: ACCESS-TOKEN"]
    return Snippet("Then restart k3s", "\n".join(lines), "/etc/rancher/k3s/registries.yaml")


def kubernetes(to: Address) -> list[Snippet]:
    """A pull secret, and a pod that uses it."""
    secret = (
        "kubectl create secret docker-registry orlop \\\n"
        f"  --docker-server={quote(to.host)} \\\n"
        f"  --docker-username={quote(to.user)} \\\n"
        '  --docker-password="$ORLOP_TOKEN"'
    )
    pod = (
        "spec:\n  imagePullSecrets:\n    - name: orlop\n  containers:\n    - name: app\n"
        f"      image: {_json(f'{to.host}/{to.repository}/IMAGE:TAG')}"
    )
    return [
        Snippet("A pull secret, with an access token in ORLOP_TOKEN", secret),
        Snippet("What pulls with it", pod, "in a pod's template"),
    ]


def proxies(to: Address) -> list[Snippet]:
    """TLS in front of Orlop: no limit to a body, nothing buffered, and it says who asks."""
    name = _host_alone(to.host)
    nginx = f"""\
server {{
    listen 443 ssl;
    server_name {name};
    ssl_certificate     /etc/ssl/orlop/chain.pem;
    ssl_certificate_key /etc/ssl/orlop/key.pem;
    client_max_body_size 0;

    location / {{
        proxy_pass http://{BEHIND};
        proxy_http_version 1.1;
        proxy_request_buffering off;
        proxy_buffering off;
        proxy_read_timeout 900s;
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Forwarded-Host $http_host;
    }}
}}"""
    caddy = f"{name} {{\n    reverse_proxy {BEHIND} {{\n        flush_interval -1\n    }}\n}}"
    traefik = f"""\
http:
  routers:
    orlop:
      rule: "Host(`{name}`)"
      entryPoints: ["websecure"]
      service: orlop
      tls: {{}}
  services:
    orlop:
      loadBalancer:
        servers:
          - url: "http://{BEHIND}\""""
    orlop = f'[http]\npublic_url = "https://{name}"\ntrusted_proxies = ["127.0.0.1"]'
    return [
        Snippet(
            "Orlop itself: its name outside, and whom it believes who asks", orlop, "orlop.toml"
        ),
        Snippet("nginx", nginx, "/etc/nginx/conf.d/orlop.conf"),
        Snippet("Caddy, which gets its certificates by itself", caddy, "/etc/caddy/Caddyfile"),
        Snippet("Traefik, with a file provider", traefik, "/etc/traefik/dynamic/orlop.yaml"),
    ]


def _login(client: str, to: Address) -> str:
    flag = " --tls-verify=false" if client == "podman" and not to.is_tls else ""
    return f"{client} login{flag} -u {quote(to.user)} {quote(to.host)}"


def _hosts(server: str, host: str, *capabilities: str) -> str:
    return f'server = "{server}"\n\n[host."{host}"]\n  capabilities = {_json(capabilities)}'


def _certs(namespace: str) -> str:
    return f"/etc/containerd/certs.d/{namespace}/hosts.toml"


def _host_alone(host: str) -> str:
    """Without its port."""
    return host if host.endswith("]") else host.rpartition(":")[0] or host


def _json(value: object) -> str:
    """JSON, of which texts are also TOML and YAML."""
    return json.dumps(value, indent=2 if isinstance(value, dict) else None)
