"""The record of maintenance: when it ran, who wanted it, and what came of it.

The table is shared with `index.growth`, whose rows are of a kind that it thins by itself.
"""

from typing import Final

from index import keys
from index.records import Run
from index.transaction import Transaction
from index.view import View

KEPT: Final = 100  # runs of a kind; the oldest go


def begin_run(transaction: Transaction, began: int, run: Run) -> int:
    """Note a run; returns its key, `began` (milliseconds since 1970) or the next free after it."""
    began = free_key(transaction, began)
    note_run(transaction, began, run)
    same = [at for at, each in transaction.iter_runs() if each.kind == run.kind]
    for oldest in same[KEPT:]:
        transaction.delete("run", keys.u64(oldest))
    return began


def free_key(transaction: Transaction, at: int) -> int:
    """The time `at` (milliseconds since 1970), or the next after it that no run has for a key."""
    while transaction.get("run", keys.u64(at)) is not None:
        at += 1
    return at


def last_finished(view: View, kind: str) -> int:
    """When the last run of a kind came to its end without an error (milliseconds), or 0."""
    ended = (run.ended_at for _, run in view.iter_runs() if run.kind == kind and not run.error)
    return max(ended, default=0)


def note_run(transaction: Transaction, began: int, run: Run) -> None:
    """Write what is known of a run now."""
    transaction.put("run", keys.u64(began), run.encode())


def is_interrupted(view: View) -> bool:
    """Whether a run did not end. Nothing runs yet, so the process that ran it has gone."""
    return any(not run.ended_at for _, run in view.iter_runs())


def end_interrupted(transaction: Transaction, now: int) -> int:
    """Say of runs that did not end, because the process did, that they were; returns how many."""
    left = [(began, run) for began, run in transaction.iter_runs() if not run.ended_at]
    for began, run in left:
        ended = Run(
            kind=run.kind, is_asked=run.is_asked, ended_at=now, error="the server was ended"
        )
        note_run(transaction, began, ended)
    return len(left)
