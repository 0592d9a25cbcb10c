"""What a server begins with: the address it really has, and what may change while it runs."""

import socket
import stat

import pytest

from frontend.server.binding import Bound, open_bound
from frontend.settings import Gc, Http, SettingInvalid, Settings, Storage
from frontend.workers.launch import Launch, SettingFixed


def handed(family, address):
    bound = socket.socket(family)
    bound.bind(address)
    bound.listen()
    return Bound([bound], is_own=False)


def test_an_address_that_was_handed_over_wins():
    configured = Settings(http=Http(listen="0.0.0.0:1", idle_seconds=5))
    with open_bound("", handed(socket.AF_INET, ("127.0.0.1", 0))) as bound:
        settings = Launch(configured, lambda: configured, bound).settings

        assert settings.http.listen == f"127.0.0.1:{bound.port}"
        assert settings.http.idle_seconds == 5


def test_an_ipv6_address_is_written_with_brackets():
    configured = Settings()
    with open_bound("", handed(socket.AF_INET6, ("::1", 0))) as bound:
        settings = Launch(configured, lambda: configured, bound).settings

        assert settings.http.listen == f"[::1]:{bound.port}"


def test_a_unix_socket_has_no_address_of_its_own(tmp_path):
    configured = Settings()
    with open_bound("", handed(socket.AF_UNIX, str(tmp_path / "socket"))) as bound:
        assert Launch(configured, lambda: configured, bound).settings == configured
        assert bound.port == 0


@pytest.mark.parametrize(
    "changed",
    [Settings(http=Http(listen="127.0.0.1:1")), Settings(storage=Storage(data="elsewhere"))],
)
def test_what_needs_a_restart_is_refused_and_changes_nothing(changed):
    before = Settings()
    launch = Launch(before, lambda: changed)

    with pytest.raises(SettingFixed, match="needs a restart"):
        launch.reread()

    assert launch.configured is before


def test_a_configuration_that_cannot_be_read_changes_nothing():
    def load():
        raise SettingInvalid("orlop.toml", "no TOML")

    launch = Launch(Settings(), load)

    with pytest.raises(SettingInvalid):
        launch.reread()

    assert launch.configured == Settings()


def test_anything_else_is_taken_up():
    changed = Settings(gc=Gc(grace_seconds=1))
    launch = Launch(Settings(), lambda: changed)

    launch.reread()

    assert launch.configured is changed


def test_the_admin_socket_is_ours_alone_and_goes_with_us(tmp_path):
    path = tmp_path / "run" / "admin.sock"
    path.parent.mkdir(mode=0o755)
    path.touch()  # a killed server's

    with open_bound("127.0.0.1:0") as bound:
        bound.open_admin(tmp_path)
        mode = stat.S_IMODE(path.parent.stat().st_mode)
        assert path.is_socket()

    assert mode == 0o700
    assert not path.exists()


def test_what_is_kept_listens_on_without_us(tmp_path):
    with open_bound("127.0.0.1:0") as bound:
        bound.open_admin(tmp_path)
        address = bound.address
        kept = bound.keep()

    with socket.create_connection(address) as peer, socket.socket(socket.AF_UNIX) as local:
        local.connect(str(tmp_path / "run" / "admin.sock"))
        accepted, whom = kept.public[0].accept()
        accepted.close()
        assert whom == peer.getsockname()
    kept.close()
    assert not (tmp_path / "run" / "admin.sock").exists()
