"""A server with visitors: browsers of people with every role."""

import pytest

from tests.frontend.conftest import live  # noqa: F401 - the one server of tests over the wire
from tests.frontend.people import repository
from tests.web.visitors import Visitors


@pytest.fixture(scope="module")
def team(live):  # noqa: F811 - the fixture
    """A private repository in which reader, writer and owner have roles."""
    return repository(live)


@pytest.fixture(scope="module")
def visitors(live, team):  # noqa: F811 - the fixture
    made = Visitors(live, team)
    yield made
    made.close()
