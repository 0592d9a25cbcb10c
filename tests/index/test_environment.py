"""`index.environment`: what is on disk, and what reads may rely on."""

import os
from functools import partial

import pytest

from index import environment as module
from index.environment import RESERVE, open_environment
from index.errors import FormatUnknown, IndexFailed
from index.view import View
from tests.index.tables import write


def test_files_are_the_owners_only(environment, tmp_path):
    modes = {p.name: p.stat().st_mode & 0o777 for p in (tmp_path / "index").iterdir()}

    assert modes == {"data.mdb": 0o600, "lock.mdb": 0o600}
    assert (tmp_path / "index").stat().st_mode & 0o777 == 0o700


def test_space_is_reserved_beyond_the_files_end(environment, tmp_path):
    status = (tmp_path / "index" / "data.mdb").stat()

    assert status.st_blocks * 512 >= status.st_size + RESERVE // 2
    assert status.st_size < RESERVE


def test_the_reserve_is_renewed_as_the_file_grows(environment, tmp_path):
    for number in range(3):
        value = bytes(RESERVE // 2)
        write(environment, lambda t, n=number, v=value: t.put("setting", b"%d" % n, v))
        assert environment.reserve_space()

    status = (tmp_path / "index" / "data.mdb").stat()
    assert status.st_size > RESERVE
    assert status.st_blocks * 512 >= status.st_size + RESERVE // 2


def test_no_space_to_reserve_is_told_and_is_no_error(environment, monkeypatch):
    def refuse(descriptor, size):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "RESERVE", 1 << 40)
    monkeypatch.setattr(module, "reserve", refuse)

    assert not environment.reserve_space()


def test_no_descriptor_to_reserve_with_is_told_and_is_no_error(environment, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(module, "RESERVE", 1 << 40)
    monkeypatch.setattr(module.Path, "open", refuse)

    assert not environment.reserve_space()


def test_a_file_that_is_no_index_is_refused_and_kept(tmp_path):
    (tmp_path / "index").mkdir()
    path = tmp_path / "index" / "data.mdb"
    path.write_bytes(b"not an index. " * 4000)

    with pytest.raises(FormatUnknown, match="not an LMDB file"), open_environment(path.parent):
        pass

    assert path.read_bytes() == b"not an index. " * 4000


@pytest.mark.parametrize("share", [0.01, 0.5, 0.9])
def test_an_index_that_was_cut_off_is_refused_and_kept(tmp_path, share):
    path = tmp_path / "index" / "data.mdb"
    with open_environment(path.parent) as environment, environment.begin() as raw:
        for number in range(1000):
            environment.transaction(raw).put("inline", number.to_bytes(8), bytes(5000))
    size = max(2, int(path.stat().st_size * share) // 4096) * 4096
    os.truncate(path, size)

    with pytest.raises(IndexFailed, match=f"has {size} of its"), open_environment(path.parent):
        pass

    assert path.stat().st_size == size


def test_an_index_that_cannot_be_opened_says_why(tmp_path):
    (tmp_path / "index" / "data.mdb").mkdir(parents=True)

    with (
        pytest.raises(IndexFailed, match="Is a directory"),
        open_environment(tmp_path / "index"),
    ):
        pass


def test_a_read_sees_one_snapshot(environment):
    def look(view):
        write(environment, lambda t: t.put("setting", b"key", b"new"))
        return view.get("setting", b"key")

    assert environment.read(look) is None
    assert environment.read(lambda v: v.get("setting", b"key")) == b"new"


def test_a_reader_gets_the_kind_of_view_it_asks_for(environment):
    class Mine(View):
        __slots__ = ("word",)

        def __init__(self, word, *snapshot):
            super().__init__(*snapshot)
            self.word = word

    assert environment.read(lambda v: v.word, partial(Mine, "mine")) == "mine"


def test_an_error_in_a_read_ends_its_snapshot(environment):
    views = []
    with pytest.raises(KeyError):
        environment.read(lambda v: (views.append(v), {}["missing"]))

    with pytest.raises(Exception, match="closed"):
        views[0].get("setting", b"key")


def test_an_uncommitted_transaction_leaves_nothing(environment):
    def fail(transaction):
        transaction.put("setting", b"key", b"new")
        raise KeyError

    with pytest.raises(KeyError):
        write(environment, fail)

    assert environment.read(lambda v: v.get("setting", b"key")) is None


def test_a_reader_of_a_closed_index_is_told_so(tmp_path):
    with open_environment(tmp_path / "index") as closed:
        pass

    with pytest.raises(IndexFailed):
        closed.read(lambda v: v.revision())


def test_there_are_no_dead_readers_to_clear(environment):
    environment.read(lambda v: v.revision())

    assert environment.check_readers() == 0


def test_the_map_doubles(tmp_path):
    with open_environment(tmp_path / "index", map_size=1 << 20) as environment:
        environment.grow()
        write(environment, lambda t: t.put("setting", b"key", bytes(3 << 19)))

        assert len(environment.read(lambda v: v.get("setting", b"key"))) == 3 << 19
