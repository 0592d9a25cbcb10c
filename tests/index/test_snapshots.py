"""`index.environment.open_snapshots`: reads in a process that never writes.

LMDB opens an index once in a process, so whoever writes while we read is another one.
"""

import errno
import os
import subprocess
import sys
from pathlib import Path

import lmdb
import pytest

from index import environment as module, keys
from index.environment import open_copy, open_environment, open_snapshots
from index.errors import FormatUnknown, IndexDamaged, IndexFailed, NoSpace
from tests.index.tables import write

ROOT = Path(__file__).parents[2]
# Begins to write, says so, and goes on to its commit when it is told to.
WRITER = """
import sys
from pathlib import Path
from index.environment import open_environment

with open_environment(Path(sys.argv[1])) as environment:
    with environment.begin() as raw:
        environment.transaction(raw).put("setting", b"key", sys.argv[2].encode())
        print("begun", flush=True)
        sys.stdin.readline()
"""


def start_writer(directory: Path, value: str) -> subprocess.Popen:
    """A process that is within a write transaction."""
    return start(WRITER, directory, value)


def start(program: str, *arguments) -> subprocess.Popen:
    """A process that has said that it has begun."""
    process = subprocess.Popen(  # noqa: S603 - ourselves
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "begun\n"
    return process


# Commits more than lmdb maps of its own accord.
GROWER = """
import sys
from pathlib import Path
from index.environment import open_environment

with open_environment(Path(sys.argv[1])) as environment:
    print("begun", flush=True)
    sys.stdin.readline()
    environment.write(lambda t: [t.put("inline", bytes([n]), bytes(1 << 20)) for n in range(12)])
    environment.write(lambda t: t.put("setting", b"key", b"grown"))
"""


def setting(environment) -> bytes | None:
    return environment.read(lambda view: view.get("setting", b"key"))


@pytest.fixture
def directory(tmp_path):
    found = tmp_path / "index"
    with open_environment(found) as environment:
        write(environment, lambda t: t.put("setting", b"key", b"first"))
    return found


def test_what_was_written_is_read(directory):
    with open_snapshots(directory) as environment:
        assert setting(environment) == b"first"
        assert environment.read(lambda view: view.entries("link")) == 0


def test_every_table_is_found_without_a_write(directory):
    before = (directory / "data.mdb").stat()

    with open_snapshots(directory) as environment:
        for table in keys.TABLES:
            environment.read(lambda view, name=table: view.entries(name))

    after = (directory / "data.mdb").stat()
    assert (after.st_mtime_ns, after.st_blocks) == (before.st_mtime_ns, before.st_blocks)


def test_nobody_writes_through_it(directory):
    with open_snapshots(directory) as environment, pytest.raises(lmdb.ReadonlyError):
        environment.begin()


@pytest.mark.parametrize("makes", [lambda path: None, Path.mkdir])
def test_where_there_is_none_none_is_made(tmp_path, makes):
    directory = tmp_path / "index"
    makes(directory)

    with pytest.raises(IndexFailed, match="there is no index"), open_snapshots(directory):
        pass

    assert not (directory / "data.mdb").exists()


@pytest.mark.parametrize("newest", [keys.FORMAT - 1, keys.FORMAT + 1])
def test_another_format_is_refused_and_kept(directory, newest):
    before = (directory / "data.mdb").read_bytes()

    with pytest.raises(FormatUnknown) as caught, open_snapshots(directory, newest=newest):
        pass

    assert (caught.value.found, caught.value.newest) == (str(keys.FORMAT), newest)
    assert (directory / "data.mdb").read_bytes() == before


def test_what_is_no_index_is_refused(tmp_path):
    (tmp_path / "data.mdb").write_bytes(b"no index" * 1024)

    with pytest.raises(IndexDamaged, match="orlop restore"), open_snapshots(tmp_path):
        pass


def test_an_index_that_was_never_finished_is_refused(tmp_path):
    with lmdb.open(str(tmp_path), lib_version=0, max_dbs=4) as raw:
        raw.open_db(b"meta")
    with pytest.raises(FormatUnknown), open_snapshots(tmp_path):
        pass  # no format yet

    with lmdb.open(str(tmp_path), lib_version=0, max_dbs=4) as raw:
        meta = raw.open_db(b"meta")
        with raw.begin(write=True, db=meta) as transaction:
            transaction.put(keys.META_FORMAT, keys.u32(keys.FORMAT))
    with pytest.raises(IndexFailed, match="not all of its tables"), open_snapshots(tmp_path):
        pass


def test_an_index_that_was_cut_off_is_refused(directory):
    with (directory / "data.mdb").open("r+b") as file:
        file.truncate(4 * 4096)
    # What is too short by more than this is cut off; a fresh index is small.
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "_UNWRITTEN", 0)
        with pytest.raises(IndexDamaged, match="orlop fsck --repair"), open_snapshots(directory):
            pass


