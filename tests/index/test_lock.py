"""`index.lock`: one server per data directory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from index.errors import DirectoryHeld
from index.lock import hold_directory

ROOT = Path(__file__).parents[2]
HOLD = """
import sys
from pathlib import Path
from index.lock import hold_directory
with hold_directory(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the folder until its input ends."""
    with subprocess.Popen(  # noqa: S603 - ourselves, with a folder of ours
        [sys.executable, "-c", HOLD, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_a_second_process_is_refused_and_told_who_holds_the_folder(holder, tmp_path):
    with pytest.raises(DirectoryHeld) as refused, hold_directory(tmp_path):
        pass

    assert f"process {holder.pid} on {os.uname().nodename}" in str(refused.value)
    assert str(tmp_path) in str(refused.value)


def test_a_stale_line_is_replaced_whole(tmp_path):
    (tmp_path / "lock").write_text("process 1 on a machine with a name of some length, " * 9)

    with hold_directory(tmp_path):
        assert "machine" not in (tmp_path / "lock").read_text()


def test_a_killed_holder_blocks_nobody(holder, tmp_path):
    holder.kill()
    holder.wait()

    with hold_directory(tmp_path):
        line = (tmp_path / "lock").read_text()

    assert line.startswith(f"process {os.getpid()} on ")
    assert line.count("\n") == 1


def test_a_refused_start_leaves_the_holders_line(tmp_path):
    with hold_directory(tmp_path):
        line = (tmp_path / "lock").read_text()
        with pytest.raises(DirectoryHeld), hold_directory(tmp_path):
            pass

        assert (tmp_path / "lock").read_text() == line


def test_leaving_by_an_error_lets_go(tmp_path):
    with pytest.raises(KeyError), hold_directory(tmp_path):
        raise KeyError

    with hold_directory(tmp_path):
        assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600


def test_a_holder_that_wrote_no_line_is_still_a_holder(tmp_path):
    with hold_directory(tmp_path):
        os.truncate(tmp_path / "lock", 0)
        with pytest.raises(DirectoryHeld, match="another process"), hold_directory(tmp_path):
            pass
