"""`index.environment`: what is on disk, and what reads may rely on."""

import errno
import os
import subprocess
import sys
from contextlib import closing
from functools import partial

import pytest

from index import environment as module
from index.environment import RESERVE, check_file, open_environment
from index.errors import IndexDamaged, IndexFailed
from index.pages import _File, _tree, free_pages
from index.view import View
from tests.anomaly import replaced
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

    with pytest.raises(IndexDamaged, match="not an LMDB file"), open_environment(path.parent):
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

    with pytest.raises(IndexDamaged, match=f"has {size} of its"), open_environment(path.parent):
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


def test_bytes_of_values_are_added_up_whatever_their_sizes(environment):
    values = [b"x" * (number % 7) for number in range(5000)] + [b"x" * 9000]

    write(
        environment,
        lambda t: [t.put("inline", at.to_bytes(8), each) for at, each in enumerate(values)],
    )

    assert environment.value_bytes("inline") == sum(map(len, values))
    assert environment.value_bytes("pack") == 0


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


# --- a file that is damaged ---

READ_ALL = """
import sys
from pathlib import Path
from index import keys
from index.environment import open_environment
from index.errors import IndexDamaged

def look(view):
    for table in keys.TABLES:
        for _ in view.scan(table):
            pass

try:
    with open_environment(Path(sys.argv[1])) as environment:
        environment.read(look)
except IndexDamaged as error:
    sys.exit(str(error))
"""


def read_all(directory) -> "subprocess.CompletedProcess[str]":
    """In a process of its own, for it may end it."""
    return subprocess.run(  # noqa: S603 - ours
        [sys.executable, "-c", READ_ALL, str(directory)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture
def rows(tmp_path):
    """An index with rows in some hundred pages."""
    with open_environment(tmp_path / "index") as environment:
        for start in range(0, 1000, 100):
            write(
                environment,
                lambda t, s=start: [
                    t.put("inline", (s + number).to_bytes(8), bytes(1500)) for number in range(100)
                ],
            )
    return tmp_path / "index"


@pytest.mark.slow
@pytest.mark.parametrize("pages", [1, 5, 20, 40])
def test_pages_that_were_cut_off_are_damage_and_never_the_end_of_the_process(rows, pages):
    path = rows / "data.mdb"
    os.truncate(path, path.stat().st_size - pages * 4096)

    ended = read_all(rows)

    assert ended.returncode == 1
    assert "orlop fsck --repair" in ended.stderr
    assert "orlop restore" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("content", [bytes(4096), b"\xff" * 4096], ids=["zeros", "ones"])
def test_every_page_that_is_none_is_found(rows, content):
    path = rows / "data.mdb"
    original, free = path.read_bytes(), free_pages(path)
    check_file(rows)

    for number in range(2, len(original) // 4096, 9):
        path.write_bytes(original)
        with path.open("r+b") as file:
            file.seek(number * 4096)
            file.write(content)
        if number in free:
            check_file(rows)
        else:
            with pytest.raises(IndexDamaged, match="is damaged"):
                check_file(rows)


def test_a_page_of_meta_that_is_none_is_damage(rows):
    with (rows / "data.mdb").open("r+b") as file:
        file.write(bytes(4096))

    with pytest.raises(IndexDamaged, match="orlop restore"), open_environment(rows):
        pass


def test_a_file_that_lacks_free_pages_only_is_made_whole(rows):
    """As a commit leaves it that took pages at the file's end, and freed them again."""
    path = rows / "data.mdb"
    with open_environment(rows) as environment:
        environment.write(lambda t: [t.delete("inline", n.to_bytes(8)) for n in range(1000)])
        for number in range(4):  # into pages that are free now
            environment.write(lambda t, n=number: t.put("setting", b"key", b"%d" % n))
        _, needed, _ = environment._sizes()
    free = free_pages(path)
    last = needed // 4096 - 1
    assert last in free
    os.truncate(path, needed - 4096)

    with open_environment(rows):
        assert path.stat().st_size == needed


def test_a_read_of_a_page_that_is_none_is_damage(rows):
    with open_environment(rows) as environment:
        (root,) = [_tree(data).root for _, data in _roots(rows) if _tree(data).depth > 1]
        with (rows / "data.mdb").open("r+b") as file:
            file.seek(root * 4096)
            file.write(bytes(4096))

        with pytest.raises(IndexDamaged, match="orlop fsck --repair"):
            environment.read(lambda view: view.get("inline", bytes(8)))


def _roots(directory):
    with closing(_File(directory / "data.mdb")) as file:
        return list(file.iter_nodes(file.main))


def test_a_write_by_hand_is_committed_or_not_at_all(environment):
    def fail(transaction):
        transaction.put("setting", b"key", b"new")
        raise KeyError

    environment.write(lambda t: t.put("setting", b"key", b"old"))
    with pytest.raises(KeyError):
        environment.write(fail)

    assert environment.read(lambda v: v.get("setting", b"key")) == b"old"


def test_a_new_index_has_its_name_only_when_it_is_on_disk(tmp_path):
    def failing(name, call):
        def fail(descriptor):
            raise OSError(errno.EIO, "planted")

        return fail

    with (
        replaced(("fsync",), failing),
        pytest.raises(IndexFailed, match="could not be synced"),
        open_environment(tmp_path / "index"),
    ):
        pass
    assert not (tmp_path / "index" / "data.mdb").exists()

    with open_environment(tmp_path / "index"):
        assert sorted(path.name for path in (tmp_path / "index").iterdir()) == [
            "data.mdb",
            "lock.mdb",
        ]