@pytest.mark.slow
def test_a_writer_that_is_killed_blocks_neither_readers_nor_the_next_writer(directory):
    with open_snapshots(directory) as environment:
        for number in range(3):
            killed = start_writer(directory, "never committed")
            assert setting(environment) == (b"first" if number == 0 else b"%d" % (number - 1))
            killed.kill()  # within its transaction: it holds the writers' lock
            killed.communicate()
            assert setting(environment) == (b"first" if number == 0 else b"%d" % (number - 1))

            following = start_writer(directory, str(number))
            following.communicate("commit\n", timeout=30)

            assert following.returncode == 0
            assert setting(environment) == b"%d" % number


@pytest.mark.slow
def test_a_reader_that_opened_first_is_seen_by_the_writer(directory):
    """Its slot is in the table that both share: no page of its snapshot is used again."""
    with open_snapshots(directory) as environment:

        def look(view):
            first = view.get("setting", b"key")
            for number in range(4):  # LMDB uses a page again after two commits
                writer = start_writer(directory, str(number) * 300)
                writer.communicate("commit\n", timeout=30)
            return first, view.get("setting", b"key")

        assert environment.read(look) == (b"first", b"first")
        assert setting(environment) == b"3" * 300


READER = """
import sys
from pathlib import Path
from index.environment import open_snapshots

def look(view):
    print("begun", flush=True)
    sys.stdin.readline()

with open_snapshots(Path(sys.argv[1])) as environment:
    environment.read(look)
"""


@pytest.mark.slow
def test_slots_of_readers_that_were_killed_are_free_again(directory, monkeypatch):
    (directory / "lock.mdb").unlink()
    monkeypatch.setattr(module, "MAX_READERS", 2)

    with open_snapshots(directory) as environment:
        for _ in range(3):
            killed = start(READER, directory)
            killed.kill()
            killed.communicate()

            nested = environment.read(lambda view: (setting(environment), view.revision()))

            assert nested[0] == b"first"


# --- copies ---


def copied(environment, to: Path) -> dict[bytes, bytes]:
    """The settings of a copy that is made now."""
    environment.copy(to)
    with open_copy(to) as copy:
        return copy.read(lambda view: dict(view.scan("setting")))


def test_a_copy_is_one_private_file_with_what_was_committed(directory, tmp_path):
    with open_snapshots(directory) as environment:
        size = environment.copy(tmp_path / "copy")

    status = (tmp_path / "copy").stat()
    assert (status.st_size, status.st_mode & 0o777) == (size, 0o600)
    with open_copy(tmp_path / "copy") as copy:
        assert setting(copy) == b"first"
        for table in keys.TABLES:
            copy.read(lambda view, name=table: view.entries(name))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "index"]


def test_a_copy_leaves_free_pages_behind(directory, tmp_path):
    with open_environment(directory) as environment:
        write(environment, lambda t: t.put("setting", b"large", bytes(1 << 20)))
        write(environment, lambda t: t.delete("setting", b"large"))

    with open_snapshots(directory) as environment:
        assert environment.copy(tmp_path / "copy") < 1 << 20


def test_a_copy_is_one_snapshot_beside_a_process_that_writes(directory, tmp_path):
    with start_writer(directory, "second") as writer, open_snapshots(directory) as environment:
        before = copied(environment, tmp_path / "before")
        writer.communicate("go on\n")
        after = copied(environment, tmp_path / "after")

    assert (before, after) == ({b"key": b"first"}, {b"key": b"second"})


def test_a_copy_never_takes_another_files_place(directory, tmp_path):
    (tmp_path / "copy").write_bytes(b"mine")
    with open_snapshots(directory) as environment, pytest.raises(FileExistsError):
        environment.copy(tmp_path / "copy")

    assert (tmp_path / "copy").read_bytes() == b"mine"


def test_an_index_with_lost_pages_can_be_copied_all_the_same(directory, tmp_path):
    path = directory / "data.mdb"
    last_page = 16 + 8 + 8 + 8 + 2 * 48  # Source: LMDB 0.9, mdb.c, MDB_meta behind a page header
    with path.open("r+b") as file:
        for page in (0, 1):
            file.seek(page * 4096 + last_page)
            number = int.from_bytes(file.read(8), "little")
            file.seek(-8, 1)
            file.write((number + 3).to_bytes(8, "little"))
        file.truncate(path.stat().st_size + 3 * 4096)

    with open_snapshots(directory) as environment:
        assert copied(environment, tmp_path / "copy") == {b"key": b"first"}


@pytest.mark.parametrize("call", ["open", "fsync"])
def test_a_copy_onto_a_full_disk_is_told(directory, tmp_path, monkeypatch, call):
    original = os.open

    def full(*args):
        if call == "fsync":
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        return original("/dev/full", os.O_RDWR)

    with open_snapshots(directory) as environment:
        monkeypatch.setattr(os, call, full)
        with pytest.raises(NoSpace):
            environment.copy(tmp_path / "copy")


def test_an_index_that_grows_is_read_to_its_end(directory):
    process = start(GROWER, directory)
    with open_snapshots(directory) as environment:
        process.communicate("go\n", timeout=30)

        assert setting(environment) == b"grown"
        assert environment.read(lambda view: len(view.get("inline", bytes([11])))) == 1 << 20
