"""Proxy repositories of the sources of tests, and pulls by somebody without credentials."""

import re
import secrets

from cas.digest import Digest
from frontend.settings import Gc, Http, Limits, Proxy, Settings, Storage
from tests.frontend.live import read_to_end
from tests.frontend.proxying import new_proxy

SIZE = 300_000
OTHER = "127.0.0.2"  # an inner address that is no upstream's own, but allowed here


def settings_in(folder, **proxy):
    return Settings(
        http=Http(listen="127.0.0.1:0", shutdown_seconds=2),
        gc=Gc(grace_seconds=0, lease_seconds=0, interval_seconds=0),
        limits=Limits(failed_logins=0, manifest_bytes=1 << 20),
        proxy=Proxy(**{"answer_seconds": 1.0, "stall_seconds": 1.0, "allow": (OTHER,)} | proxy),
        storage=Storage(data=str(folder / "data")),
    )


def proxy_of(live, far, **more):
    said = {"url": far.url, "username": "", "password": "", "tag_ttl_seconds": 0}
    return new_proxy(live, far, "public", **said | more)


def layer(size=SIZE):
    return secrets.token_bytes(size)


def take(live, path, *fields):
    """GET as somebody who has no credentials; returns status, body and whether it came whole."""
    lines = [f"GET {path} HTTP/1.1", "Host: x", "Connection: close", *fields, "", ""]
    with live.connect() as peer:
        peer.settimeout(30)
        peer.sendall("\r\n".join(lines).encode())
        received = read_to_end(peer)
    head, _, body = received.partition(b"\r\n\r\n")
    said = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    return int(head[9:12]), body, said is not None and len(body) == int(said[1])


def is_kept(live, content):
    return live.registry.store.read(lambda view: view.object(Digest.of(content).key)) is not None


def uploads(live):
    return list((live.server.data / "uploads").glob("*"))
