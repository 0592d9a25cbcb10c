"""`index.runs`: the record of maintenance, bounded, and by kind."""

import pytest

from index import keys, runs
from index.records import Run
from index.runs import begin_run, end_interrupted, is_interrupted, last_finished, note_run
from tests.index.tables import write


def begin(index, began, kind="scrub", **fields):
    return write(index, lambda t: begin_run(t, began, Run(kind=kind, **fields)))


def end(index, began, kind="scrub", **fields):
    write(index, lambda t: note_run(t, began, Run(kind=kind, **fields)))


def listed(index) -> list[tuple[int, Run]]:
    return index.read(lambda view: list(view.iter_runs()))


def times(index, kind) -> list[int]:
    return [began for began, run in listed(index) if run.kind == kind]


def test_a_run_has_a_key_of_its_own_however_many_begin_at_once(environment):
    found = [begin(environment, 1000, kind) for kind in ("gc", "scrub", "gc")]

    assert found == [1000, 1001, 1002]
    assert [run.kind for _, run in listed(environment)] == ["gc", "scrub", "gc"]


def test_what_is_noted_at_the_end_takes_the_place_of_the_beginning(environment):
    began = begin(environment, 1000, is_asked=False)

    end(environment, began, is_asked=False, ended_at=2000, figures={"bytes": 5, "rate": 0.5})

    done = Run(kind="scrub", is_asked=False, ended_at=2000, figures={"bytes": 5, "rate": 0.5})
    assert listed(environment) == [(1000, done)]


def test_the_oldest_of_a_kind_go_and_the_other_kind_stays(environment, monkeypatch):
    monkeypatch.setattr(runs, "KEPT", 3)
    begin(environment, 1, "gc")
    for began in range(10, 16):
        begin(environment, began)
    for began in (20, 21, 22):
        begin(environment, began, "gc")

    assert times(environment, "scrub") == [15, 14, 13]
    assert times(environment, "gc") == [22, 21, 20]


def test_a_hundred_of_each_kind_are_kept():
    assert runs.KEPT == 100  # docs/formats/index.md says so


def test_only_a_run_of_the_kind_that_came_to_its_end_counts_as_finished(environment):
    assert environment.read(lambda v: last_finished(v, "scrub")) == 0
    end(environment, 100, ended_at=200)
    end(environment, 150, ended_at=180)
    end(environment, 300, ended_at=400, error="it was given up")
    begin(environment, 500)  # it lasts
    end(environment, 600, "gc", ended_at=700)

    assert environment.read(lambda v: last_finished(v, "scrub")) == 200
    assert environment.read(lambda v: last_finished(v, "gc")) == 700


@pytest.mark.parametrize("kind", ["gc", "scrub"])
def test_what_the_end_of_the_process_interrupted_is_said_so_once(environment, kind):
    end(environment, 1, ended_at=2, figures={"found": 1})
    began = begin(environment, 100, kind, is_asked=False)
    assert environment.read(is_interrupted)

    assert write(environment, lambda t: end_interrupted(t, 300)) == 1

    newest = Run(kind=kind, is_asked=False, ended_at=300, error="the server was ended")
    assert listed(environment)[0] == (began, newest)
    assert listed(environment)[1][1].figures == {"found": 1}
    assert not environment.read(is_interrupted)
    assert write(environment, lambda t: end_interrupted(t, 400)) == 0


def test_the_newest_come_first_whatever_their_length(environment):
    for began in (5, 300, 70_000, 1 << 40):
        begin(environment, began)

    assert [began for began, _ in listed(environment)] == [1 << 40, 70_000, 300, 5]
    assert environment.read(lambda v: v.get("run", keys.u64(300))) is not None
