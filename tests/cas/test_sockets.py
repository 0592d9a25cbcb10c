import socket
import struct

import pytest

from cas.sockets import connected_path, is_own_peer


class Peer:
    """The other end of a connection, of this user."""

    def __init__(self, uid: int) -> None:
        self._uid = uid

    def getsockopt(self, level, option, size):
        assert (level, option) == (socket.SOL_SOCKET, socket.SO_PEERCRED)
        return struct.pack("iII", 1, self._uid, 1000)[:size]


@pytest.mark.parametrize(("uid", "is_own"), [(1000, True), (0, True), (1001, False)])
def test_our_own_user_and_root_are_our_own(uid, is_own, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)

    assert is_own_peer(Peer(uid)) == is_own


def test_this_process_is_its_own_peer():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert is_own_peer(ours)


@pytest.mark.parametrize("length", [1, 120, 250])
def test_a_socket_can_be_bound_and_reached_wherever_it_lies(tmp_path, length):
    folder = tmp_path / ("a" * length)
    folder.mkdir()

    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as caller:
        with connected_path(folder / "a.sock") as short:
            assert len(short) < 108
            listener.bind(short)
            listener.listen()
        with connected_path(folder / "a.sock") as short:
            caller.connect(short)

    assert (folder / "a.sock").is_socket()


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), connected_path(tmp_path / "none" / "a.sock"):
        pass
