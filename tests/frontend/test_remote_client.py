"""What a person is told when a server elsewhere cannot be asked; and what nobody is told."""

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import threading
from http.client import RemoteDisconnected

import pytest

from cas.sockets import connected_path
from frontend.client import CommandFailed, iter_items
from frontend.local_client import LocalClient
from frontend.remote_client import RemoteClient, basic, bearer
from tests.frontend.live import ADMIN, PASSWORD, free_port

SECRET = secrets.token_urlsafe(24)
STATS = "/api/v1/stats"


def refused(client, method="GET", path=STATS) -> str:
    """What is told; never the secret."""
    with pytest.raises(CommandFailed) as caught:
        client.call(method, path)
    told = str(caught.value)
    assert SECRET not in told + repr(client)
    assert "\n" not in told
    return told


@pytest.fixture
def answering():
    """A server that says the same to everybody; what it was asked."""
    with contextlib.ExitStack() as stack:

        def start(said: bytes) -> tuple[str, list[bytes]]:
            heard: list[bytes] = []
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

            def serve() -> None:
                with contextlib.suppress(OSError), listener.accept()[0] as peer:
                    heard.append(peer.recv(1 << 16))
                    peer.sendall(said)

            thread = threading.Thread(target=serve)
            thread.start()
            stack.callback(thread.join)
            stack.callback(listener.shutdown, socket.SHUT_RDWR)
            return f"http://127.0.0.1:{listener.getsockname()[1]}", heard

        yield start


def test_where_nobody_listens():
    told = refused(RemoteClient(f"http://127.0.0.1:{free_port()}", bearer(SECRET)))

    assert "nobody answers at http://127.0.0.1" in told


def test_a_host_that_there_is_not():
    assert "no such host" in refused(RemoteClient("https://nowhere.invalid", bearer(SECRET)))


def test_a_token_that_is_none(live):
    told = refused(RemoteClient(live.url, bearer(SECRET), hint="; another one into ORLOP_TOKEN"))

    assert "ORLOP_TOKEN" in told


def test_a_password_that_is_wrong(live):
    assert refused(RemoteClient(live.url, basic("admin", SECRET)))


def test_a_certificate_of_strangers(secure):
    told = refused(RemoteClient(secure.url, bearer(SECRET)))

    assert "not trusted" in told
    assert "--ca" in told


def test_tls_to_who_does_not_speak_it(live):
    url = live.url.replace("http://", "https://")

    assert "http://" in refused(RemoteClient(url, bearer(SECRET)))


def test_clear_text_to_who_speaks_tls(secure):
    url = secure.url.replace("https://", "http://")

    assert "https://" in refused(RemoteClient(url, bearer(SECRET)))


@pytest.mark.parametrize("content", [b"", b"nothing"])
def test_an_authority_that_is_none(live, tmp_path, content):
    file = tmp_path / "ca.pem"
    file.write_bytes(content)

    for path in (file, tmp_path / "missing"):
        told = refused(RemoteClient(live.url.replace("http", "https"), bearer(SECRET), path))
        assert str(path) in told


def test_a_token_is_not_sent_on(answering):
    url, heard = answering(
        b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://other.test/\x1b[2J\r\n"
        b"Content-Length: 0\r\n\r\n"
    )

    told = refused(RemoteClient(url, bearer(SECRET)))

    assert "http://other.test/" in told
    assert "\x1b" not in told
    assert len(heard) == 1
    assert SECRET.encode() in heard[0]


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nno",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\n<>",
        b"HTTP/1.1 401 No\r\nContent-Type: application/problem+json\r\nContent-Length: 2\r\n\r\n<>",
        b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"[" * 200_000,
        b"SSH-2.0-OpenSSH_10.0\r\n",
        b"",
    ],
)
def test_whoever_is_no_orlop(answering, said):
    assert "is it" in refused(RemoteClient(answering(said)[0], bearer(SECRET)))


def test_a_problem_of_a_stranger_does_not_move_the_cursor(answering):
    said = b'{"detail":"\\u001b[2J' + b"x" * 9000 + b'"}'
    head = b"HTTP/1.1 400 No\r\nContent-Type: application/problem+json\r\n"
    url, _ = answering(head + b"Content-Length: %d\r\n\r\n" % len(said) + said)

    told = refused(RemoteClient(url, bearer(SECRET)))

    assert "\x1b" not in told
    assert len(told) < 3000


def test_an_answer_that_is_cut_is_no_answer(answering):
    url, _ = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}")

    assert "did not answer" in refused(RemoteClient(url, bearer(SECRET)))


