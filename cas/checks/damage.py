"""What is known to be damaged: its rows; `cas.maintenance.scrubber` looks at the bytes."""

from collections.abc import Iterator

from cas.checks.drift import Drift, Run, drop
from index import keys
from index.damage import HURT
from index.records import Damage, Place


def rows(run: Run) -> Iterator[Drift]:
    """A row stands for a chunk that is not shared, or for an object that is hurt."""
    for key, value in run.view.scan("damage"):
        run.checked["damaged"] += 1
        place, damage = Place(*keys.split_place(key)), Damage.decode(value)
        is_there = _is_hurt if place.pack == HURT else _is_chunk
        if not is_there(run, place, damage):
            sentence = f"damage {key.hex()}: what it says is damaged is not there"
            yield Drift(sentence, drop(("damage", key)))
        elif place.pack != HURT and run.view.chunk(damage.name) == place:
            sentence = f"damage {key.hex()}: its chunk would be shared with what is pushed"
            yield Drift(sentence, drop(("chunk", damage.name)))


def _is_hurt(run: Run, place: Place, damage: Damage) -> bool:
    """It may be sound by now: `cas.maintenance.mending` looks each minute."""
    row = run.view.object(damage.name)
    return row is not None and row.id == place.offset


def _is_chunk(run: Run, place: Place, damage: Damage) -> bool:
    at = run.view.chunk_at(*place)
    return at is not None and (at.name, at.length) == (damage.name, damage.length)
