"""What a service manager is told."""

import secrets
import socket
import time

import pytest

from frontend.workers.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    """A socket that listens, and its name as `NOTIFY_SOCKET` has it."""
    name = str(tmp_path / "notify") if request.param == "path" else "@" + secrets.token_hex(8)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(name.replace("@", "\0") if name.startswith("@") else name)
        bound.settimeout(5)
        yield bound, Notifier({"NOTIFY_SOCKET": name})


def test_states_are_told_in_order(manager):
    bound, notifier = manager

    notifier.ready("serving")
    before = time.monotonic_ns() // 1000
    notifier.reloading()
    notifier.stopping()
    told = [bound.recv(4096).decode().split("\n") for _ in range(3)]

    assert told[0] == ["READY=1", "STATUS=serving"]
    assert told[1][0] == "RELOADING=1"
    name, _, when = told[1][1].partition("=")
    assert name == "MONOTONIC_USEC"
    assert before <= int(when) <= time.monotonic_ns() // 1000
    assert told[2] == ["STOPPING=1", "STATUS=draining"]


def test_without_a_manager_nothing_is_said():
    Notifier({}).ready("serving")
    Notifier({"NOTIFY_SOCKET": ""}).stopping()


def test_a_manager_that_is_gone_does_not_end_us(tmp_path, caplog):
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "none")}).ready("serving")

    assert "could not be told" in caplog.text
