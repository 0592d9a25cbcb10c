import errno
import fcntl
import os
import socket
import threading
from pathlib import Path

import pytest

from cas.errors import (
    Busy,
    Damaged,
    OffsetMismatch,
    StorageFull,
    StoreFailed,
    UploadSealed,
    UploadUnknown,
)
from cas.uploads import staging
from tests.anomaly import counted, replaced


@pytest.fixture
def upload(tmp_path):
    path = tmp_path / "upload"
    staging.create(path)
    return path


def failing(code: int):
    def wrap(name, call):
        def fail(*args, **kwargs):
            raise OSError(code, os.strerror(code))

        return fail

    return wrap


def test_an_upload_is_made_once(upload):
    with pytest.raises(FileExistsError):
        staging.create(upload)

    assert upload.stat().st_mode & 0o777 == 0o600


def test_bytes_are_appended_at_the_end(upload):
    assert staging.append(upload, 0, b"abc") == 3
    assert staging.append(upload, 3, memoryview(b"de")) == 5
    assert staging.append(upload, 5, b"") == 5

    assert upload.read_bytes() == b"abcde"
    assert staging.size_of(upload) == 5


@pytest.mark.parametrize("offset", [0, 2, 4])
def test_an_append_elsewhere_writes_nothing(upload, offset):
    staging.append(upload, 0, b"abc")

    with pytest.raises(OffsetMismatch):
        staging.append(upload, offset, b"x")

    assert upload.read_bytes() == b"abc"


def test_a_sealed_upload_takes_nothing_until_it_is_unsealed(upload):
    staging.append(upload, 0, b"abc")

    assert staging.seal(upload) == 3
    with pytest.raises(UploadSealed):
        staging.append(upload, 3, b"x")
    staging.unseal(upload)

    assert staging.append(upload, 3, b"x") == 4


def test_a_missing_upload_is_unknown(tmp_path):
    missing = tmp_path / "missing"

    for attempt in (staging.size_of, staging.seal, staging.unseal):
        with pytest.raises(UploadUnknown):
            attempt(missing)
    with pytest.raises(UploadUnknown):
        staging.append(missing, 0, b"x")
    assert not staging.remove(missing)


def test_an_append_that_waited_for_the_lock_while_the_upload_went_is_unknown(upload):
    errors = []

    def append():
        try:
            staging.append(upload, 0, b"x")
        except UploadUnknown as error:
            errors.append(error)

    with upload.open("rb") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        thread = threading.Thread(target=append)
        thread.start()
        upload.unlink()
    thread.join()

    # Whether the thread opened the file before or after it went: nobody is told that it was kept.
    assert len(errors) == 1


def test_short_writes_are_continued(upload):
    def wrap(name, call):
        return lambda descriptor, data, offset: call(descriptor, [data[0][:2]], offset)

    with replaced(("pwritev",), wrap):
        assert staging.append(upload, 0, b"abcdefg") == 7

    assert upload.read_bytes() == b"abcdefg"


@pytest.mark.parametrize("most", [1, 2, 3, 4, 5, 100])
def test_pieces_are_written_in_order_however_short_the_writes(upload, most):
    def wrap(name, call):
        def write(descriptor, pieces, offset):
            return call(descriptor, [b"".join(pieces)[:most]], offset)

        return write

    with replaced(("pwritev",), wrap):
        assert staging.append(upload, 0, b"abc", b"", b"d", bytearray(b"efg"), b"") == 7

    assert upload.read_bytes() == b"abcdefg"


def test_more_pieces_than_the_system_takes_at_once_are_written(upload):
    pieces = [b"%04d" % number for number in range(3000)]

    assert staging.append(upload, 0, *pieces) == 12_000

    assert upload.read_bytes() == b"".join(pieces)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (errno.ENOSPC, StorageFull),
        (errno.EDQUOT, StorageFull),
        (errno.EIO, Damaged),
        (errno.EMFILE, Busy),
    ],
)
def test_an_error_of_the_disk_has_a_name(upload, code, error):
    with replaced(("pwritev",), failing(code)), pytest.raises(error):
        staging.append(upload, 0, b"x")


def test_what_fitted_before_the_disk_was_full_is_kept(upload):
    calls = []

    def wrap(name, call):
        def write(descriptor, data, offset):
            calls.append(offset)
            if len(calls) == 2:
                raise OSError(errno.ENOSPC, "full")
            return call(descriptor, [data[0][:3]], offset)

        return write

    with replaced(("pwritev",), wrap), pytest.raises(StorageFull):
        staging.append(upload, 0, b"abcdef")

    assert staging.size_of(upload) == 3
    assert staging.append(upload, 3, b"def") == 6
    assert upload.read_bytes() == b"abcdef"


def test_writeback_starts_once_per_16_mebibytes(upload, monkeypatch):
    monkeypatch.setattr(staging, "WRITEBACK", 100)
    started = []
    monkeypatch.setattr(staging, "start_writeback", lambda fd, *run: started.append(run))

    offset = 0
    for size in (60, 60, 10, 250, 20):
        offset = staging.append(upload, offset, bytes(size))

    assert started == [(0, 100), (100, 200), (300, 100)]


@pytest.fixture
def pair():
    """A client's socket and ours, which does not block."""
    client, ours = socket.socketpair()
    ours.setblocking(False)
    with client, ours:
        yield client, ours


def test_what_waits_in_a_socket_is_appended(upload, pair):
    client, ours = pair
    staging.append(upload, 0, b"abc")
    client.sendall(b"defgh")

    assert staging.receive(upload, 3, ours.fileno(), 2) == 5
    assert staging.receive(upload, 5, ours.fileno(), 100) == 8
    assert staging.receive(upload, 8, ours.fileno(), 100) == 8

    assert upload.read_bytes() == b"abcdefgh"


