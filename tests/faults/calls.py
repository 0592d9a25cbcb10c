"""System calls that a process made, read from `strace`'s log with all of their data."""

import re
from dataclasses import dataclass
from pathlib import Path

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


@dataclass(frozen=True)
class Call:
    """A call that succeeded; its lines in the log."""

    name: str
    words: str  # its arguments, without what strings hold
    strings: tuple[bytes, ...]
    result: int
    begin: int
    end: int

    @property
    def data(self) -> bytes:
        """What it wrote, as far as the system took it."""
        return b"".join(self.strings)[: self.result]

    def numbers(self) -> list[int]:
        """The arguments that are numbers, octal ones too, in order; those of lists are left out."""
        outer = re.sub(r"\[\{.*\}\]", "", self.words)
        found = re.findall(r"(?<![\w.])(?:\[(\d+)\]|(-?\d+))(?!\w)", outer)
        return [
            int(each, 8 if each.startswith("0") else 10) for pair in found for each in pair if each
        ]


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
