"""What processes count together: the same, exactly, and whatever is in the way of the file."""

import os
import select
import subprocess
import sys
from pathlib import Path

from frontend.access import tallies
from frontend.access.limits import Limits, open_limits
from frontend.access.tallies import PATH, SIZE, Tallies, open_tallies, private_tallies
from frontend.domain.faults import TooManyRequests
from frontend.settings import Limits as Settings

ROOT = Path(__file__).parents[2]
GUESSED = Settings(failed_logins=3)


def failing(limits: Limits) -> int:
    """How many wrong passwords are looked at."""
    looked_at = 0
    for _ in range(20):
        try:
            limits.begin_login("alice", "192.0.2.1")
        except TooManyRequests:
            continue
        looked_at += 1
    return looked_at


GUESS = """
import sys
from pathlib import Path
from frontend.access.limits import open_limits
from frontend.domain.faults import TooManyRequests
from frontend.settings import Limits
sys.stdin.readline()
with open_limits(Path(sys.argv[1]), Limits(failed_logins=200, failed_logins_per_account=10**6,
                 failed_logins_per_address=10**6, failed_logins_seconds=10**6)) as limits:
    looked_at = 0
    for _ in range(150):
        try:
            limits.begin_login("alice", "192.0.2.1")
        except TooManyRequests:
            continue
        looked_at += 1
    print(looked_at)
"""


def test_processes_count_failed_logins_together_and_exactly(tmp_path):
    (tmp_path / "run").mkdir()
    command = [sys.executable, "-c", GUESS, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
    with (
        subprocess.Popen(command, **pipes) as one,  # noqa: S603 - ours
        subprocess.Popen(command, **pipes) as two,  # noqa: S603 - ours
    ):
        for each in (one, two):
            each.stdin.write("go\n")
            each.stdin.flush()
        found = [int(each.stdout.read()) for each in (one, two)]

    assert sum(found) == 200
    assert (tmp_path / PATH).stat().st_size == SIZE


def test_whoever_opens_the_file_counts_on(tmp_path):
    with open_limits(tmp_path, GUESSED) as one:
        assert failing(one) == 3
    with open_limits(tmp_path, GUESSED) as two:
        assert failing(two) == 0
    assert (tmp_path / PATH).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / PATH).parent.stat().st_mode & 0o777 == 0o700


def test_after_the_machine_started_anew_nothing_is_counted(tmp_path, monkeypatch):
    with open_tallies(tmp_path) as before:
        before.logins[5] = 7
        number = before.hash("x")
    monkeypatch.setattr(tallies, "_boot", lambda: bytes(range(16)))

    with open_tallies(tmp_path) as after:
        assert set(after.logins) == {0}
        assert after.hash("x") != number


def test_without_a_folder_of_ours_a_process_counts_alone(tmp_path):
    (tmp_path / "run").write_text("in the way")

    with open_limits(tmp_path, GUESSED) as limits:
        assert failing(limits) == 3


def test_a_link_in_the_place_of_the_file_is_not_followed(tmp_path):
    other = tmp_path / "other"
    other.write_bytes(b"precious")
    (tmp_path / "run").mkdir()
    (tmp_path / PATH).symlink_to(other)

    with open_limits(tmp_path, GUESSED) as limits:
        assert failing(limits) == 3

    assert other.read_bytes() == b"precious"


def test_names_are_told_apart_by_their_parts():
    shared: Tallies = private_tallies()
    hashes = [shared.hash("a", "bc"), shared.hash("a", "b", "c"), shared.hash("ab", "c")]

    assert len({*hashes, shared.hash("a", "b\0001:c")}) == 4


OPEN = """
import sys
from pathlib import Path
from frontend.access.tallies import open_tallies
with open_tallies(Path(sys.argv[1])) as shared:
    print(shared.hash("x"), flush=True)
"""


def is_waiting(pid: int) -> bool:
    """Whether a process waits for a lock on a file."""
    lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    return any("-> FLOCK" in line and str(pid) in line.split() for line in lines)


def test_two_who_open_it_at_the_same_moment_have_the_same_file(tmp_path, monkeypatch):
    others = []
    pwrite = os.pwrite

    def meanwhile(*arguments):
        command = [sys.executable, "-c", OPEN, str(tmp_path)]
        other = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)  # noqa: S603 - ours
        others.append(other)
        while not is_waiting(other.pid) and other.poll() is None:
            select.select([other.stdout], [], [], 0.01)
        return pwrite(*arguments)

    monkeypatch.setattr(os, "pwrite", meanwhile)
    with open_tallies(tmp_path) as shared, others[0] as other:
        assert int(other.stdout.read()) == shared.hash("x")
    assert len(others) == 1
