"""`orlop backup` and `orlop restore`: they work on the files themselves, with no server's help."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from typing import Annotated, Final, TypeVar

from cyclopts import Parameter

from frontend.commands.common import AsJson, Data, Failure, data_directory, show
from frontend.words import size_text

T = TypeVar("T")

Verify = Annotated[bool, Parameter(negative="")]
AllowDamage = Annotated[bool, Parameter(negative="")]

_PROGRESS_SECONDS: Final = 0.2  # between two lines of progress


def backup(
    folder: Path, /, *, data: Data = None, verify: Verify = False, json: AsJson = False
) -> None:
    """Back the data directory up to a folder, while a server works on it or without one.

    Only what the folder lacks is copied; it holds a whole backup at every moment. Exits with 1
    when something stored is damaged, and names the images that need it; all else is backed up.

    Parameters
    ----------
    folder
        Where to: a new or empty folder, or an earlier backup of the same store.
    verify
        Read what the folder has as well, and copy again what is damaged.
    """
    from cas.backup.back_up import back_up

    place = data_directory(data)
    with _progress() as tell:
        report = _try(lambda: back_up(place, folder, verify=verify, tell=tell))
    words = [
        f"backed up {place} to {folder}",
        f"packs  {report.packs}, and {report.packs_removed} that nothing needs any more removed",
        f"copied  {size_text(report.bytes_copied)}, and {size_text(report.bytes_kept)} were there",
        f"index  {size_text(report.bytes_index)}",
        *(f"damaged, and not in the backup: {each}" for each in report.damaged),
    ]
    show(asdict(report), "\n".join(words), as_json=json)
    if report.damaged:
        raise SystemExit(1)


def restore(
    folder: Path, /, *, data: Data = None, allow_damage: AllowDamage = False, json: AsJson = False
) -> None:
    """Make a data directory of a backup, and check all of it.

    Parameters
    ----------
    folder
        What `orlop backup` was told.
    data
        The data directory to make: absent or empty.
    allow_damage
        Of a damaged backup, restore what is sound.
    """
    from cas.backup.restore import restore as restore_backup

    place = data_directory(data)
    with _progress() as tell:
        report = _try(lambda: restore_backup(folder, place, allow_damage=allow_damage, tell=tell))
    words = [
        f"restored {folder} to {place}, and checked every byte",
        f"packs  {report.packs} with {size_text(report.bytes_chunks)}",
        f"index  {size_text(report.bytes_index)}",
        *(f"damaged, and not restored: {each}" for each in report.damaged),
        *report.drift,
        f"start it with `orlop serve --data {place}`",
    ]
    show(asdict(report), "\n".join(words), as_json=json)


def _try(act: Callable[[], T]) -> T:
    """Run `act`; what can go wrong is told in words."""
    from cas.backup.folder import BackupRefused
    from cas.backup.restore import BackupDamaged
    from cas.errors import CasError
    from index.errors import IndexFault

    try:
        return act()
    except (BackupRefused, BackupDamaged, CasError, IndexFault, OSError) as error:
        raise Failure(str(error)) from None


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """One line that changes, on a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda stage, done, total: None
        return
    last = 0.0

    def tell(stage: str, done: int, total: int) -> None:
        nonlocal last
        if total and done < total and monotonic() - last < _PROGRESS_SECONDS:
            return
        last = monotonic()
        share = f"  {size_text(done)} of {size_text(total)}" if total else ""
        sys.stderr.write(f"\r\x1b[K{stage}{share}")
        sys.stderr.flush()

    try:
        yield tell
    finally:
        sys.stderr.write("\r\x1b[K")
