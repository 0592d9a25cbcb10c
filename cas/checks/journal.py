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
        place, sequence = _place(value), key[1:]
        found = None if place is None else run.view.get("journal", place)
        if place is not None and found != sequence:
            name = f"journal entry {keys.number(sequence)}"
            if found is not None and _place_of(run, found) == place:
                sentence = f"{name}: its place is that of {keys.number(found)}"
                yield Drift(sentence, drop(("journal", key)))
            else:
                yield Drift(
                    f"{name}: its repository does not have it", put("journal", place, sequence)
                )
    for place, sequence in run.view.scan("journal", b"\1"):
        if _place_of(run, sequence) != place:
            yield Drift(
                f"journal entry {keys.number(sequence)}: it is not what a repository has",
                drop(("journal", place)),
            )


def _place_of(run: Run, sequence: bytes) -> bytes | None:
    value = run.view.get("journal", entry_key(keys.number(sequence)))
    return None if value is None else _place(value)


def _place(value: bytes) -> bytes | None:
    """The key of an entry's place; None: it is about no repository."""
    entry = Entry.decode(value)
    return place_key(entry.repository, entry.number) if entry.repository else None
