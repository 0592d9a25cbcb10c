"""Index against disk, both ways: packs, and what lies in packs/ and uploads/ that is none of ours.

packs/<16 hex>.rewrite      collection's copy of a pack; the next start unlinks it
lost+found/                 where repair puts files that nothing knows
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cas import layout
from cas.checks.drift import Drift, Listing, Mend, Run, drop, put
from index import keys
from index.environment import sync_directory
from index.records import Pack, PackState
from index.transaction import Transaction

_PACK: Final = re.compile(r"[0-9a-f]{16}")
_REWRITE: Final = re.compile(r"[0-9a-f]{16}\.rewrite")
_UPLOAD: Final = re.compile(rf"[0-9a-f]{{{layout.SESSION_SIZE}}}")


def list_files(root: Path) -> Listing:
    """Pack files that are not staged uploads as well, and strangers among the uploads.

    Listed in this order and before the snapshot, so that each of them is in its index: an upload
    that is adopted meanwhile loses its other name only after its commit.
    """
    packs = sorted(path.name for path in (root / layout.PACKS).iterdir())
    uploads = sorted((root / layout.UPLOADS).iterdir())
    staged = {path.name[:16] for path in uploads if _UPLOAD.fullmatch(path.name)}
    return Listing(
        [name for name in packs if name not in staged and not _REWRITE.fullmatch(name)],
        [path.name for path in uploads if not _is_upload(path)],
    )


def _is_upload(path: Path) -> bool:
    """Whether it may be one; an upload that ended meanwhile was one."""
    is_file = path.is_file() and not path.is_symlink()
    return _UPLOAD.fullmatch(path.name) is not None and (is_file or not os.path.lexists(path))


# --- before recovery: it cuts packs back to the length that their rows say ---


def rows(run: Run) -> Iterator[Drift]:
    """A pack in which chunks or extents lie has a row, and is as long as they need."""
    ends = {pack: max(stops) for pack, (_, stops) in run.spans.items()}
    for pack in _iter_chunk_packs(run):
        last = run.view.last_before("chunk_at", b"", keys.place(pack, (1 << 64) - 1))
        offset = 0 if last is None else keys.split_place(last[0])[1]
        chunk = run.view.chunk_at(pack, offset)
        ends[pack] = max(ends.get(pack, 0), offset + (0 if chunk is None else chunk.length))
    for pack, end in sorted(ends.items()):
        row = run.view.pack(pack)
        if row is None:
            is_active = run.view.get("meta", keys.META_ACTIVE) == keys.u64(pack)
            state = PackState.ACTIVE if is_active else PackState.SEALED
            made = Pack(state, max(end, 0 if is_active else _file_size(run, pack)), 0)
            yield Drift(f"pack {pack:016x}: chunks lie in it, but it has no row", _set(pack, made))
        elif row.length < end <= _file_size(run, pack):
            sentence = f"pack {pack:016x}: {row.length} bytes, but chunks lie up to {end}"
            yield Drift(sentence, _set(pack, row._replace(length=end)))


def _iter_chunk_packs(run: Run) -> Iterator[int]:
    """Packs that have chunk rows; a step for each."""
    after = None
    while (row := next(run.view.scan("chunk_at", after=after), None)) is not None:
        pack = keys.split_place(row[0])[0]
        yield pack
        after = keys.place(pack, (1 << 64) - 1)


def _set(pack: int, row: Pack) -> Mend:
    return put("pack", keys.u64(pack), row.encode())


def _file_size(run: Run, pack: int) -> int:
    path = layout.pack_path(run.place.root, pack)
    return path.stat().st_size if path.is_file() else 0


def works(run: Run) -> Iterator[Drift]:
    """What is built or dismantled is no live object: recovery would take its bytes back."""
    pending = [(number, work.object) for number, work in run.view.iter_work()]
    live = set(run.live) if pending else set()
    for number, object_id in pending:
        if object_id in live or number in live:
            sentence = f"work {number}: its object is live, there is nothing to be done"
            yield Drift(sentence, drop(("work", keys.u64(number))))


# --- after it ---


def packs(run: Run) -> Iterator[Drift]:
    """A pack has a file as long as its row says, and a state that fits what stands on it."""
    incoming = {work.pack for _, work in run.view.iter_work()}
    active = run.view.get("meta", keys.META_ACTIVE)
    for pack, row in run.view.iter_packs():
        run.checked["packs"] += 1
        name = f"pack {pack:016x}"
        is_used = next(run.view.iter_chunks(pack), None) is not None or pack in run.spans
        if row.state is PackState.INCOMING and pack not in incoming:
            mend = _set(pack, row._replace(state=PackState.SEALED))
            yield Drift(f"{name}: incoming, and nothing builds it", mend)
        elif row.state is PackState.DEAD and is_used:
            mend = _set(pack, row._replace(state=PackState.SEALED))
            yield Drift(f"{name}: dead, but chunks lie in it", mend)
        elif row.state is not PackState.DEAD:
            is_needed = is_used or keys.u64(pack) == active
            yield from _file(run, pack, row, is_needed=is_needed)


def _file(run: Run, pack: int, row: Pack, *, is_needed: bool) -> Iterator[Drift]:
    size = run.file_size(pack)
    name = f"pack {pack:016x}"
    if size < 0:
        yield Drift(
            f"{name}: its file is missing", None if is_needed else drop(("pack", keys.u64(pack)))
        )
    elif size < row.length:
        _, stops = run.spans.get(pack, ((), ()))
        end = max(stops, default=0)
        # Lost bytes that nothing stands on are no loss; others are told, and what they hurt.
        mend = _set(pack, row._replace(length=size)) if end <= size else None
        yield Drift(f"{name}: {row.length} bytes, but its file has {size}", mend)


def strangers(run: Run) -> Iterator[Drift]:
    """No file in packs/ and uploads/ is unknown."""
    following = keys.number(run.view.get("meta", keys.META_NEXT) or b"\0")
    for name in run.files.packs:
        path = run.place.root / layout.PACKS / name
        is_known = name == f"{following:016x}" or _has_row(run, name)
        if not is_known and os.path.lexists(path):  # or it was given up meanwhile
            yield Drift(f"pack {name}: a file that the index does not know", _move(run, path))
    for name in run.files.uploads:
        path = run.place.root / layout.UPLOADS / name
        if os.path.lexists(path):
            yield Drift(f"uploads/{name}: is no upload", _move(run, path))


def _has_row(run: Run, name: str) -> bool:
    return _PACK.fullmatch(name) is not None and run.view.pack(int(name, 16)) is not None


def _move(run: Run, path: Path) -> Mend:
    """Keep it, where nobody looks: it may be somebody's only copy."""

    def mend(_: Transaction) -> None:
        folder = run.place.root / layout.LOST
        folder.mkdir(mode=0o700, exist_ok=True)
        target, number = folder / path.name, 0
        while os.path.lexists(target):
            number += 1
            target = folder / f"{path.name}.{number}"
        path.rename(target)
        for changed in (folder, path.parent, run.place.root):
            sync_directory(changed)

    return mend
