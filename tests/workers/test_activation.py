"""Sockets out of a service manager's hands."""

import fcntl
import os
import socket

import pytest

from frontend.workers.activation import SocketRefused, take_sockets

FIRST = 700  # beyond what the servers of other tests have open


@pytest.fixture
def handed():
    """Put sockets where a service manager would; what is left of them is closed."""
    numbers = []

    def put(*sockets, **more):
        for number, each in enumerate(sockets, FIRST):
            os.dup2(each.fileno(), number)
            numbers.append(number)
            each.close()
        return {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(sockets)), "HOME": "/"} | more

    yield put
    for number in numbers:
        try:
            os.close(number)
        except OSError:
            continue  # taken, and closed


def listening(family=socket.AF_INET):
    bound = socket.socket(family)
    bound.bind(("127.0.0.1", 0) if family == socket.AF_INET else "")
    bound.listen()
    return bound


def test_sockets_are_taken_once_and_stay_with_us(handed):
    environment = handed(listening(), listening(socket.AF_UNIX))

    bound = take_sockets(environment, FIRST)

    assert environment == {"HOME": "/"}
    assert [each.family for each in bound.public] == [socket.AF_INET, socket.AF_UNIX]
    assert bound.address[0] == "127.0.0.1"
    assert bound.port > 0
    assert fcntl.fcntl(FIRST, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    assert not bound.is_own
    assert bound.admin is None
    bound.close()


def test_names_of_our_own_mean_that_we_were_here_before(handed):
    environment = handed(listening(), listening(socket.AF_UNIX))

    bound = take_sockets(environment | {"LISTEN_FDNAMES": "orlop-listen:orlop-admin"}, FIRST)

    assert bound.is_own
    assert bound.admin.family == socket.AF_UNIX
    assert len(bound.public) == 1
    bound.close()


@pytest.mark.parametrize("pid", ["", "1", "x"])
def test_what_is_for_another_process_is_left_alone_and_not_passed_on(pid):
    environment = {"LISTEN_PID": pid, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "x"}

    assert take_sockets(environment, FIRST) is None
    assert environment == {}


def test_none_is_none():
    assert take_sockets({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "0"}, FIRST) is None


def test_a_count_that_is_none_is_refused():
    with pytest.raises(SocketRefused, match=r"'many'.* is no number"):
        take_sockets({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "many"}, FIRST)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM), "is no stream socket"),
        (lambda: socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET), "is no stream socket"),
        (socket.socket, "does not listen"),
        (lambda: open(os.devnull), "is no socket"),  # noqa: SIM115, PTH123 - closed by `handed`
    ],
)
def test_what_cannot_be_listened_on_is_refused_by_its_number(handed, make, reason):
    environment = handed(make())

    with pytest.raises(SocketRefused, match=rf"descriptor {FIRST} \(from LISTEN_FDS\) {reason}"):
        take_sockets(environment, FIRST)
