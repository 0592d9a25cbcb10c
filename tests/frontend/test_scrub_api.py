"""`/api/v1/scrub` and `orlop scrub` beside all else that a server does."""

import contextlib
import json
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime

import httpx
import pytest

from cas.maintenance.noting import UNFINISHED
from cas.maintenance.rehash import STEP
from frontend.main import main
from frontend.management.problems import Ending
from tests.frontend.live import ADMIN, Live, digest_of, wait_until
from tests.frontend.process import ROOT, process
from tests.frontend.spoiling import KIB, blob_path, layer, scrub, serving_spoilt, spoil

STREAM = {"Accept": "application/x-ndjson"}
SLOW = {"bytes_per_second": 1000}  # hours, for whatever is here


@pytest.fixture
def server(tmp_path):
    with serving_spoilt(tmp_path / "data") as live:
        yield live


def show(server: Live) -> dict:
    return server.client.get("/api/v1/scrub").json()


@contextmanager
def scrubbing(server: Live, body: dict) -> Iterator[Iterator[str]]:
    """A scrub under way; the lines that it goes on to tell."""
    with server.client.stream("POST", "/api/v1/scrub", json=body, headers=STREAM) as answer:
        lines = answer.iter_lines()
        next(lines)
        yield lines


# --- what may be asked ---


@pytest.mark.parametrize(
    "content",
    [
        b'{"bytes_per_second": 4611686018427387905}',
        b'{"bytes_per_second": 1.5}',
        b'{"bytes_per_second": null}',
        b'{"bytes_per_second": "1"}',
        b'{"rate": 1}',
        b"{",
        b"[]",
        b'{"bytes_per_second": 1e400}',
        b"[" * 20_000,
    ],
    ids=range(9),
)
def test_what_is_no_way_to_scrub_is_refused_and_nothing_runs(server, content):
    answer = server.client.post("/api/v1/scrub", content=content)

    assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/problem+json")
    assert "the body is not as expected" in answer.json()["detail"]
    assert show(server) == {"is_running": False, "damaged": [], "runs": []}


@pytest.mark.parametrize("body", [None, {}, {"bytes_per_second": 0}, {"bytes_per_second": 1 << 62}])
def test_a_scrub_answers_with_its_report(server, body):
    contents = [layer(), layer(500)]
    for content in contents:
        server.push(server.image(), content)

    content = b"" if body is None else json.dumps(body).encode()
    report = server.client.post("/api/v1/scrub", content=content).json()

    assert report.pop("duration_seconds") >= 0
    assert report.pop("chunks") > 1
    assert report == {
        "packs": 1,
        "objects": 1,
        "bytes": sum(map(len, contents)),
        "found": 0,
        "mended": 0,
        "standing": 0,
        "damaged": [],
        "is_resumed": False,
    }


# --- beside others ---


def test_a_run_is_seen_while_it_lasts(server):
    server.push(server.image(), layer(2 * STEP))

    with scrubbing(server, SLOW) as lines:
        during = show(server)
        assert scrub(server)["standing"] == 0  # waits, and the other one hurries up
        rest = [json.loads(line) for line in lines]
    after = show(server)

    assert (during["is_running"], during["runs"][0]["ended_at"]) == (True, None)
    assert rest[-1]["report"]["bytes"] == 2 * STEP
    assert after["is_running"] is False
    assert [run["error"] for run in after["runs"]] == [None, None]


def test_scrubs_asked_for_at_once_run_one_after_the_other(server):
    server.push(server.image(), layer(2 * STEP))

    with ThreadPoolExecutor(4) as pool:
        reports = [each.result() for each in [pool.submit(scrub, server) for _ in range(4)]]
    runs = show(server)["runs"]

    assert [report["bytes"] for report in reports] == [2 * STEP] * 4
    assert not any(report["is_resumed"] for report in reports)
    assert len(runs) == 4
    times = [datetime.fromisoformat(run[key]) for run in runs for key in ("ended_at", "began_at")]
    assert times == sorted(times, reverse=True)  # the newest comes first


