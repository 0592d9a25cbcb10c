"""The lock between who copies packs and who takes some away, with real processes."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cas import layout
from cas.keeping import keeping_packs, taking_packs

# Says a line when it has the lock, and another when its input ends.
_HOLDER = """
import sys
from pathlib import Path
from cas.keeping import keeping_packs, taking_packs
with {name}(Path(sys.argv[1])) as got:
    print("got", got, flush=True)
    sys.stdin.read()
print("left", flush=True)
"""


@contextmanager
def _holder(name: str, root) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", _HOLDER.format(name=name), str(root)]
    process = subprocess.Popen(  # noqa: S603 - our own program
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        with process:
            yield process
            process.stdin.close()
    finally:
        process.kill()


def _is_free(root) -> bool:
    with taking_packs(root) as is_taken:
        return is_taken


def test_nothing_is_taken_while_another_process_keeps_it(tmp_path):
    with _holder("keeping_packs", tmp_path) as keeper:
        assert keeper.stdout.readline() == "got None\n"

        assert not _is_free(tmp_path)

        keeper.stdin.close()
        assert keeper.stdout.readline() == "left\n"
        assert keeper.wait() == 0
        assert _is_free(tmp_path)


def test_a_keeper_waits_until_the_taker_is_done(tmp_path):
    with _holder("taking_packs", tmp_path) as taker:
        assert taker.stdout.readline() == "got True\n"
        with _holder("keeping_packs", tmp_path) as keeper:
            with pytest.raises(subprocess.TimeoutExpired):
                keeper.wait(0.2)

            taker.stdin.close()

            assert keeper.stdout.readline() == "got None\n"


def test_several_may_keep_and_the_last_one_counts(tmp_path):
    with keeping_packs(tmp_path):
        with keeping_packs(tmp_path):
            assert not _is_free(tmp_path)

        assert not _is_free(tmp_path)

    assert _is_free(tmp_path)


@pytest.mark.parametrize("name", ["keeping_packs", "taking_packs"])
def test_kill_9_lets_go(tmp_path, name):
    with _holder(name, tmp_path) as process:
        assert process.stdout.readline().startswith("got")
        assert not _is_free(tmp_path)

        process.kill()
        process.wait()

        assert _is_free(tmp_path)
        with keeping_packs(tmp_path):
            pass


def test_the_file_is_private_and_never_another_s(tmp_path):
    old = os.umask(0)
    try:
        with keeping_packs(tmp_path):
            pass
    finally:
        os.umask(old)
    lock = tmp_path / layout.PACKS_LOCK
    assert stat.S_IMODE(lock.stat().st_mode) == 0o600

    lock.unlink()
    lock.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(OSError, match="symbolic"), keeping_packs(tmp_path):
        pass
    assert not (tmp_path / "elsewhere").exists()
