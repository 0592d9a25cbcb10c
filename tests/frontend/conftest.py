"""The store that tests of answers ask."""

import httpx
import hypercorn.trio
import pytest
import trio
from hypercorn.config import Config

from cas.local import open_store
from frontend.app import RegistryApp
from tests.frontend.live import ADMIN, free_port, running
from tests.frontend.world import World


@pytest.fixture
async def world(tmp_path):
    async with open_store(tmp_path / "data") as store:
        world = World(store)
        await world.begin()
        yield world


@pytest.fixture(scope="session")
def live(tmp_path_factory):
    """One server for all tests over the wire: each uses images of its own."""
    with running(tmp_path_factory.mktemp("live") / "data") as server:
        server.create_repository("local/public", "public")
        yield server


@pytest.fixture(scope="session")
def stock(live):
    """The application of `live` on a server of Hypercorn's own."""
    config = Config()
    config.bind = [f"127.0.0.1:{free_port()}"]
    config.errorlog = None
    stop, is_up = trio.Event(), trio.Event()

    async def serve(task_status=trio.TASK_STATUS_IGNORED):
        app = RegistryApp(live.registry)
        async with trio.open_nursery() as nursery:
            await nursery.start(
                lambda task_status: hypercorn.trio.serve(
                    app, config, shutdown_trigger=stop.wait, task_status=task_status
                )
            )
            is_up.set()

    async def start():
        trio.lowlevel.spawn_system_task(serve)
        await is_up.wait()

    async def end():
        stop.set()

    live.run(start)
    with httpx.Client(base_url=f"http://{config.bind[0]}", auth=ADMIN, trust_env=False) as client:
        yield client
    live.run(end)
