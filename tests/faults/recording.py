"""What a process did to its files, from `strace`'s log, told to a `Disk` call by call.

    openat, mkdir, link, unlink, rename     names
    write, writev, pwrite64, pwritev, pwritev2, copy_file_range, fallocate, ftruncate, fchmod
    fsync, fdatasync, O_DSYNC               what is durable
    write to descriptor 1                   what the process said; after "flip" the disk acts

Calls that take time have two places in the log, where they begin and where they end: what they do
to a file may be on disk from the first on, and what they promise holds from the second on.
`lock.mdb` and `packs.fence` are written through maps, which no log shows: LMDB makes the one anew
when nobody has it, and the content of the other means nothing to the next start.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath

from tests.faults.calls import Call
from tests.faults.disk import REMOVED, Change, Disk, File, Mode, Resize, Write

_PAGE = 4096
Action = Callable[[], None]


class Replay:
    """A disk that lives through a log. `said` is what the process had said by then."""

    def __init__(self, root: Path, calls: list[Call]) -> None:
        self.disk = Disk(PurePosixPath(root))
        self.said = ""
        self._files: dict[int, File | PurePosixPath] = {}  # descriptor → file or folder
        self._synchronous: set[int] = set()  # descriptors with O_DSYNC
        self._offsets: dict[int, int] = {}
        self._events = sorted(self._iter_events(calls), key=lambda each: each[:2])

    def __iter__(self) -> Iterator[int]:
        """Go on, event by event; yields their numbers. A crash may come after each."""
        for number, (_, _, act) in enumerate(self._events):
            act()
            yield number

    def __len__(self) -> int:
        return len(self._events)

    def _iter_events(self, calls: list[Call]) -> Iterator[tuple[int, int, Action]]:
        """(line, order on that line, what happens to the disk)."""
        root = str(self.disk.root)
        after = {"openat": self._open, "lseek": self._seek}
        for call in calls:
            if call.name in after:
                yield call.end, 0, partial(after[call.name], call)
            elif call.name in ("fsync", "fdatasync"):
                yield from self._sync(call)
            elif call.name not in _NAMING:
                yield from self._change(call)
            elif call.strings[0].decode().startswith(root):
                act = self._rename if call.name.startswith("rename") else self._name
                yield call.begin, 1, partial(act, call)

    # --- names ---

    def _open(self, call: Call) -> None:
        path = PurePosixPath(call.strings[0].decode())
        self._files.pop(call.result, None)
        self._synchronous.discard(call.result)
        self._offsets[call.result] = 0
        if not path.is_relative_to(self.disk.root):
            return
        if "O_DIRECTORY" in call.words:
            self._files[call.result] = path
            return
        if path not in self.disk.names:
            assert "O_CREAT" in call.words, path
            self.disk.name((path, File(call.numbers()[-1])))
        file = self.disk.names[path]
        assert file is not None
        self._files[call.result] = file
        if "O_TRUNC" in call.words and file.content:
            file.pending.append(Resize(0))
        if "SYNC" in call.words:
            self._synchronous.add(call.result)

    def _name(self, call: Call) -> None:
        first, *others = [PurePosixPath(each.decode()) for each in call.strings]
        if call.name.startswith("mkdir"):
            self.disk.name((first, None))
        elif call.name.startswith("link"):
            self.disk.name((others[0], self.disk.names[first]))
        else:
            self.disk.name((first, REMOVED))

    def _rename(self, call: Call) -> None:
        first, second = (PurePosixPath(each.decode()) for each in call.strings)
        self.disk.name((second, self.disk.names[first]), (first, REMOVED))

    # --- bytes ---

    def _seek(self, call: Call) -> None:
        self._offsets[call.numbers()[0]] = call.result

    def _sync(self, call: Call) -> Iterator[tuple[int, int, Action]]:
        covered: list = []

        def begin() -> None:
            match self._files.get(call.numbers()[0]):
                case File() as file:
                    covered.append((file, list(file.pending)))
                case PurePosixPath() as folder:
                    covered.append((self.disk, self.disk.begun(folder)))

        def end() -> None:
            for synced, changes in covered:
                if isinstance(synced, File):
                    synced.settle(changes, with_mode=call.name == "fsync")
                else:
                    synced.settle(changes)

        yield call.begin, 1, begin
        yield call.end, 2, end

    def _change(self, call: Call) -> Iterator[tuple[int, int, Action]]:
        made: list[tuple[File, Change]] = []

        def begin() -> None:
            if call.name == "write" and call.numbers()[0] == 1:
                self._say(call.data.decode())
            file = self._target(call)
            change = self._meaning(call) if isinstance(file, File) else None
            if not isinstance(file, File) or change is None:
                return
            file.pending.append(change)
            if isinstance(change, Write) and call.numbers()[0] in self._synchronous:
                _assert_alone(file, change)
                made.append((file, change))

        def end() -> None:
            for file, change in made:
                file.settle([change], with_mode=False)

        yield call.begin, 1, begin
        yield call.end, 2, end

    def _say(self, line: str) -> None:
        self.said += line
        match line.split():
            case ["flip", pack, offset]:
                self._flip(pack, int(offset))

    def _flip(self, pack: str, offset: int) -> None:
        """The disk changes a byte that is on it: no call did that."""
        (file,) = (f for path, f in self.disk.names.items() if f is not None and path.name == pack)
        assert not file.pending, "what is not on the disk yet would hide it"
        file.durable[offset] ^= 1

    def _target(self, call: Call) -> "File | PurePosixPath | None":
        if call.name in _BY_PATH:
            return self.disk.names.get(PurePosixPath(call.strings[0].decode()))
        return self._files.get(call.numbers()[2 if call.name == "copy_file_range" else 0])

    def _meaning(self, call: Call) -> Change | None:
        """What the call does to its file; None: nothing that is seen."""
        if call.name in _CHANGES:
            return _CHANGES[call.name](call)
        if call.name == "copy_file_range":
            source, start, _, offset, *_ = call.numbers()
            file = self._files[source]
            assert isinstance(file, File)
            return Write(offset, file.content[start : start + call.result])
        assert call.name in ("write", "writev"), call
        descriptor = call.numbers()[0]
        offset = self._offsets[descriptor]
        self._offsets[descriptor] = offset + call.result
        return Write(offset, call.data)


def _allocated(call: Call) -> Change | None:
    assert "KEEP_SIZE" in call.words, call.words
    _, offset, length = call.numbers()
    return Write(offset, bytes(length)) if "PUNCH" in call.words else None


_NAMING = frozenset(
    ("link", "linkat", "unlink", "unlinkat", "mkdir", "mkdirat", "rename", "renameat", "renameat2")
)
_BY_PATH = frozenset(("chmod", "fchmodat", "truncate"))
_CHANGES: dict[str, Callable[[Call], Change | None]] = {
    "pwrite64": lambda call: Write(call.numbers()[-1], call.data),
    "pwritev": lambda call: Write(call.numbers()[2], call.data),
    "pwritev2": lambda call: Write(call.numbers()[2], call.data),
    "ftruncate": lambda call: Resize(call.numbers()[-1]),
    "truncate": lambda call: Resize(call.numbers()[-1]),
    "chmod": lambda call: Mode(call.numbers()[-1]),
    "fchmod": lambda call: Mode(call.numbers()[-1]),
    "fchmodat": lambda call: Mode(call.numbers()[-1]),
    "fallocate": _allocated,
}


def _assert_alone(file: File, change: Write) -> None:
    """A synchronous write takes its pages along: here nobody else writes to them meanwhile."""
    first, last = change.offset // _PAGE, (change.offset + len(change.data)) // _PAGE
    for other in file.pending:
        if isinstance(other, Write) and other is not change:
            assert (other.offset + len(other.data) <= first * _PAGE) or other.offset > last * _PAGE
