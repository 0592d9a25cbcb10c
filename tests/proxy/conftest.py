"""A server whose upstreams do what a test says; nothing is left behind by all of them."""

import pytest

from tests.frontend.certificates import make_pair
from tests.frontend.live import running, wait_until
from tests.frontend.sources import source
from tests.proxy.pulling import proxy_of, settings_in, uploads


@pytest.fixture(scope="session")
def own_pair(tmp_path_factory):
    """The certificate of upstreams under TLS, which `live` trusts."""
    return make_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="session")
def live(tmp_path_factory, own_pair):
    """A server that waits for upstreams for a second only. Nothing is left of all the faults."""
    folder = tmp_path_factory.mktemp("proxy")
    with running(folder / "data", settings_in(folder, ca=str(own_pair.certificate))) as server:
        yield server
        wait_until(lambda: uploads(server) == [])  # answers end before what they sent is kept
        assert server.client.post("/api/v1/fsck").json()["drift"] == []


@pytest.fixture(scope="session")
def sources():
    with source() as made:
        yield made


@pytest.fixture
def far(sources):
    """The upstream, well again, and with no memory of what other tests asked."""
    sources.well()
    sources.requests.clear()
    sources.sent = 0
    return sources


@pytest.fixture
def proxy(live, far):
    return proxy_of(live, far)