def test_a_list_that_is_none_is_said(answering):
    url, _ = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    with pytest.raises(CommandFailed, match="no list"):
        list(iter_items(RemoteClient(url, bearer(SECRET)), "/api/v1/users"))


@pytest.mark.parametrize(
    "url",
    ["registry.test", "ftp://a", "http://", "http://a?b", "http://a#b", "http://a:b", "http://[a",
     "http://a\nb", "http://a b", "", "http://a..b", f"http://{'a' * 70}.test",
     f"https://u:{SECRET}@a", f"https://{SECRET}@a"],
)  # fmt: skip
def test_what_is_no_url_of_a_server(url):
    with pytest.raises(CommandFailed) as caught:
        RemoteClient(url, "")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("token", ["", "a b", f"{SECRET}\r\nX: y", f"{SECRET}é", "\0"])
def test_what_is_no_token_is_not_repeated(token):
    with pytest.raises(CommandFailed) as caught:
        bearer(token)
    assert SECRET not in str(caught.value)


def test_a_path_before_the_servers_is_kept(answering):
    url, heard = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    RemoteClient(f"{url}/orlop/", bearer(SECRET)).call("GET", STATS)

    assert heard[0].startswith(b"GET /orlop/api/v1/stats HTTP/1.1\r\n")


def test_an_ipv6_address_is_one():
    told = refused(RemoteClient(f"http://[::1]:{free_port()}", bearer(SECRET)))

    assert "http://[::1]" in told


def test_no_password_is_in_a_repr(live):
    client = RemoteClient(live.url, basic(*ADMIN))

    assert client.call("GET", STATS)["objects"] >= 0
    assert PASSWORD not in repr(client)
    assert basic(*ADMIN) not in repr(client)


@pytest.mark.parametrize("way", ["live", "secure"])
def test_an_answer_may_take_as_long_as_its_server_is_there(request, way):
    server = request.getfixturevalue(way)
    authority = server.server.settings.http.tls_certificate or None
    connection = RemoteClient(server.url, basic(*ADMIN), authority)._connection()
    with contextlib.closing(connection):
        connection.connect()

        assert connection.sock.gettimeout() is None
        assert connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


# --- the socket ---


AS_ANOTHER = """
import contextlib, os, socket, sys
os.fchdir(int(sys.argv[1]))
with contextlib.suppress(PermissionError):
    os.setuid(65534)
said = b""
with socket.socket(socket.AF_UNIX) as peer, contextlib.suppress(ConnectionError):
    peer.settimeout(10)
    peer.connect("admin.sock")
    peer.sendall(b"GET /api/v1/stats HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n")
    said = peer.recv(1 << 16)
print(os.geteuid(), said[:12].decode())
"""


def test_another_user_is_not_answered_on_the_admin_socket(live):
    """The folder keeps others out already: here it is opened to them."""
    folder = live.server.data / "run"
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    folder.chmod(0o711)
    (folder / "admin.sock").chmod(0o666)
    try:
        command = [sys.executable, "-c", AS_ANOTHER, str(opened)]
        done = subprocess.run(  # noqa: S603 - the script above
            command, pass_fds=[opened], capture_output=True, text=True, check=True
        )
    finally:
        folder.chmod(0o700)
        os.close(opened)

    uid, _, said = done.stdout.strip().partition(" ")
    is_own = int(uid) == os.geteuid()  # who is not root cannot become another
    assert said == ("HTTP/1.1 200" if is_own else "")
    assert is_own == (os.geteuid() != 0)


def test_whoever_may_not_use_the_socket_is_told_of_tokens(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("frontend.local_client.connected_path", refuse)

    assert "--url" in refused(LocalClient(tmp_path))


@pytest.mark.parametrize("error", [BrokenPipeError(), RemoteDisconnected(), ConnectionResetError()])
def test_it_does_not_matter_when_the_peer_has_closed(tmp_path, error):
    told = LocalClient(tmp_path)._trouble(error)
    elsewhere = RemoteClient("http://a.test", "")._trouble(error)

    assert "listens to the user who runs it alone" in told
    assert "is it https://?" in elsewhere


def test_a_socket_that_closes_at_once_is_not_ours(tmp_path):
    (tmp_path / "run").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        with connected_path(tmp_path / "run" / "admin.sock") as short:
            listener.bind(short)
        listener.listen()
        thread = threading.Thread(target=lambda: listener.accept()[0].close())
        thread.start()
        told = refused(LocalClient(tmp_path))
        thread.join()

    assert "listens to the user who runs it alone" in told