def test_one_whose_client_wants_the_report_and_leaves_comes_to_its_end(server):
    server.push(server.image(), layer(2 * STEP))

    with pytest.raises(httpx.ReadTimeout):
        server.client.post("/api/v1/scrub", json=SLOW, timeout=0.5)
    assert show(server)["is_running"]
    scrub(server)

    assert [run["error"] for run in show(server)["runs"]] == [None, None]
    assert [run["bytes"] for run in show(server)["runs"]] == [2 * STEP] * 2


def test_collection_pushes_and_fsck_go_on_beside_a_scrub(server):
    image, kept, gone = server.image(), layer(STEP), layer(STEP)
    for content in (kept, gone):
        server.push(image, content)

    with scrubbing(server, SLOW) as lines:
        assert server.client.delete(f"/v2/{blob_path(image, gone)}").status_code == 202
        collected = server.client.post("/api/v1/gc").json()
        server.push(image, gone)
        drift = server.client.post("/api/v1/fsck").json()["drift"]
        spoil(server, kept, 50 * KIB)
        found = scrub(server)
        told = json.loads(list(lines)[-1])["report"]

    assert (collected["blobs"], drift) == (1, [])
    assert found["standing"] == 1
    assert told["found"] + found["found"] == 1  # whichever came by first
    server.push(image, kept)
    assert scrub(server)["standing"] == 0
    for content in (kept, gone):
        assert server.client.get(f"/v2/{blob_path(image, content)}").content == content


@pytest.mark.parametrize("headers", [{}, STREAM], ids=["report", "stream"])
def test_a_scrub_ends_with_the_server_and_the_next_one_begins(server, headers):
    server.push(server.image(), layer(3 * STEP))

    server.registry.health.is_draining = True
    answer = server.client.post("/api/v1/scrub", json={}, headers=headers)
    server.registry.health.is_draining = False

    if headers:
        assert answer.status_code == 200  # the head went out before
        said = json.loads(answer.text.splitlines()[-1])["problem"]
    else:
        said = answer.json()
        assert answer.status_code == 503
    assert (said["status"], said["detail"]) == (503, str(Ending()))
    assert scrub(server)["bytes"] == 3 * STEP
    assert [run["error"] for run in show(server)["runs"]] == [None, UNFINISHED]


def orlop(*arguments: object, **how) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "frontend.main", *map(str, arguments)]
    return subprocess.run(  # noqa: S603 - our own program
        command, cwd=ROOT, text=True, check=False, timeout=60, **how
    )


@pytest.mark.slow
def test_backups_and_scrubs_let_each_other_be(tmp_path):
    """Many of both, while clients push; nothing is found, and each backup is whole."""
    is_over = threading.Event()
    with process(tmp_path, gc__interval_seconds=1) as server:
        for _ in range(4):
            server.push("local/images/a", layer(STEP))

        def scrub_on() -> int:
            number = 0
            with httpx.Client(base_url=server.url, auth=ADMIN, timeout=60) as client:
                while not is_over.is_set():
                    report = client.post("/api/v1/scrub").json()
                    assert (report["found"], report["standing"]) == (0, 0)
                    number += 1
            return number

        def push_on() -> int:
            number = 0
            with httpx.Client(base_url=server.url, auth=ADMIN, timeout=60) as client:
                while not is_over.is_set():
                    content = layer(200 * KIB)
                    parameters = {"digest": digest_of(content)}
                    path = "/v2/local/images/b/blobs/uploads/"
                    answer = client.post(path, params=parameters, content=content)
                    assert answer.status_code == 201
                    number += 1
            return number

        with ThreadPoolExecutor(2) as pool:
            loops = [pool.submit(scrub_on), pool.submit(push_on)]
            try:
                for _ in range(4):
                    ended = orlop(
                        "backup", tmp_path / "backup", "--data", server.data, capture_output=True
                    )
                    assert ended.returncode == 0, ended.stderr + ended.stdout
            finally:
                is_over.set()
            assert [each.result() > 2 for each in loops] == [True, True]


