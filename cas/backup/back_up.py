"""Back a data directory up into a folder, beside the server that works on it or without one.

Order: no pack is taken away meanwhile (`cas.keeping`) → a copy of the index, `index.new` → the
chunks that it knows and the folder lacks, each checked (`cas.backup.packs`) → all synced →
`index.new` becomes `index` → packs and ranges that it does not know go. What the folder's old index
knows is never written over before that, so the folder holds a whole backup at every moment.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cas import layout
from cas.backup import folder as backup_folder
from cas.backup.folder import BackupRefused, Folder, State, open_for_backup, refusing_full
from cas.backup.packs import HELD, Copier, Known, free_dead
from cas.harm import Damage, harm_of, iter_inline_harm
from cas.keeping import keeping_packs
from cas.progress import Progress, Tell, tell_nobody
from index import keys
from index.environment import Environment, open_copy, open_snapshots
from index.errors import FormatUnknown
from index.view import View


@dataclass(frozen=True, slots=True)
class BackupReport:
    """What a backup did; sizes in bytes."""

    packs: int  # in the backup now
    packs_removed: int
    bytes_copied: int  # of chunks
    bytes_kept: int  # of chunks that the folder had before
    bytes_index: int
    damaged: tuple[Damage, ...]  # not in the backup; all else is


def back_up(
    root: Path, target: Path, *, verify: bool = False, tell: Tell = tell_nobody
) -> BackupReport:
    """Bring the backup of the data directory `root` in the folder `target` up to date; blocks.

    With `verify` the chunks that the folder has are checked too, and copied again where they are
    damaged. Staged uploads are not backed up.

    Raises:
        BackupRefused: it cannot be, or not go on; the backup that was there before is whole.
        IndexFault: the index cannot be read.
        OSError: a folder cannot be used.
    """
    if not (root / layout.INDEX / "data.mdb").exists():
        raise BackupRefused(f"{root} holds no store: name the data directory with --data")
    ours, theirs = root.resolve(), target.resolve()
    if ours.is_relative_to(theirs) or theirs.is_relative_to(ours):
        raise BackupRefused(f"{target} and {root} lie in one another: back up to another folder")
    kept = "what was copied stays for the next try, and the backup before it is whole"
    with open_for_backup(target) as folder, refusing_full(target, kept), keeping_packs(root):
        try:
            return _run(root, folder, verify=verify, tell=tell)
        finally:
            folder.remove_unfinished(backup_folder.INDEX)


def _run(root: Path, folder: Folder, *, verify: bool, tell: Tell) -> BackupReport:
    with open_snapshots(root / layout.INDEX) as live:
        state = _claim(folder, live.read(_store_of))
        tell("index", 0, 0)
        # While a snapshot is held the server's file grows: nothing else is done meanwhile.
        live.copy(path := folder.remove_unfinished(backup_folder.INDEX))
    with open_copy(path) as new, _open_old(folder, state) as old:

        def work(view: View, before: View | None) -> BackupReport:
            known = None if before is None else Known(before, state.incomplete, verify)
            return _Backup(folder, view, known, tell).run(root, state)

        return new.read(
            lambda view: work(view, None) if old is None else old.read(partial(work, view))
        )


def _store_of(view: View) -> bytes:
    return view.get("meta", keys.META_STORE) or b""


def _claim(folder: Folder, store: bytes) -> State:
    """Make sure that the folder is this store's; from the first time on.

    Raises:
        BackupRefused: it is another's.
    """
    state = folder.read_state()
    if state is None:
        state = State(store)
        folder.write_state(state)
    if state.store != store:
        raise BackupRefused(f"{folder.path} is the backup of another store: use another folder")
    return state


@contextmanager
def _open_old(folder: Folder, state: State) -> Iterator[Environment | None]:
    """The index that the folder has so far; None when there is none that can be trusted.

    Then every chunk that the folder has is looked at, and what is sound is kept.

    Raises:
        BackupRefused: a newer version wrote it.
    """
    if folder.hash_index() not in state.indexes:
        yield None
        return
    with ExitStack() as stack:
        try:
            old = stack.enter_context(open_copy(folder.path / backup_folder.INDEX))
        except FormatUnknown as error:
            if error.found.isdigit() and int(error.found) > error.newest:
                raise BackupRefused(f"{folder.path}: {error}") from error
            yield None
        else:
            yield old


class _Backup:
    """One run, on a view of the new index."""

    def __init__(self, folder: Folder, view: View, known: Known | None, tell: Tell) -> None:
        self._folder = folder
        self._view = view
        self._known = known
        self._tell = tell
        self._packs = {pack: row for pack, row in view.iter_packs() if row.state in HELD}

    def run(self, root: Path, state: State) -> BackupReport:
        """Copy, publish, tidy up."""
        copier = self._copy(root)
        damaged = tuple(self._harm(copier))
        size = self._publish(state, frozenset(each.pack for each in copier.damaged))
        lost = sum(each.stop - each.start for each in copier.damaged)
        live = sum(row.live for row in self._packs.values())
        return BackupReport(
            packs=len(self._packs),
            packs_removed=self._tidy(),
            bytes_copied=copier.copied,
            bytes_kept=live - lost - copier.copied,
            bytes_index=size,
            damaged=damaged,
        )

    def _copy(self, root: Path) -> Copier:
        progress = Progress(self._tell, sum(row.live for row in self._packs.values()))
        copier = Copier(root, self._folder, self._known, progress.advance)
        for pack, row in self._packs.items():
            before = progress.done
            copier.bring(self._view, pack, row)
            progress.advance(before + row.live - progress.done)  # what needed no look
        self._folder.sync_packs()
        return copier

    def _harm(self, copier: Copier) -> Iterator[Damage]:
        yield from harm_of(self._view, copier.damaged)
        if self._known is None or self._known.verify:
            yield from iter_inline_harm(self._view)

    def _publish(self, state: State, incomplete: frozenset[int]) -> int:
        """Make the new index that of the backup; returns its bytes."""
        before, after = self._folder.hash_index(), self._folder.hash_index(is_new=True)
        kept = tuple(each for each in state.indexes if each == before)
        self._folder.write_state(State(state.store, (*kept, after), incomplete | state.incomplete))
        size = self._folder.publish(backup_folder.INDEX)
        self._folder.write_state(State(state.store, (after,), incomplete))
        return size

    def _tidy(self) -> int:
        """Remove packs, and pages of packs, that the index does not know; returns how many packs.

        A crash before leaves them to the next backup.
        """
        gone = [pack for pack in self._folder.iter_packs() if pack not in self._packs]
        for pack in gone:
            self._folder.remove_pack(pack)
        for pack, row in self._packs.items():
            before = None if self._known is None else self._known.pack(pack)
            if before is not None and row.live < before.live:
                free_dead(self._folder, self._view, pack, row)
        self._folder.sync_packs()
        return len(gone)
