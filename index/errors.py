"""What can go wrong in the index; fields, not sentences.

IndexFault
├── ExpectationsFailed   the commit's expectations did not hold; nothing was changed
├── TargetMissing        a change names what is not there; nothing was changed
├── FormatUnknown        the data was written by a newer version, or is not ours
├── DirectoryHeld        another server has the data directory
├── WriterBusy           the write queue is full
├── NoSpace              the disk is full; nothing was changed
└── IndexFailed          a sync or the environment failed: restart
    └── IndexDamaged     data.mdb is not what was written: restarts do not help
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from index.expectations import Expectation


REMEDY: Final = (
    "stop the server and run `orlop fsck --repair`; if that cannot read it, put a backup back "
    "with `orlop restore`"
)


class IndexFault(Exception):
    """Any error of this package that a caller may answer."""


@dataclass(eq=False)
class ExpectationsFailed(IndexFault):
    """All expectations of the commit that did not hold, in the order given."""

    failed: "tuple[Expectation, ...]"

    def __str__(self) -> str:
        return "not as expected: " + ", ".join(map(repr, self.failed))


@dataclass(eq=False)
class TargetMissing(IndexFault):
    """A change needs something that does not exist."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"there is no {self.kind} {self.name}"


@dataclass(eq=False)
class FormatUnknown(IndexFault):
    """The data directory's format is not one this version can open."""

    found: str
    newest: int

    def __str__(self) -> str:
        return (
            f"the data was written in format {self.found}, and this version knows formats up to "
            f"{self.newest}: start it with the version that wrote it, or a newer one"
        )


@dataclass(eq=False)
class DirectoryHeld(IndexFault):
    """Another process serves this data directory."""

    directory: str
    holder: str

    def __str__(self) -> str:
        return f"{self.directory} is held by {self.holder}: stop it first, or use another directory"


@dataclass(eq=False)
class WriterBusy(IndexFault):
    """The bounded write queue is full; nothing was changed."""

    waiting: int

    def __str__(self) -> str:
        return f"{self.waiting} operations wait to be written: try again in a moment"


@dataclass(eq=False)
class NoSpace(IndexFault):
    """The disk is full; the operation was rolled back and may be tried again."""

    def __str__(self) -> str:
        return "the disk that holds the index is full"


@dataclass(eq=False)
class IndexFailed(IndexFault):
    """The environment cannot be used any more; a restart recovers it."""

    reason: str

    def __str__(self) -> str:
        return f"the index failed: {self.reason}"


@dataclass(eq=False)
class IndexDamaged(IndexFailed):
    """`data.mdb` is cut off, or has pages that are none; `reason` names the file, and what it is.

    The sentence is in the reason too, for those who pass only that on.
    """

    def __post_init__(self) -> None:
        if REMEDY not in self.reason:
            self.reason = f"{self.reason}: it is damaged; {REMEDY}"
