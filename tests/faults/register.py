"""Whether what clients saw of one tag can have happened one after the other (linearizability).

Pure. Each operation took effect at one moment between its begin and its end, and one whose answer
was lost did so or never. The search is Wing and Gong's, in the form that goes through time once: it
keeps every value that the tag may have, each with the operations under way that led to it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

Value = str | None  # a digest; None: there is no such tag


class Put(NamedTuple):
    """The tag was set."""

    value: str


class Got(NamedTuple):
    """The tag was read."""

    value: Value


class Cleared(NamedTuple):
    """The tag was deleted, and was there or not."""

    was_there: bool


class Dropped(NamedTuple):
    """A manifest was deleted, with its tags: this one too if it named that manifest."""

    value: str


Deed = Put | Got | Cleared | Dropped


@dataclass(frozen=True)
class Operation:
    """What was asked and answered; times in seconds of one clock.

    `is_lost`: no answer came. Its `end` is when it cannot happen any more.
    """

    begin: float
    end: float
    deed: Deed
    is_lost: bool = False


def _after(value: Value, deed: Deed) -> Iterator[Value]:
    """What the tag is after `deed`; nothing if the answer does not fit."""
    match deed:
        case Put(put):
            yield put
        case Got(got):
            if got == value:
                yield value
        case Cleared(was_there):
            if was_there == (value is not None):
                yield None
        case Dropped(dropped):
            yield None if value == dropped else value


_Done = frozenset[int]  # operations under way that have taken effect already
_States = set[tuple[Value, _Done]]


def contradiction(history: list[Operation]) -> list[Operation]:
    """Nothing if the history is linearizable; else the operations up to the first that is not."""
    moments = [(each.begin, 0, number) for number, each in enumerate(history)]
    moments += [(each.end, 1, number) for number, each in enumerate(history)]
    states: _States = {(None, frozenset())}
    under_way: set[int] = set()
    for _, is_end, number in sorted(moments):
        if not is_end:
            under_way.add(number)
            continue
        states = _reachable(states, under_way, history)
        if not history[number].is_lost:
            states = {each for each in states if number in each[1]}
        states = {(value, done - {number}) for value, done in states}
        under_way.discard(number)
        if not states:
            end = history[number].end
            return sorted((e for e in history if e.begin <= end), key=lambda e: e.begin)
    return []


def _reachable(states: _States, under_way: set[int], history: list[Operation]) -> _States:
    """All that may be, with any of the operations under way done, in any order."""
    found, fresh = set(states), list(states)
    while fresh:
        value, done = fresh.pop()
        for number in under_way - done:
            for after in _deed(value, history[number]):
                state = after, done | {number}
                if state not in found:
                    found.add(state)
                    fresh.append(state)
    return found


def _deed(value: Value, operation: Operation) -> Iterator[Value]:
    """As `_after`; a deletion whose answer was lost may have found the tag, or not."""
    if operation.is_lost and isinstance(operation.deed, Cleared):
        yield None
    else:
        yield from _after(value, operation.deed)
