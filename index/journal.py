"""The journal: who did what, in the order of commits, and for each repository by itself.

    u8 0 · u64 sequence          map: the entry; no sequence is used twice
    u8 1 · R · u64 number        u64 sequence: the entries about a repository

A repository's entries have numbers of their own, so that they tell nothing of how many others there
are: the milliseconds of their time, or one more than the entry before. So they rise also after all
before have gone, and who follows misses none. A note takes a few of the oldest
entries away: so the journal is bounded, and nothing scans it.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from index import keys
from index.changes import Note
from index.records import Entry
from index.transaction import Transaction
from index.view import View

TRIM: Final = 4  # entries that one note takes away at most; one comes
_ALL: Final = b"\0"
_LAST: Final = b"\xff" * 8


def entry_key(sequence: int) -> bytes:
    """The key of an entry."""
    return _ALL + keys.u64(sequence)


def place_key(repository: int, number: int) -> bytes:
    """The key of an entry's place among those of a repository."""
    return _of(repository) + keys.u64(number)


def note(transaction: Transaction, change: Note) -> None:
    """Append an entry, and take away what is too much or too old."""
    sequence = _newest(transaction, _ALL) + 1
    entry = change.entry
    record = transaction.repository(change.repository) if change.repository else None
    if record is not None:
        number = max(_newest(transaction, _of(record.id)) + 1, entry.at)
        entry = msgspec.structs.replace(entry, repository=record.id, number=number)
        transaction.put("journal", place_key(record.id, number), keys.u64(sequence))
    transaction.put("journal", entry_key(sequence), entry.encode())
    _trim(transaction, sequence - change.rows, change.since)


def _trim(transaction: Transaction, last: int, since: int) -> None:
    """Take away the oldest entries: those up to the sequence `last`, or from before `since`."""
    for _ in range(TRIM):
        oldest = next(transaction.scan("journal", _ALL), None)
        if oldest is None:
            return
        key, value = oldest
        entry = decode(value)  # what cannot be read goes as the oldest does
        if entry is not None and keys.number(key[1:]) > last and entry.at >= since:
            return
        transaction.delete("journal", key)
        if entry is not None and entry.repository:
            transaction.delete("journal", place_key(entry.repository, entry.number))


def iter_entries(
    view: View, repository: int = 0, *, after: int | None = None, before: int | None = None
) -> Iterator[tuple[int, Entry]]:
    """Entries with their sequences; of a repository, with their numbers there.

    With `after`, what is newer, the oldest first; otherwise what is older than `before`, or all,
    the newest first. An entry that cannot be read is left out.
    """
    for number, value in _iter_rows(view, _of(repository) if repository else _ALL, after, before):
        found = view.get("journal", _ALL + value) if repository else value
        entry = None if found is None else decode(found)
        if entry is not None:
            yield number, entry


def _iter_rows(
    view: View, prefix: bytes, after: int | None, before: int | None
) -> Iterator[tuple[int, bytes]]:
    if after is not None:
        for key, value in view.scan("journal", prefix, prefix + keys.u64(after)):
            yield keys.number(key[-8:]), value
        return
    stop = prefix + (_LAST if before is None else keys.u64(max(before, 1) - 1))
    while (found := view.last_before("journal", prefix, stop)) is not None:
        number = keys.number(found[0][-8:])
        yield number, found[1]
        if not number:
            return
        stop = prefix + keys.u64(number - 1)


def decode(value: bytes) -> Entry | None:
    """An entry; None if it cannot be read: the disk may have damaged it, and commits go on."""
    try:
        return Entry.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _newest(view: View, prefix: bytes) -> int:
    found = view.last_before("journal", prefix, prefix + _LAST)
    return 0 if found is None else keys.number(found[0][-8:])


def _of(repository: int) -> bytes:
    return b"\1" + keys.u32(repository)