def test_a_socket_that_ended_gives_nothing(upload, pair):
    client, ours = pair
    client.close()

    assert staging.receive(upload, 0, ours.fileno(), 100) == 0


def test_an_upload_that_must_not_grow_leaves_the_socket_alone(upload, pair):
    client, ours = pair
    client.sendall(b"abc")

    with pytest.raises(OffsetMismatch):
        staging.receive(upload, 1, ours.fileno(), 100)
    staging.seal(upload)
    with pytest.raises(UploadSealed):
        staging.receive(upload, 0, ours.fileno(), 100)

    assert ours.recv(100) == b"abc"


def counted_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _into_file(call, wrap):
    """`os.splice`, with `wrap` around what goes into the file."""
    return lambda *args, **kwargs: (wrap if "offset_dst" in kwargs else call)(*args, **kwargs)


def test_of_what_is_received_all_that_fits_is_kept(upload, pair):
    client, ours = pair
    client.sendall(b"abcdef")
    calls = []

    def wrap(name, call):
        def some(source, target, count, offset_dst):
            calls.append(offset_dst)
            if len(calls) == 2:
                raise OSError(errno.ENOSPC, "full")
            return call(source, target, 3, offset_dst=offset_dst)

        return _into_file(call, some)

    before = counted_descriptors()
    with replaced(("splice",), wrap), pytest.raises(StorageFull):
        staging.receive(upload, 0, ours.fileno(), 100)

    assert upload.read_bytes() == b"abc"
    assert counted_descriptors() == before


@pytest.mark.parametrize("most", [1, 2, 5])
def test_what_is_received_is_in_order_however_little_the_file_takes(upload, pair, most):
    client, ours = pair
    client.sendall(b"abcdefg")

    def wrap(name, call):
        def some(source, target, count, offset_dst):
            return call(source, target, min(count, most), offset_dst=offset_dst)

        return _into_file(call, some)

    with replaced(("splice",), wrap):
        assert staging.receive(upload, 0, ours.fileno(), 100) == 7

    assert upload.read_bytes() == b"abcdefg"


def test_what_is_received_is_moved_at_once_and_in_a_large_pipe(upload, pair):
    client, ours = pair
    client.sendall(bytes(150_000))

    with counted("splice") as calls:
        assert staging.receive(upload, 0, ours.fileno(), 150_000) == 150_000

    assert calls == {"splice": 2}  # in and out


def test_a_pipe_that_may_not_be_large_will_do(upload, pair, monkeypatch):
    client, ours = pair
    client.sendall(b"abc")
    monkeypatch.setattr(staging.fcntl, "fcntl", failing(errno.EPERM)("", None))

    assert staging.receive(upload, 0, ours.fileno(), 100) == 3


def test_writeback_of_what_is_received_starts_as_well(upload, pair, monkeypatch):
    client, ours = pair
    monkeypatch.setattr(staging, "WRITEBACK", 100)
    started = []
    monkeypatch.setattr(staging, "start_writeback", lambda fd, *run: started.append(run))
    client.sendall(bytes(250))

    staging.receive(upload, 0, ours.fileno(), 1000)

    assert started == [(0, 200)]


def test_a_failed_sync_is_the_end(upload):
    with replaced(("fdatasync",), failing(errno.EIO)), pytest.raises(StoreFailed):
        staging.sync(upload)


def test_a_full_disk_that_is_told_by_a_sync_is_the_end_as_well(upload):
    with replaced(("fdatasync",), failing(errno.ENOSPC)), pytest.raises(StoreFailed):
        staging.sync(upload)


def test_below_the_watermark_nothing_is_taken(tmp_path):
    staging.check_space(tmp_path, 1)

    with pytest.raises(StorageFull) as caught:
        staging.check_space(tmp_path, 1 << 62)
    assert caught.value.needed == 1 << 62


def test_only_stale_uploads_are_stale(tmp_path):
    for name, age in (("old", 100), ("new", 1)):
        staging.create(tmp_path / name)
        os.utime(tmp_path / name, (1000 - age, 1000 - age))

    assert list(staging.iter_stale(tmp_path, 950)) == ["old"]


def test_an_upload_that_was_appended_to_meanwhile_is_not_stale(upload):
    os.utime(upload, (100, 100))
    staging.append(upload, 0, b"x")

    assert not staging.remove_stale(upload, 1000)
    assert upload.exists()


def test_a_sealed_upload_is_never_stale(upload):
    staging.seal(upload)
    os.utime(upload, (100, 100))

    assert not staging.remove_stale(upload, 1000)
    assert upload.exists()


def test_a_stale_upload_is_removed(upload):
    os.utime(upload, (100, 100))

    assert staging.remove_stale(upload, 1000)
    assert not upload.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="to become nobody, one must be root")
def test_who_is_not_root_can_seal_and_unseal(upload):
    upload.parent.chmod(0o777)
    os.chown(upload, 65534, 65534)
    folder = os.open(upload.parent, os.O_PATH)
    path = upload.__class__(f"/proc/self/fd/{folder}/upload")  # parents are closed to nobody

    os.seteuid(65534)
    try:
        staging.append(path, 0, b"abc")
        staging.seal(path)
        with pytest.raises(UploadSealed):
            staging.append(path, 3, b"x")
        staging.unseal(path)
        assert staging.append(path, 3, b"x") == 4
    finally:
        os.seteuid(0)
        os.close(folder)
