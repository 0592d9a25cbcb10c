"""The store that tests of answers ask."""

import pytest

from cas.local import open_store
from tests.frontend.live import running
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
