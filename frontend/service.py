"""`orlop serve`: the store, the application and the server under one nursery."""

import logging
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

import trio

from cas.local import open_store
from frontend import resources
from frontend.access.credentials import Authenticator
from frontend.access.limits import Limits, open_limits
from frontend.access.signing import Signer
from frontend.app import RegistryApp
from frontend.bootstrap import prepare
from frontend.domain.message import Realm
from frontend.domain.peer import Proxies
from frontend.figures.counting import open_counting, private_counting
from frontend.figures.reading import Figures
from frontend.greeting import greeting, public_url
from frontend.outbound import build_way
from frontend.proxy.proxy import Proxy
from frontend.proxy.sources import Make
from frontend.registry import diary
from frontend.registry.call import CountedStore, Health, Registry
from frontend.registry.hot import HotRegistry
from frontend.registry.places import UploadPlaces
from frontend.registry.pulls import new_pulls
from frontend.registry.site import Site
from frontend.server.binding import Bound, open_bound
from frontend.server.serving import Service, Sockets, serve
from frontend.settings import Settings, SettingsError
from frontend.storing import store_settings
from frontend.touches import flushing
from frontend.upstream.client import UpstreamClient
from frontend.upstream.transport import Way
from frontend.workers.launch import Launch
from frontend.workers.signals import heed_signals

_log = logging.getLogger("orlop.service")


async def run(launch: Launch, environment: Mapping[str, str]) -> Bound | None:
    """Serve until a signal; returns the sockets if this process is to be replaced by a new one.

    Raises:
        OSError: the address or the data directory cannot be used.
        CertificateUnusable: or its key is.
        PasswordUnusable: the administrator's, at the first start.
        IndexFault, CasError: the store cannot be opened, or failed.
    """
    settings = launch.settings
    data = Path(settings.storage.data)
    is_terminal = sys.stdout.isatty()
    async with open_store(data, store_settings(settings)) as store:
        with open_bound(settings.http.listen, launch.handed) as bound:
            bound.open_admin(data)
            # Only now: a password that was made before a bind that failed would never be shown.
            first = await prepare(store, data, environment, is_terminal=is_terminal)
            url = public_url(settings, bound.port)
            with open_limits(data, settings.limits) as limits, open_counting(data) as counting:
                figures = Figures(counting, data)
                registry = build_registry(store, settings, url, limits, figures)
                life = _Life(launch, bound, registry.health)
                words = "" if launch.is_resumed else greeting(url, first)
                await _serve(registry, life, words)
    return life.kept


class _Life:
    """How this process ends (`frontend.workers.signals.Server`)."""

    def __init__(self, launch: Launch, bound: Bound, health: Health) -> None:
        self.launch = launch
        self.bound = bound
        self.stop = trio.Event()
        self.kept: Bound | None = None  # listening still, for the process that takes our place
        self._health = health

    def end(self) -> None:
        if self.kept is not None:
            self.kept.close()
            self.kept = None
        self.launch.notifier.stopping()
        self._drain()

    def end_at_once(self) -> None:
        os._exit(1)

    def reload(self) -> None:
        if self.stop.is_set():
            return
        try:
            self.launch.reread()
        except SettingsError as error:
            _log.error("the configuration was not taken up: %s", error)
            return
        _log.info("the configuration is taken up by a new process")
        self.launch.notifier.reloading()
        self.kept = self.bound.keep()
        self._drain()

    def _drain(self) -> None:
        self._health.is_draining = True
        self.stop.set()


async def _serve(registry: Registry, life: _Life, words: str) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(heed_signals, life)
        async with serving(registry, Sockets.of(life.bound), life.stop):
            resources.settle()
            sys.stdout.write(words)
            sys.stdout.flush()
            life.launch.notifier.ready(f"serving {registry.site.realm.service}")
            await life.stop.wait()
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def serving(registry: Registry, sockets: Sockets, stop: trio.Event) -> AsyncIterator[None]:
    """Accept connections within the block; leaving it stops and drains."""
    app = RegistryApp(registry)
    gathered = flushing(registry.store, (registry.pulls, registry.uses))
    async with gathered, diary.keeping(registry), trio.open_nursery() as around:
        await around.start(registry.proxy.run)  # what is fetched outlives every connection
        async with trio.open_nursery() as nursery:
            service = Service(app, HotRegistry(registry))
            await nursery.start(serve, service, registry.settings.http, sockets, stop)
            yield
            stop.set()
        around.cancel_scope.cancel()


def _client_maker(settings: Settings) -> Make:
    """Makes clients of upstreams; all the same way, made when the first one is wanted."""

    @cache
    def way() -> Way:
        return build_way(settings.proxy)

    return lambda upstream, tell: UpstreamClient(upstream, way(), tell=tell)


def build_registry(
    store: CountedStore,
    settings: Settings,
    url: str,
    limits: Limits | None = None,
    figures: Figures | None = None,
) -> Registry:
    """Everything the requests share; without `limits` and `figures` this process counts alone."""
    service = url.partition("://")[2].partition("/")[0]
    realm = Realm(f"{url}/v2/token", service)
    limits = limits or Limits.private(settings.limits)
    figures = figures or Figures(private_counting())
    signer = store.read(Signer.of)
    pulls = new_pulls()
    site = Site(realm, settings.gc.grace_seconds, settings.gc.lease_seconds)
    return Registry(
        store=store,
        settings=settings,
        site=site,
        authenticator=Authenticator(store, signer, limits),
        signer=signer,
        uploads=UploadPlaces(
            settings.limits.concurrent_uploads,
            settings.limits.uploads_per_principal,
            figures.counting.uploads,
        ),
        limits=limits,
        proxies=Proxies(settings.http.trusted_proxies, settings.http.forwarded_field),
        proxy=Proxy(store, _client_maker(settings), pulls, figures, settings),
        stats=store.stats,
        damaged=store.damaged,
        under_way=store.under_way,
        pulls=pulls,
        figures=figures,
    )
