"""Who connects as a server drains: accepted is promised."""

import socket

import pytest

from tests.frontend.live import head, read_to_end, running

REQUEST = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.slow
def test_a_connection_that_was_accepted_gets_its_answer(tmp_path):
    with running(tmp_path / "data") as server:
        with server.connect() as fresh, server.connect() as used:
            used.sendall(REQUEST)
            assert used.recv(1 << 16).startswith(b"HTTP/1.1 200")
            server.client.get("/healthz")  # both are accepted by now: this one came after them
            server.run(_stop, server)

            assert used.recv(1) == b""  # it had its answer
            fresh.sendall(REQUEST)
            answer = read_to_end(fresh)

        assert head(answer) == b"200"
        assert b"onnection: close" in answer
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(server.address)


async def _stop(server):
    server.server.stop.set()
