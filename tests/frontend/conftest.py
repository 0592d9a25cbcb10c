"""The store that tests of answers ask."""

import httpx
import hypercorn.trio
import pytest
import trio
from hypercorn.config import Config

from cas.local import open_store
from frontend.app import RegistryApp
from frontend.commands.server import Server
from frontend.main import main
from frontend.settings import Http, Settings
from tests.frontend.certificates import make_pair
from tests.frontend.fake_client import FakeClient
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
def upstream(tmp_path_factory):
    """Another registry, whose images are private: bearer tokens by a password."""
    with running(tmp_path_factory.mktemp("upstream") / "data") as server:
        yield server


@pytest.fixture
def pair(tmp_path):
    return make_pair(tmp_path)


@pytest.fixture(scope="session")
def secure(tmp_path_factory):
    """A server under TLS, as configured by nothing but a certificate."""
    yield from _serving(tmp_path_factory, "secure", is_secure=True)


@pytest.fixture(scope="session")
def clear_h2(tmp_path_factory):
    """A server in clear text with h2 turned on."""
    yield from _serving(tmp_path_factory, "clear_h2", is_secure=False, http2=True)


@pytest.fixture(scope="session")
def secure_h2(tmp_path_factory):
    """A server under TLS with h2 turned on."""
    yield from _serving(tmp_path_factory, "secure_h2", is_secure=True, http2=True)


@pytest.fixture(params=["clear_h2", "secure_h2"])
def h2_live(request):
    """Both of them, one after the other."""
    return request.getfixturevalue(request.param)


def _serving(tmp_path_factory, name, *, is_secure, **settings):
    folder = tmp_path_factory.mktemp(name)
    pair = make_pair(folder) if is_secure else None
    if pair is not None:
        settings |= {"tls_certificate": str(pair.certificate), "tls_key": str(pair.key)}
    http = Http(listen="127.0.0.1:0", shutdown_seconds=2, **settings)
    with running(folder / "data", Settings(http=http), pair and pair.trust()) as server:
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


@pytest.fixture
def fake(monkeypatch):
    made = FakeClient()
    monkeypatch.setattr(Server, "_client", made)
    return made


@pytest.fixture
def orlop(capsys):
    """Run a command: its exit code, and what it printed."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = 0
        try:
            main(list(arguments))
        except SystemExit as end:
            code = end.code
        out, err = capsys.readouterr()
        return code, out, err

    return run
