"""Faults of system calls, put by `strace --inject` into a real process at the Nth call.

`strace` counts for each thread and each kind of call by itself. The script's repeatable way has two
threads, and the writer's touches only `data.mdb`: so a fault names a place (the index, or all other
files), a call and a number, and that is one moment. Only calls on paths below the data directory
count: nothing is injected into Python's own files.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE = 60  # seconds for a script that takes one: beyond it hangs
# All that changes files or their names; what a run makes of them is counted first.
CALLS = (
    "write,writev,pwrite64,pwritev,pwritev2,copy_file_range,fallocate,truncate,ftruncate,"
    "fsync,fdatasync,link,linkat,unlink,unlinkat,rename,renameat,renameat2,"
    "chmod,fchmod,fchmodat,mkdir,mkdirat"
)
WRITES = frozenset(("write", "writev", "pwrite64", "pwritev", "pwritev2"))
# These take space, now or when it is put on disk. The other calls never say ENOSPC.
FILLING = WRITES | {"copy_file_range", "fallocate", "fsync", "fdatasync", "link", "linkat"}
FILLING |= {"rename", "renameat", "renameat2", "mkdir", "mkdirat"}
SHORT = 512  # bytes that a short write says it took
_CALL = re.compile(r"^\d+ +(\w+)\((.*)")
_PATH = re.compile(r'[<"](/[^>"]*)[>"]')


@dataclass(frozen=True)
class Fault:
    """What happens at the `number`th `call` at `place`, a key of `Places`."""

    place: str
    call: str
    number: int
    effect: str  # as strace has it

    def __str__(self) -> str:
        return f"{self.place}-{self.call}-{self.number}-{self.effect}"


Places = Mapping[str, Sequence[Path]]


def find_strace() -> str:
    """The program that injects faults; its absence is an error in CI."""
    path = shutil.which("strace")
    if path is None:
        assert os.environ.get("CI") != "true", "strace is missing"
        pytest.skip("needs the Debian package strace")
    return path


def count_calls(directory: Path, log: Path) -> tuple[Counter[tuple[str, str]], Places]:
    """Run the script once as it is: how many calls it makes by place, and on which paths."""
    code, said, errors = run(directory, ("-y", "-o", str(log), "-e", f"trace={CALLS}"))
    assert code == 0, said + errors
    index = directory / "index" / "data.mdb"
    counts: Counter[tuple[str, str]] = Counter()
    others: set[Path] = set()
    for line in log.read_text().splitlines():
        if (found := _CALL.match(line)) is None:
            continue  # the end of a call that was interrupted, or of a thread
        paths = {Path(each) for each in _PATH.findall(found[2])}
        paths = {each for each in paths if each.is_relative_to(directory)}
        if index in paths:
            counts["index", found[1]] += 1
        elif paths:
            counts["files", found[1]] += 1
            others |= paths
    return counts, {"index": [index], "files": sorted(others)}


def iter_faults(counts: Counter[tuple[str, str]]) -> Iterator[Fault]:
    """Every fault at every call."""
    for (place, call), most in sorted(counts.items()):
        effects = ["signal=SIGKILL", "error=EIO"]
        if call in FILLING:
            effects.append("error=ENOSPC")
        if call in WRITES:
            # Nothing is written then, though SHORT bytes are said to be. LMDB must take a short
            # write as an error; an upload with a hole in it must not hash to what was pushed. A
            # copy_file_range that lies would be believed: `run` limits its file's size instead.
            effects.append(f"retval={SHORT}")
        for effect in effects:
            for number in range(1, most + 1):
                yield Fault(place, call, number, effect)


def inject(directory: Path, fault: Fault, places: Places, log: Path) -> tuple[int, str, str]:
    """Run the script with a fault, as `run`; it must have happened, or the process ran clean.

    Groups of commits form by chance: the index's last calls may not be made every time.
    """
    # strace 6.1 does not look at the paths of copy_file_range; nobody else makes that call.
    named = () if fault.call == "copy_file_range" else places[fault.place]
    paths = [word for path in named for word in ("-P", str(path))]
    expression = f"inject={fault.call}:{fault.effect}:when={fault.number}"
    outcome = run(
        directory, ("-o", str(log), *paths, "-e", f"trace={fault.call}", "-e", expression)
    )
    is_killed = outcome[0] == -signal.SIGKILL
    happened = is_killed if "SIGKILL" in fault.effect else "(INJECTED)" in log.read_text()
    assert happened or (fault.place, outcome[0]) == ("index", 0), f"{fault} did not happen"
    return outcome


def run(
    directory: Path, options: Sequence[str] = (), *, most: int | None = None
) -> tuple[int, str, str]:
    """Run the script under strace, or none without options: its exit code, output and errors.

    `most` is the size in bytes beyond which the system lets no file grow: a write across it is
    short, a further one fails with EFBIG.
    """
    # Not with --seccomp-bpf: strace 6.1 then sends no signals.
    tracer = [find_strace(), "-f", "-qq", *options] if options else []
    limit = [] if most is None else [shutil.which("prlimit") or "prlimit", f"--fsize={most}"]
    with subprocess.Popen(  # noqa: S603 - ourselves
        [*limit, *tracer, sys.executable, "-m", "tests.faults.script", directory, "repeatable"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            said, errors = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            said, errors = process.communicate()
            pytest.fail(f"it hangs: {said}{errors}")
    return process.returncode, said, errors
