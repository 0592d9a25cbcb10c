"""What a process that serves asks of its system."""

import subprocess
import sys

ASKED = """
import resource
from frontend import resources
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 512))
resources.claim()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_it_takes_all_descriptors_that_it_may_have():
    command = [sys.executable, "-c", ASKED]
    said = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - ours

    assert said.stdout.split() == ["512", "512"]
