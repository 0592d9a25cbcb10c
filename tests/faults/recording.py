"""What a process did to its files, from `strace`'s log, told to a `Disk` call by call.

    openat, mkdir, link, unlink, rename     names
    write, writev, pwrite64, pwritev, pwritev2, copy_file_range, fallocate, ftruncate, fchmod
    fsync, fdatasync, O_DSYNC               what is durable
    write to descriptor 1                   what the process said

Calls that take time have two places in the log, where they begin and where they end: what they do
to a file may be on disk from the first on, and what they promise holds from the second on.
`lock.mdb` is written through a map, which no log shows: LMDB makes it anew when nobody has it.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tests.faults.disk import REMOVED, SECTOR, Disk, File, Mode, Resize, Write

CALLS = (
    "openat,lseek,write,writev,pwrite64,pwritev,pwritev2,copy_file_range,fallocate,truncate,"
    "ftruncate,fsync,fdatasync,link,linkat,unlink,unlinkat,rename,renameat,renameat2,"
    "chmod,fchmod,fchmodat,mkdir,mkdirat"
)
OPTIONS = ("-f", "-qq", "-xx", "-s", str(64 << 20), "-e", f"trace={CALLS}")
_LINE = re.compile(r"(\d+) +(.*)")
_RESUMED = re.compile(r"<\.\.\. (\w+) resumed>(.*)")
_CALL = re.compile(r"(\w+)\((.*)\) += (-?\d+)")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_PAGE = 4096


@dataclass(frozen=True)
class Call:
    """A call that succeeded; its lines in the log."""

    name: str
    words: str  # its arguments, without what strings hold
    strings: tuple[bytes, ...]
    result: int
    begin: int
    end: int

    def numbers(self) -> list[int]:
        """The arguments that are numbers, octal ones too, in order; those of lists are left out."""
        outer = re.sub(r"\[\{.*\}\]", "", self.words)
        found = re.findall(r"(?<![\w.])(?:\[(\d+)\]|(-?\d+))(?!\w)", outer)
        return [int(each, 8 if each.startswith("0") else 10) for pair in found for each in pair if each]


def read_calls(log: Path) -> list[Call]:
    """All calls in a log that succeeded, by the line where they began."""
    begun: dict[str, tuple[int, str]] = {}  # thread → line and text of a call under way
    calls = []
    for number, line in enumerate(log.read_text().splitlines()):
        if (found := _LINE.match(line)) is None:
            continue
        thread, text = found.groups()
        first = number
        if text.endswith("<unfinished ...>"):
            begun[thread] = number, text.removesuffix("<unfinished ...>").rstrip()
            continue
        if resumed := _RESUMED.match(text):
            first, begin = begun.pop(thread)
            text = begin + resumed[2]
        if (call := _CALL.match(text)) is not None and int(call[3]) >= 0:
            strings = tuple(bytes.fromhex(s.replace("\\x", "")) for s in _STRING.findall(call[2]))
            words = _STRING.sub('""', call[2])
            calls.append(Call(call[1], words, strings, int(call[3]), first, number))
    return sorted(calls, key=lambda each: each.begin)


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
        root = str(self.disk.root)
        for call in calls:
            match call.name:
                case "openat":
                    yield call.end, 0, lambda call=call: self._open(call)
                case "lseek":
                    yield call.end, 0, lambda call=call: self._seek(call)
                case "fsync" | "fdatasync":
                    yield from self._sync(call)
                case "link" | "linkat" | "unlink" | "unlinkat" | "mkdir" | "mkdirat":
                    if call.strings[0].decode().startswith(root):
                        yield call.begin, 1, lambda call=call: self._name(call)
                case "rename" | "renameat" | "renameat2":
                    if call.strings[0].decode().startswith(root):
                        yield call.begin, 1, lambda call=call: self._rename(call)
                case _:
                    yield from self._change(call)

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
        made: list[tuple[File, Write]] = []

        def begin() -> None:
            if call.name in ("chmod", "fchmodat", "truncate"):
                entry = self.disk.names.get(PurePosixPath(call.strings[0].decode()))
                file, numbers = entry, call.numbers()
            else:
                number, *numbers = call.numbers()
                if call.name == "copy_file_range":
                    number = numbers[1]  # the second descriptor is the one that is written to
                if number == 1 and call.name == "write":
                    self.said += call.strings[0].decode()
                file = self._files.get(number)
            if not isinstance(file, File):
                return
            change = self._meaning(call, numbers)
            if change is not None:
                file.pending.append(change)
                if isinstance(change, Write) and call.numbers()[0] in self._synchronous:
                    _assert_alone(file, change)
                    made.append((file, change))

        def end() -> None:
            for file, change in made:
                file.settle([change], with_mode=False)

        yield call.begin, 1, begin
        yield call.end, 2, end

    def _meaning(self, call: Call, numbers: list[int]) -> Write | Resize | Mode | None:
        """What the call does to its file; `numbers` are its arguments but the descriptor."""
        data = b"".join(call.strings)[: call.result]
        match call.name:
            case "write" | "writev":
                descriptor = call.numbers()[0]
                offset = self._offsets[descriptor]
                self._offsets[descriptor] = offset + call.result
                return Write(offset, data)
            case "pwrite64":
                return Write(numbers[-1], data)
            case "pwritev" | "pwritev2":
                return Write(numbers[1], data)
            case "copy_file_range":
                return self._copied(call)
            case "ftruncate" | "truncate":
                return Resize(numbers[-1])
            case "fchmod" | "chmod" | "fchmodat":
                return Mode(numbers[-1])
            case "fallocate":
                assert "KEEP_SIZE" in call.words, call.words
                return Write(numbers[0], bytes(numbers[1])) if "PUNCH" in call.words else None
        raise AssertionError(call)

    def _copied(self, call: Call) -> Write:
        source, start, _, offset, *_ = call.numbers()
        file = self._files[source]
        assert isinstance(file, File)
        return Write(offset, file.content[start : start + call.result])


def _assert_alone(file: File, change: Write) -> None:
    """A synchronous write takes its pages along: here nobody else writes to them meanwhile."""
    first, last = change.offset // _PAGE, (change.offset + len(change.data)) // _PAGE
    for other in file.pending:
        if isinstance(other, Write) and other is not change:
            assert (other.offset + len(other.data) <= first * _PAGE) or other.offset > last * _PAGE
