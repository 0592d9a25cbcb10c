"""Let processes have only a share of a core: control groups of Linux, version 1 or 2."""

import contextlib
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

_PERIOD: Final = 10_000  # µs: short, so that who is out of its share waits briefly
_GROUPS: Final = Path("/sys/fs/cgroup")


class CannotShare(Exception):
    """There are no control groups here that we may write, or they have no `cpu`."""


@contextlib.contextmanager
def sharing(pids: Iterable[int], share: float) -> Iterator[None]:
    """Each of these processes has at most `share` of a core, until the block ends.

    Raises:
        CannotShare: with what the system said.
    """
    parent = _GROUPS / "cpu" if (_GROUPS / "cpu").is_dir() else _GROUPS
    with contextlib.ExitStack() as stack:
        for pid in pids:
            try:
                stack.enter_context(_bounded(parent, pid, share))
            except OSError as error:
                raise CannotShare(str(error)) from error
        yield


@contextlib.contextmanager
def _bounded(parent: Path, pid: int, share: float) -> Iterator[None]:
    group = Path(tempfile.mkdtemp(prefix="orlop-bench-", dir=parent))
    quota = int(_PERIOD * share)
    try:
        if (group / "cpu.cfs_quota_us").exists():  # version 1
            (group / "cpu.cfs_period_us").write_text(f"{_PERIOD}")
            (group / "cpu.cfs_quota_us").write_text(f"{quota}")
        else:
            (group / "cpu.max").write_text(f"{quota} {_PERIOD}")
        (group / "cgroup.procs").write_text(f"{pid}")
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):  # it has ended
            (parent / "cgroup.procs").write_text(f"{pid}")
        group.rmdir()