# --- the command ---


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    code = 0
    try:
        main([str(each) for each in arguments])
    except SystemExit as ended:
        code = int(ended.code or 0)
    return code, *capsys.readouterr()


@pytest.mark.parametrize("rate", ["inf", "-inf", "1e30", ""])
def test_a_rate_beyond_all_disks_is_a_mistake_of_usage(tmp_path, capsys, rate):
    assert run(capsys, "scrub", "--rate", rate, "--data", tmp_path)[0] == 2


@pytest.mark.parametrize("rate", ["0", "0.0000001", "1099511627776"])
def test_every_other_rate_reaches_the_server(server, capsys, rate):
    assert run(capsys, "scrub", "--rate", rate, "--data", server.server.data)[0] == 0
    assert show(server)["runs"][0]["error"] is None


def test_words_are_for_people_and_numbers_for_programs(server, capsys):
    image, content = server.image(), layer()
    server.push(image, content)
    spoil(server, content)
    data = server.server.data

    words = run(capsys, "scrub", "--data", data)
    numbers = run(capsys, "scrub", "--data", data, "--json")
    server.push(image, content)
    again = run(capsys, "scrub", "--data", data)

    assert (words[0], numbers[0], again[0]) == (1, 1, 0)
    assert words[1].startswith("damaged: pack ")
    assert f"needed by {image}@{digest_of(content)}" in words[1]
    assert "1 damaged, 1 of them new" in words[1]
    assert "0 damaged, 0 of them new" in again[1]
    report = json.loads(numbers[1])
    assert (report["standing"], report["found"]) == (1, 0)
    assert [words[2], numbers[2], again[2]] == ["", "", ""]  # no terminal: no progress


def test_a_terminal_sees_how_far_it_is_and_a_pipe_does_not(server):
    server.push(server.image(), layer(2 * STEP))
    ours, theirs = pty.openpty()

    on_terminal = orlop(
        "scrub", "--data", server.server.data, "--json", stderr=theirs, stdout=subprocess.PIPE
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # how a terminal says that all others closed it
        while part := os.read(ours, 1 << 16):
            shown += part
    os.close(ours)

    assert on_terminal.returncode == 0
    assert b"MiB read: 8" in shown
    assert shown.endswith(b"\r\x1b[K")  # nothing of it is left
    assert json.loads(on_terminal.stdout)["bytes"] == 2 * STEP


@pytest.mark.slow
def test_a_server_that_is_to_end_does_not_wait_for_a_slow_scrub(tmp_path):
    with process(tmp_path, http__shutdown_seconds=30) as server:
        server.push("local/images/a", layer(4 * STEP))
        with ThreadPoolExecutor(1) as pool:
            ending = pool.submit(
                orlop, "scrub", "--rate", "4", "--data", server.data, capture_output=True
            )
            wait_until(lambda: server.client.get("/api/v1/scrub").json()["is_running"])
            server.end()
            ended = ending.result()

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == f"orlop: {Ending()}\n"


@pytest.mark.slow
def test_when_the_server_is_killed_first_the_command_says_that_the_next_run_goes_on(tmp_path):
    with process(tmp_path) as server:
        server.push("local/images/a", layer(4 * STEP))
        with ThreadPoolExecutor(1) as pool:
            ending = pool.submit(
                orlop, "scrub", "--rate", "0.001", "--data", server.data, capture_output=True
            )
            wait_until(lambda: server.client.get("/api/v1/scrub").json()["is_running"])
            server.popen.kill()
            ended = ending.result()

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("orlop: ")
    assert "Traceback" not in ended.stderr
