"""`orlop serve`: the store, the application and the server under one nursery."""

import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from cas.local import LocalStore, StoreSettings, open_store
from frontend import memory
from frontend.access.credentials import Authenticator
from frontend.access.tokens import Signer
from frontend.app import RegistryApp
from frontend.bootstrap import FirstStart, prepare
from frontend.domain.rights import Realm
from frontend.registry.call import Registry
from frontend.registry.hot import HotRegistry
from frontend.registry.site import Site
from frontend.server.certificate import open_certificate
from frontend.server.serving import Service, Sockets, open_sockets, serve, wait_for_signal
from frontend.settings import Settings, listen_address

_ANY_ADDRESS = ("0.0.0.0", "::", "")  # noqa: S104 - compared with, not bound


async def run(settings: Settings, environment: Mapping[str, str]) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        OSError: the address or the data directory cannot be used.
        CertificateUnusable: or its key is.
        PasswordUnusable: the administrator's, at the first start.
        IndexFault, CasError: the store cannot be opened, or failed.
    """
    open_certificate(settings.http)  # `serve` does; but before anything is made, this must be said
    data = Path(settings.storage.data)
    is_terminal = sys.stdout.isatty()
    async with open_store(data, store_settings(settings)) as store:
        with open_sockets(settings.http.listen, data) as sockets:
            # Only now: a password that was made before a bind that failed would never be shown.
            first = await prepare(store, data, environment, is_terminal=is_terminal)
            url = public_url(settings, sockets.port)
            registry = build_registry(store, settings, url)
            await _serve(registry, sockets, greeting(url, first))


async def _serve(registry: Registry, sockets: Sockets, words: str) -> None:
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        await nursery.start(wait_for_signal, stop)
        nursery.start_soon(_note_draining, registry, stop)
        async with serving(registry, sockets, stop):
            memory.settle()
            sys.stdout.write(words)
            sys.stdout.flush()
            await stop.wait()
        nursery.cancel_scope.cancel()


async def _note_draining(registry: Registry, stop: trio.Event) -> None:
    await stop.wait()
    registry.health.is_draining = True


@asynccontextmanager
async def serving(registry: Registry, sockets: Sockets, stop: trio.Event) -> AsyncIterator[None]:
    """Accept connections within the block; leaving it stops and drains."""
    app = RegistryApp(registry)
    async with trio.open_nursery() as nursery:
        service = Service(app, HotRegistry(registry))
        await nursery.start(serve, service, registry.settings.http, sockets, stop)
        yield
        stop.set()


def build_registry(store: LocalStore, settings: Settings, url: str) -> Registry:
    """Everything the requests share."""
    service = url.partition("://")[2].partition("/")[0]
    realm = Realm(f"{url}/v2/token", service)
    signer = store.read(Signer.of)
    site = Site(realm, settings.gc.grace_seconds, settings.gc.lease_seconds)
    return Registry(
        store=store,
        settings=settings,
        site=site,
        authenticator=Authenticator(store, realm, signer),
        signer=signer,
        uploads=trio.CapacityLimiter(settings.limits.concurrent_uploads),
        stats=store.stats,
    )


def store_settings(settings: Settings) -> StoreSettings:
    """What of the configuration is the store's."""
    return StoreSettings(
        grace_seconds=settings.gc.grace_seconds,
        lease_seconds=settings.gc.lease_seconds,
        upload_expiry_seconds=settings.gc.upload_expiry_seconds,
        min_free_bytes=settings.storage.min_free_bytes,
    )


def public_url(settings: Settings, port: int) -> str:
    """Where clients find us. Never from a request's Host, which is a stranger's text."""
    if settings.http.public_url:
        return settings.http.public_url.rstrip("/")
    host, _ = listen_address(settings.http.listen)
    if host in _ANY_ADDRESS:
        host = socket.gethostname()
    scheme = "https" if settings.http.tls_certificate else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def greeting(url: str, first: FirstStart | None) -> str:
    """What to do next, to be copied."""
    host = url.partition("://")[2]
    lines = [f"Orlop serves {url}", ""]
    if first is not None and first.file is not None:
        lines += [f"The password of admin is in {first.file}", ""]
    elif first is not None and first.password is not None:
        lines += [f"The password of admin, shown this once: {first.password}", ""]
    lines += [
        f"  docker login -u admin {host}",
        f"  docker tag IMAGE {host}/local/images/IMAGE",
        f"  docker push {host}/local/images/IMAGE",
        "",
        "",
    ]
    return os.linesep.join(lines)
