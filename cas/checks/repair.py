"""Mend what fsck finds, while no server has the directory: `orlop fsck --repair`.

Check after check, each on a snapshot of its own, and what it finds is mended in transactions of at
most `ROWS` rows, each durable: a repair that was killed is simply run again. Rounds go on until one
has nothing to mend; what that one found is left, and told.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

from cas import layout, recovery
from cas.checks import files
from cas.checks.drift import MEND_ROWS, Check, Describe, Drift, Listing, Mend, Place, Run
from cas.checks.fsck import FIRST, THEN
from cas.errors import Damaged
from index.environment import Environment, check_file, open_environment
from index.ledger import Clock
from index.lock import hold_directory
from index.placement import ROWS, mark_pack
from index.transaction import Transaction
from index.view import View
from index.writer import open_writer

GRACE: Final = 3600  # seconds that what is found unreferenced stays before it may be collected
GROUP: Final = ROWS // MEND_ROWS  # mends of one transaction
MAX_ROUNDS: Final = 16  # mending one thing shows the next; this many mean that it will not end


@dataclass(frozen=True, slots=True)
class Repaired:
    """What was mended, and what could not be; a sentence for each."""

    mended: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


async def repair(root: Path, describe: Describe | None = None) -> Repaired:
    """Mend the data directory `root`, which no server may have; returns what was found.

    What stands on lost bytes stays in the index as it is. Files that nothing knows are moved to
    `lost+found/`. `describe` reads manifests whose rows are lost.

    Raises:
        DirectoryHeld: a server has it; says which.
        FormatUnknown, IndexFailed: the index cannot be opened or read.
        Damaged: there is no index, or it is empty beside packs.
        OSError: the directory cannot be used.
    """
    index = root / layout.INDEX
    if not (index / "data.mdb").exists():
        what = "there is no index to repair: put a backup back with `orlop restore`"
        raise Damaged(str(index), what)
    with hold_directory(root), _open(index) as environment:
        clock = Clock(int(time.time()), GRACE)
        mending = _Mending(environment, Place(root, environment.read, clock, describe))
        for _ in range(MAX_ROUNDS):
            before = len(mending.mended)
            mending.left.clear()
            mending.run(FIRST)
            with open_writer(environment) as writer:
                await recovery.recover(root, environment, writer)
            mending.run(THEN)
            if len(mending.mended) == before:
                break
        if mending.mended:
            mending.mark_packs()
    return Repaired(mending.mended, mending.left)


@contextmanager
def _open(index: Path) -> Iterator[Environment]:
    check_file(index)
    with open_environment(index) as environment:
        yield environment


@dataclass(slots=True)
class _Mending:
    """The findings of one repair."""

    environment: Environment
    place: Place
    mended: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def run(self, checks: Sequence[Check]) -> None:
        """Run each check on a snapshot, and mend while it goes on reading that one."""
        for check in checks:
            listed = files.list_files(self.place.root)
            self.environment.read(partial(self._check, check, listed))

    def mark_packs(self) -> None:
        """Let collection look at every pack that is not all live: rows of some were dropped."""
        packs = self.environment.read(_partly_dead)
        for start in range(0, len(packs), ROWS):
            self.environment.write(partial(_mark, packs[start : start + ROWS]))

    def _check(self, check: Check, listed: Listing, view: View) -> None:
        self._mend(check(Run(view, self.place, listed)))

    def _mend(self, found: Iterable[Drift]) -> None:
        remaining = iter(found)
        while group := list(islice(remaining, GROUP)):
            mends = [each.mend for each in group if each.mend is not None]
            if mends:
                self.environment.write(partial(_apply, mends))
            self.mended += [each.sentence for each in group if each.mend is not None]
            self.left += [each.sentence for each in group if each.mend is None]


def _partly_dead(view: View) -> list[int]:
    return [pack for pack, row in view.iter_packs() if row.live < row.length]


def _mark(packs: Sequence[int], transaction: Transaction) -> None:
    for pack in packs:
        mark_pack(transaction, pack)


def _apply(mends: Iterable[Mend], transaction: Transaction) -> None:
    for mend in mends:
        mend(transaction)
    transaction.bump_revision()
