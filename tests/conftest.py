"""What every test shares: Hypothesis settings."""

import os

from hypothesis import settings

# No deadline: machines are noisy, and cost is tested by counts. In CI the same examples each time.
settings.register_profile("orlop", deadline=None, derandomize=os.environ.get("CI") == "true")
settings.load_profile("orlop")
