"""`index.upgrade`: created, raised step by step, refused when newer."""

import pytest

from index import keys
from index.changes import PutRepository
from index.environment import open_environment
from index.errors import FormatUnknown
from index.records import Repository
from index.upgrade import STEPS
from tests.index.tables import PLACES, commit, dump, write


def test_a_new_index_has_the_newest_format_an_identity_and_a_secret(environment):
    rows = environment.read(lambda v: dict(v.scan("meta")))

    assert rows[keys.META_FORMAT] == keys.u32(keys.FORMAT)
    assert len(rows[keys.META_STORE]) == 16
    assert len(rows[keys.META_SECRET]) == 32


def test_opening_again_changes_nothing(tmp_path):
    with open_environment(tmp_path / "index") as environment:
        before = environment.read(dump)

    with open_environment(tmp_path / "index") as environment:
        assert environment.read(dump) == before


def test_there_is_a_step_from_every_older_format():
    assert sorted(STEPS) == list(range(1, keys.FORMAT))


def test_the_step_to_format_3_lists_what_is_public(tmp_path):
    with open_environment(tmp_path / "index") as environment:
        commit(environment, PLACES)
        commit(environment, [PutRepository("local/more", Repository(visibility="public"))])
        before = environment.read(dump)
        write(environment, lambda t: t.delete("public", b"local/more"))
        write(environment, lambda t: t.put("meta", keys.META_FORMAT, keys.u32(2)))

    with open_environment(tmp_path / "index") as environment:
        assert environment.read(dump) == before


def _put(key):
    return lambda transaction: transaction.put("setting", key, b"step")


def test_steps_run_in_order_and_raise_the_version(tmp_path):
    seen = []
    steps = {
        1: lambda t: (seen.append(1), t.put("setting", b"a", b"from 1")),
        2: lambda t: (seen.append(2), t.put("setting", b"b", t.get("setting", b"a") + b" to 3")),
    }
    with open_environment(tmp_path / "index", newest=1):
        pass

    with open_environment(tmp_path / "index", steps=steps, newest=3) as environment:
        found = environment.read(lambda v: (v.get("meta", b"format"), v.get("setting", b"b")))

    assert seen == [1, 2]
    assert found == (keys.u32(3), b"from 1 to 3")


def test_a_failing_step_undoes_those_before_it(tmp_path):
    def fail(transaction):
        raise KeyError

    with open_environment(tmp_path / "index", newest=1) as environment:
        before = environment.read(dump)

    steps = {1: _put(b"a"), 2: fail}
    with (
        pytest.raises(KeyError),
        open_environment(tmp_path / "index", steps=steps, newest=3),
    ):
        pass

    with open_environment(tmp_path / "index", newest=1) as environment:
        assert environment.read(dump) == before


def test_a_missing_step_is_refused_and_nothing_changes(tmp_path):
    with open_environment(tmp_path / "index", newest=1) as environment:
        before = environment.read(dump)

    with (
        pytest.raises(FormatUnknown),
        open_environment(tmp_path / "index", steps={1: _put(b"a")}, newest=3),
    ):
        pass

    with open_environment(tmp_path / "index", newest=1) as environment:
        assert environment.read(dump) == before


def test_a_newer_format_is_refused_with_both_versions_and_left_alone(tmp_path):
    newer = keys.FORMAT + 6
    with open_environment(tmp_path / "index") as environment:
        write(environment, lambda t: t.put("meta", keys.META_FORMAT, keys.u32(newer)))
        before = environment.read(dump)

    with pytest.raises(FormatUnknown) as refused, open_environment(tmp_path / "index"):
        pass

    assert f"format {newer}" in str(refused.value)
    assert f"up to {keys.FORMAT}" in str(refused.value)
    with open_environment(tmp_path / "index", newest=newer) as environment:
        assert environment.read(dump) == before
