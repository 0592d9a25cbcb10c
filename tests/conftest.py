"""What every test shares: Hypothesis settings, and the process that daemons of tests run in."""

import os

import pytest
from hypothesis import settings

from tests.cas.daemons import Daemons

# No deadline: machines are noisy, and cost is tested by counts. In CI the same examples each time.
settings.register_profile("orlop", deadline=None, derandomize=os.environ.get("CI") == "true")
settings.load_profile("orlop")


@pytest.fixture(scope="session")
def daemons():
    found = Daemons()
    yield found
    found.kill()
