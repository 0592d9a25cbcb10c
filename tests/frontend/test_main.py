"""The command line: what it prints, and how it ends."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from frontend.main import main
from tests.frontend.live import free_port

ROOT = Path(__file__).parents[2]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory and no settings around."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("ORLOP_"):
            monkeypatch.delenv(name)
    return tmp_path


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    code = 0
    try:
        main(list(arguments))
    except SystemExit as end:
        code = end.code
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize(
    "arguments", [["fsk"], ["repository", "create"], ["serve", "--colour"], ["stats", "--data"]]
)
def test_a_mistake_of_usage_is_2(here, capsys, arguments):
    code, _, _ = run(capsys, *arguments)

    assert code == 2


@pytest.mark.parametrize(
    "arguments",
    [["stats"], ["fsck"], ["repository", "list"], ["repository", "create", "a/b"]],
)
def test_where_no_server_runs_is_1_and_says_what_to_do(here, capsys, arguments):
    code, out, err = run(capsys, *arguments)

    assert (code, out) == (1, "")
    assert "orlop serve --data orlop-data" in err


def test_the_configuration_is_shown_with_what_overrides_it(here, capsys, monkeypatch):
    (here / "orlop.toml").write_text("[http]\nlisten = '127.0.0.1:1'\n")
    monkeypatch.setenv("ORLOP_GC__GRACE_SECONDS", "5")

    code, out, _ = run(capsys, "config", "check")

    assert (code, out) == run(capsys, "config", "check", "--json")[:2]
    assert code == 0
    assert json.loads(out)["http"]["listen"] == "127.0.0.1:1"
    assert json.loads(out)["gc"]["grace_seconds"] == 5


def test_a_bad_configuration_is_2_and_names_the_nearest_key(here, capsys):
    (here / "orlop.toml").write_text("[http]\nlissen = '127.0.0.1:1'\n")

    code, _, err = run(capsys, "config", "check")

    assert code == 2
    assert "http.listen" in err


def test_verbs_speak_to_the_server_of_their_directory(live, here, capsys):
    data = ("--data", str(live.server.data))

    assert run(capsys, "storage", "create", "cli", *data)[0] == 0
    made = run(capsys, "repository", "create", "cli/made", "--public", *data)
    again = run(capsys, "repository", "create", "cli/made", *data)
    listed = run(capsys, "repository", "list", *data)
    stats = run(capsys, "stats", "--json", *data)
    checked = run(capsys, "fsck", *data)

    assert made == (0, "created public repository cli/made\n", "")
    assert (again[0], again[2]) == (1, "orlop: repository cli/made exists\n")
    assert "cli/made\tpublic" in listed[1]
    assert {"logical", "stored"} <= set(json.loads(stats[1]))
    assert checked == (0, "everything is as it must be\n", "")


def test_help_loads_no_room_of_verbs_and_no_way_to_a_server(here):
    script = "import sys; from frontend import main; main.app(['--help']); print(*sys.modules)"
    done = subprocess.run(  # noqa: S603 - the script above
        [sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True
    )
    loaded = set(done.stdout.split())

    assert "frontend.commands.server" in loaded
    for name in ("users", "repositories", "tables", "passwords"):
        assert f"frontend.commands.{name}" not in loaded
    assert loaded.isdisjoint({"frontend.client", "http.client", "ssl", "trio", "httpx", "msgspec"})


def test_what_cannot_be_printed_is_1_and_says_why(here):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "frontend.main", "config", "check"],
            cwd=ROOT, check=False, stdout=full, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    assert done.returncode == 1
    assert done.stderr == "orlop: what is to be printed cannot be: No space left on device\n"


@pytest.mark.slow
def test_help_is_quick(here):
    times = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "frontend.main", "--help"],
            cwd=ROOT, check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        times.append(time.perf_counter() - began)

    assert min(times) < 0.5  # 0.15 s on an idle machine


@pytest.mark.slow
def test_serve_prints_lines_to_copy_and_ends_on_a_signal(here):
    port = free_port()
    with _serving(here, port) as process:
        words = _read_greeting(process)
        password = (here / "data" / "admin-password").read_text().strip()
        answer = httpx.get(f"http://127.0.0.1:{port}/v2/", auth=("admin", password))
        page = httpx.get(_address(words), headers={"Accept": "text/html"})
        process.send_signal(signal.SIGTERM)
        code = process.wait(10)

    assert answer.status_code == page.status_code == 200
    assert "<h1>Repositories</h1>" in page.text
    assert code == 0
    assert f"docker login -u admin 127.0.0.1:{port}" in words
    assert f"docker push 127.0.0.1:{port}/local/images/" in words
    assert "admin-password" in words
    assert password not in words


@pytest.mark.slow
def test_a_second_server_on_the_same_data_is_refused_and_told_who_has_it(here):
    with _serving(here, free_port()) as process:
        _read_greeting(process)
        second = subprocess.run(  # noqa: S603 - our own program
            _command(here, free_port()), cwd=ROOT, capture_output=True, text=True, check=False
        )
        process.terminate()
        process.wait(10)

    assert second.returncode == 1
    assert str(process.pid) in second.stderr
    assert "Traceback" not in second.stderr


@pytest.mark.slow
def test_an_address_in_use_is_said_so(here):
    port = free_port()
    with _serving(here, port) as process:
        _read_greeting(process)
        second = subprocess.run(  # noqa: S603 - our own program
            _command(here / "other", port), cwd=ROOT, capture_output=True, text=True, check=False
        )
        process.terminate()
        process.wait(10)

    assert second.returncode == 1
    assert re.search(rf"orlop: cannot serve: .*127\.0\.0\.1:{port}.*in use", second.stderr)
    assert not (here / "other" / "data" / "admin-password").exists()  # or nobody ever sees it


@pytest.mark.slow
def test_a_password_that_cannot_be_is_said_so_without_repeating_it(here, monkeypatch):
    monkeypatch.setenv("ORLOP_ADMIN_PASSWORD", "secret" * 1000)
    ended = subprocess.run(  # noqa: S603 - our own program
        _command(here, free_port()), cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert ended.returncode == 1
    assert "ORLOP_ADMIN_PASSWORD" in ended.stderr
    assert "secret" not in ended.stderr + ended.stdout
    assert "Traceback" not in ended.stderr


def test_the_check_of_the_configuration_looks_at_the_pair(here, capsys, monkeypatch, pair):
    monkeypatch.setenv("ORLOP_HTTP__TLS_CERTIFICATE", str(pair.certificate))
    monkeypatch.setenv("ORLOP_HTTP__TLS_KEY", str(pair.key))
    good = run(capsys, "config", "check")
    pair.key.write_text("nothing")
    bad = run(capsys, "config", "check")

    assert good[0] == 0
    assert json.loads(good[1])["http"]["tls_key"] == str(pair.key)
    assert (bad[0], bad[2]) == (1, f"orlop: {pair.key}: no private key in PEM\n")


@pytest.mark.slow
def test_a_bad_pair_at_the_start_is_said_before_anything_is_made(here, monkeypatch, pair):
    monkeypatch.setenv("ORLOP_HTTP__TLS_CERTIFICATE", str(pair.certificate))
    monkeypatch.setenv("ORLOP_HTTP__TLS_KEY", str(here / "lost.pem"))
    command = [sys.executable, "-m", "frontend.main", "serve", "--data", str(here / "data")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - ours

    assert ended.returncode == 1
    assert ended.stderr == f"orlop: cannot serve: {here / 'lost.pem'}: No such file or directory\n"
    assert not (here / "data").exists()


def _command(folder: Path, port: int) -> list[str]:
    data, listen = str(folder / "data"), f"127.0.0.1:{port}"
    return [sys.executable, "-m", "frontend.main", "serve", "--data", data, "--listen", listen]


def _serving(folder: Path, port: int) -> "subprocess.Popen[str]":
    log = (folder / "log").open("w")
    with log:
        return subprocess.Popen(  # noqa: S603 - our own program
            _command(folder, port), cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True
        )


def _address(words: str) -> str:
    """What the greeting says to open in a browser."""
    return next(line.split()[-1] for line in words.splitlines() if "browser" in line)


def _read_greeting(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    words = ""
    while "docker push" not in words:
        line = process.stdout.readline()
        assert line, "the server ended"
        words += line
    return words
