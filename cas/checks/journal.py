"""The journal: an entry about a repository has a place among its entries, and a place an entry."""

from collections.abc import Iterator

from cas.checks.drift import Drift, Run, drop, put
from index import keys
from index.journal import entry_key, place_key
from index.records import Entry


def entries(run: Run) -> Iterator[Drift]:
    """Entries and their places stand for each other."""
    for key, value in run.view.scan("journal", b"\0"):
        run.checked["journal entries"] += 1
        entry = Entry.decode(value)
        place = place_key(entry.repository, entry.number)
        if entry.repository and run.view.get("journal", place) != key[1:]:
            yield Drift(
                f"journal entry {keys.number(key[1:])}: its repository does not have it",
                put("journal", place, key[1:]),
            )
    for place, sequence in run.view.scan("journal", b"\1"):
        found = run.view.get("journal", entry_key(keys.number(sequence)))
        row = None if found is None else Entry.decode(found)
        if row is None or place_key(row.repository, row.number) != place:
            yield Drift(
                f"journal entry {keys.number(sequence)}: it is not what a repository has",
                drop(("journal", place)),
            )
