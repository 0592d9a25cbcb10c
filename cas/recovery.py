"""Start after any crash, in time that depends on what was in flight and not on what is stored.

Order: work rows (undo builds, go on dismantling) → uploads with two names (pack live: drop the
upload; else drop the pack's name and let the session resume) → the active pack back to its indexed
length → directories synced. Nothing listens before it is done.
"""

import os
import time
from functools import partial
from pathlib import Path

from cas import layout, packs
from cas.appender import ActivePack, create_pack
from cas.errors import Damaged
from cas.uploads import staging
from index import keys
from index.environment import Environment, sync_directory
from index.placement import activate_pack, dismantle_slice, give_up_build, is_live
from index.records import Pack, WorkKind
from index.runs import end_interrupted, is_interrupted
from index.view import View
from index.writer import Writer


async def recover(root: Path, environment: Environment, writer: Writer) -> ActivePack:
    """Bring the data directory to a state that the index describes; returns the active pack."""
    await finish_work(environment, writer)
    if environment.read(is_interrupted):
        await writer.write(partial(end_interrupted, now=time.time_ns() // 1_000_000))
    for session in _iter_adopted(root):
        _settle_adopted(root, environment, session)
    layout.rewrite_path(root).unlink(missing_ok=True)
    active = await _settle_active(root, environment, writer)
    sync_directory(root / layout.UPLOADS)
    sync_directory(root / layout.PACKS)
    sync_directory(root)
    return active


async def finish_work(environment: Environment, writer: Writer) -> int:
    """Undo unfinished builds and finish dismantling; returns how many there were."""
    works = environment.read(_look_at_work)
    for number in works:
        await writer.write(partial(give_up_build, object_id=number))
        while not (await writer.write(partial(dismantle_slice, object_id=number))).is_over:
            pass
    return len(works)


def _look_at_work(view: View) -> list[int]:
    """What has to be undone before anything else; objects that were collected may wait."""
    return [
        number
        for number, work in view.iter_work()
        if work.kind is not WorkKind.DISMANTLE or work.pack
    ]


def _iter_adopted(root: Path) -> list[str]:
    with os.scandir(root / layout.UPLOADS) as entries:
        return [entry.name for entry in entries if _is_sealed(entry)]


def _is_sealed(entry: "os.DirEntry[str]") -> bool:
    if not entry.is_file(follow_symlinks=False) or len(entry.name) != layout.SESSION_SIZE:
        return False  # none of ours
    status = entry.stat(follow_symlinks=False)
    return status.st_nlink > 1 or not status.st_mode & 0o200


def _settle_adopted(root: Path, environment: Environment, session: str) -> None:
    """A sealed upload was being committed when the process ended: it was, or it resumes."""
    pack = layout.session_pack(session)
    path = layout.upload_path(root, session)
    if environment.read(lambda view: is_live(view, pack)):
        staging.remove(path)
        return
    packs.disown(root, pack)
    staging.unseal(path)


async def _settle_active(root: Path, environment: Environment, writer: Writer) -> ActivePack:
    active, following = environment.read(_look_at_active)
    if active is None:
        return await _activate_first(root, writer)
    packs.disown(root, following)  # made, but the index never got to know of it
    pack, length = active
    if not length:
        create_pack(root, pack)
    elif not _cut_back(root, pack, length):
        # Indexed bytes are lost. Appends would hide that behind a hole: they go elsewhere.
        create_pack(root, following)
        pack, length, following = following, 0, new_pack()
        await writer.write(partial(activate_pack, pack=pack, following=following))
    return ActivePack(pack, length, following)


async def _activate_first(root: Path, writer: Writer) -> ActivePack:
    """The index first: a crash in between leaves no file that it does not know.

    Raises:
        Damaged: packs have bytes, but the index knows of no pack at all: it was lost.
    """
    folder = root / layout.PACKS
    if any(path.stat().st_size for path in folder.iterdir()):
        raise Damaged(
            str(root / layout.INDEX),
            f"is empty, but {folder} is not: put it back first with `orlop restore`",
        )
    pack, following = new_pack(), new_pack()
    await writer.write(partial(activate_pack, pack=pack, following=following))
    create_pack(root, pack)
    return ActivePack(pack, 0, following)


def _cut_back(root: Path, pack: int, length: int) -> bool:
    """Cut what was appended but not indexed; False when the file is shorter than `length`."""
    try:
        descriptor = os.open(layout.pack_path(root, pack), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        size = os.fstat(descriptor).st_size
        if size > length:
            os.ftruncate(descriptor, length)
        return size >= length
    finally:
        os.close(descriptor)


def _look_at_active(view: View) -> tuple[tuple[int, int] | None, int]:
    active = view.get("meta", keys.META_ACTIVE)
    following = keys.number(view.get("meta", keys.META_NEXT) or b"\0")
    if active is None:
        return None, following
    pack = keys.number(active)
    row: Pack | None = view.pack(pack)
    return (pack, 0 if row is None else row.length), following


def new_pack() -> int:
    """A random pack id, never 0."""
    return int.from_bytes(os.urandom(8)) or 1
