"""Proxies with TLS in front of Orlop, by the lines that `/connect` gives for them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from frontend.web import snippets
from tests.e2e.orlop import Orlop
from tests.e2e.programs import environment, need, running, wait_until
from tests.e2e.registry import free_port
from tests.e2e.tls import copy_there_and_back
from tests.frontend.certificates import Pair, make_pair
from tests.frontend.live import digest_of

LARGE = 8 << 20  # bytes: beyond the limits and the buffers that proxies have by themselves


@dataclass(frozen=True)
class Front:
    """Where clients come in."""

    port: int
    pair: Pair

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def lines(self, about: str, behind: str) -> str:
        """What the page gives, with the address of Orlop here."""
        (found,) = [
            each.text
            for each in snippets.proxies(snippets.Address(self.address, is_tls=True))
            if each.about.startswith(about)
        ]
        return found.replace(snippets.BEHIND, behind)


def nginx(front: Front, folder: Path, behind: str) -> list[str]:
    need("nginx", "nginx-light")
    lines = front.lines("nginx", behind).replace("443 ssl", f"{front.port} ssl")
    lines = lines.replace("/etc/ssl/orlop/chain.pem", str(front.pair.certificate))
    lines = lines.replace("/etc/ssl/orlop/key.pem", str(front.pair.key))
    own = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    file = folder / "nginx.conf"
    file.write_text(
        f"daemon off;\npid {folder}/pid;\nerror_log stderr;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{own}{lines}\n}}\n"
    )
    return ["nginx", "-e", "stderr", "-c", str(file)]


def caddy(front: Front, folder: Path, behind: str) -> list[str]:
    need("caddy", "caddy")
    certificate = f"\n    tls {front.pair.certificate} {front.pair.key}\n"
    lines = front.lines("Caddy", behind)
    assert lines.startswith("127.0.0.1 {\n")
    lines = lines.replace("127.0.0.1 {", f"https://{front.address} {{{certificate}", 1)
    file = folder / "Caddyfile"
    file.write_text(f"{{\n    admin off\n    auto_https disable_redirects\n}}\n{lines}\n")
    return ["caddy", "run", "--config", str(file), "--adapter", "caddyfile"]


@contextmanager
def serving(program, folder: Path) -> Iterator[tuple[Front, Orlop]]:
    """Orlop with the lines for itself, and a proxy in front."""
    front, orlop = Front(free_port(), make_pair(folder)), Orlop(folder)
    lines = front.lines("Orlop itself", "").replace(
        'https://127.0.0.1"', f'https://{front.address}"'
    )
    (folder / "orlop.toml").write_text(lines)
    command, log = program(front, folder, orlop.registry.address), folder / "front.log"
    with (
        orlop.serve("--config", str(folder / "orlop.toml")),
        running(command, log=log, env=environment(folder / "home")) as process,
    ):
        wait_until(lambda: _answers(front), "the proxy is there", process, log)
        yield front, orlop


def _answers(front: Front) -> bool:
    try:
        with _client(front) as client:
            return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


def _client(front: Front, *who: str) -> httpx.Client:
    return httpx.Client(
        base_url=f"https://{front.address}", auth=who or None, verify=front.pair.trust(),
        trust_env=False, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("program", [nginx, caddy])
def test_clients_push_and_pull_through_it(folder, program):
    with serving(program, folder) as (front, orlop):
        image = f"{front.address}/local/images/fronted:1"
        login = f"admin:{orlop.registry.password}"
        copy_there_and_back(folder, front.pair.certificate, image, login)


@pytest.mark.parametrize("program", [nginx, caddy])
def test_large_bodies_pass_and_orlop_knows_who_asks_and_by_which_name(folder, program):
    content = os.urandom(LARGE)
    digest = digest_of(content)
    with (
        serving(program, folder) as (front, orlop),
        _client(front, "admin", orlop.registry.password) as client,
    ):
        challenge = client.get("/v2/", auth=None).headers["WWW-Authenticate"]
        pushed = client.post(
            f"/v2/local/images/large/blobs/uploads/?digest={digest}", content=content
        )
        pulled = client.get(f"/v2/local/images/large/blobs/{digest}")
        signed_in = client.post(
            "/sign-in",
            data={"username": "admin", "password": orlop.registry.password},
            headers={"Origin": f"https://{front.address}"},
            auth=None,
        )

    assert f'realm="https://{front.address}/v2/token"' in challenge
    assert (pushed.status_code, pulled.status_code) == (201, 200)
    assert pulled.content == content
    assert signed_in.status_code == 303
    assert "Secure" in signed_in.headers["Set-Cookie"]
