"""The system calls of a real server, request by request, as strace sees them."""

import os
import re
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

# Of no interest: they never wait, and allocators and interpreters use them as they please.
_IGNORED = re.compile(
    r"brk|clock_gettime|futex|getpid|gettid|m(map|unmap|advise|protect|remap)"
    r"|restart_syscall|rt_sig\w+|sched_yield"
)
# Asks what is in memory: strace before 6.5 knows the call by its number alone, Linux not at all.
_SAME = {"syscall_0x1c3": "cachestat", "mincore": "cachestat"}
_CALL = re.compile(r"(\d+) +(\w+)\((.*)")
_RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)")
_FOLDER = re.compile(r"/data/(index|packs|uploads)\b")
_HEAD = re.compile(r'\d+<[^>]*>, "(GET|HEAD|POST|PUT|PATCH|DELETE) /')


@dataclass
class Call:
    """One system call. `text` is its arguments and its result, as strace writes them."""

    thread: int
    name: str
    text: str

    @property
    def is_head(self) -> bool:
        """Whether it read the beginning of a request."""
        return self.name == "read" and _HEAD.match(self.text) is not None

    @property
    def is_tick(self) -> bool:
        """Whether it is the end of a wait for a timer: `deadlines` looks four times a second."""
        return self.name == "epoll_wait" and re.search(r", [1-9]\d*\) += 0$", self.text) is not None


@dataclass
class Cost:
    """The calls of some requests, one after the other."""

    calls: list[Call] = field(default_factory=list)

    @property
    def names(self) -> dict[str, int]:
        """How often each call was made, waits for timers and what is of no interest apart."""
        seen = (c for c in self.calls if not _IGNORED.fullmatch(c.name) and not c.is_tick)
        return dict(Counter(_SAME.get(call.name, call.name) for call in seen))

    @property
    def hops(self) -> list[str]:
        """What ran in threads: trio calls a thread after the function that it runs."""
        named = (re.search(r'PR_SET_NAME, "(\w+) from', call.text) for call in self.calls)
        return sorted(found[1] for found in named if found)

    @property
    def commits(self) -> int:
        """Write transactions of the index: each is synced once."""
        return self._synced()["index"]

    @property
    def synced(self) -> dict[str, int]:
        """What else was synced, by folder."""
        return {name: count for name, count in self._synced().items() if name != "index"}

    @property
    def opened(self) -> dict[str, int]:
        """What was opened, by folder."""
        return dict(self._folders("open", "openat", "openat2"))

    def _synced(self) -> Counter[str]:
        return self._folders("fsync", "fdatasync", "sync_file_range", "msync")

    def _folders(self, *names: str) -> Counter[str]:
        found = (_FOLDER.search(call.text) for call in self.calls if call.name in names)
        return Counter(each[1] if each else "elsewhere" for each in found)


@contextmanager
def traced(pid: int, log: Path, *options: str) -> Iterator[None]:
    """Trace a process for a block; `read_calls` reads the log afterwards."""
    program = shutil.which("strace")
    if program is None:
        assert os.environ.get("CI") != "true", "strace is missing"
        pytest.skip("needs the Debian package strace")
    command = [program, "-f", "-y", "-s", "48", "-o", str(log), *options, "-p", str(pid)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:  # noqa: S603
        try:
            assert tracer.stderr is not None
            said = tracer.stderr.readline()
            if "Operation not permitted" in said:
                assert os.environ.get("CI") != "true", said
                pytest.skip("may not trace another process of ours (kernel.yama.ptrace_scope)")
            assert "attached" in said, said
            yield
        finally:
            tracer.send_signal(signal.SIGINT)  # it lets go, and writes what it has


def read_calls(log: Path) -> list[Call]:
    """Every call, in the order in which they began."""
    calls: list[Call] = []
    pending: dict[int, Call] = {}
    for line in log.read_text(errors="replace").splitlines():
        if match := _RESUMED.match(line):
            call = pending.pop(int(match[1]), None)
            if call is not None:
                call.text += match[3]
        elif match := _CALL.match(line):
            call = Call(int(match[1]), match[2], match[3])
            calls.append(call)
            if call.text.endswith("<unfinished ...>"):
                call.text = call.text.removesuffix(" <unfinished ...>")
                pending[call.thread] = call
    return calls


def split(calls: list[Call]) -> list[Cost]:
    """What each request cost: from the read of its head to the read of the next one's."""
    costs: list[Cost] = []
    for call in calls:
        if call.is_head:
            costs.append(Cost())
        if costs:
            costs[-1].calls.append(call)
    return costs
