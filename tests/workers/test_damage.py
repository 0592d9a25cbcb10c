"""Damage that a worker's reader meets goes to the daemon, and all workers know; or is met again."""

import http.client
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from cas import layout
from cas.digest import Digest
from cas.maintenance.rehash import STEP
from index.environment import open_snapshots
from tests.cas.damaging import flip
from tests.workers.servers import AUTH, IMAGE, PATIENCE, Server, ask, serving

pytestmark = pytest.mark.slow

CUT = (http.client.HTTPException, ConnectionError)
MOUNTED = "/v2/local/images/other/blobs/uploads/"


@pytest.fixture
def two(tmp_path):
    """Two workers, just started."""
    with serving(tmp_path, "--workers", "2") as server:
        server.wait_greeting()
        yield server


def spoil(server: Server, digest: str) -> None:
    """Flip a byte of a blob on the disk."""

    def look(view) -> tuple[int, int]:
        row = view.object(Digest.parse(digest).key)
        _, extent = next(view.iter_extents_over(row.id, 0, 1))
        return extent.pack, extent.offset

    with open_snapshots(server.data / layout.INDEX) as environment:
        place = environment.read(look)
    flip(server.data, *place)


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_cut(server: Server, path: str) -> bool:
    """Whether a GET breaks off; otherwise it is a 404."""
    try:
        status, _, _ = server.call("GET", path)
    except CUT:
        return True
    assert status == 404
    return False


def heads(server: Server, path: str) -> list[int]:
    """What each worker answers."""
    return [ask(each, "HEAD", path)[0] for each in server.both().values()]


def test_what_one_worker_met_is_unknown_to_both_and_mended_for_both(two):
    content = os.urandom(300_000)
    digest = two.push(content)
    path = f"{IMAGE}/blobs/{digest}"
    spoil(two, digest)
    before = two.children()

    with pytest.raises(CUT):
        ask(two.both()["worker 2"], "GET", path)
    wait_until(lambda: heads(two, path) == [404, 404])
    refused = two.call("GET", path)
    mount = f"{MOUNTED}?mount={digest}&from=local/images/app"
    not_mounted = two.call("POST", mount)
    states = [ask(each, "GET", "/api/v1/scrub")[2] for each in two.both().values()]

    assert json.loads(refused[2])["errors"][0]["code"] == "BLOB_UNKNOWN"
    assert b"push it again" in refused[2]
    assert not_mounted[0] == 202
    assert [json.loads(each)["damaged"][0]["images"] for each in states] == [
        [f"local/images/app@{digest}"]
    ] * 2
    two.push(content)
    assert [ask(each, "GET", path)[2] for each in two.both().values()] == [content] * 2
    assert two.call("POST", mount)[0] == 201
    report = json.loads(two.call("POST", "/api/v1/scrub")[2])
    assert (report["standing"], report["found"]) == (0, 0)
    assert two.children() == before
    assert two.stop() == 0


def test_a_push_to_the_worker_that_has_just_met_it_mends_it(two):
    """Nobody has told the daemon yet: it is told with the push."""
    content = os.urandom(300_000)
    digest = two.push(content)
    path = f"{IMAGE}/blobs/{digest}"
    reading, pushing = two.both()["worker 2"], two.both()["worker 2"]
    spoil(two, digest)
    with pytest.raises(CUT):
        ask(reading, "GET", path)

    pushed = ask(pushing, "POST", f"{IMAGE}/blobs/uploads/?digest={digest}", content)

    assert pushed[0] == 201
    assert [ask(each, "GET", path)[2] for each in two.both().values()] == [content] * 2


def test_a_report_that_no_daemon_hears_is_forgotten_and_made_again(two):
    content, other = os.urandom(300_000), os.urandom(300_000)
    digest, sound = two.push(content), two.push(other)
    path = f"{IMAGE}/blobs/{digest}"
    spoil(two, digest)
    before = two.children()

    with two.without_daemon():
        for _ in range(3):
            assert is_cut(two, path)
        time.sleep(2.5)  # they tell each second, and nobody is there
        asked = two.call("POST", "/api/v1/scrub")
        state = two.call("GET", "/api/v1/scrub")
        assert two.call("GET", f"{IMAGE}/blobs/{sound}")[2] == other
        assert heads(two, path) == [200, 200]  # nobody could mark it
    two.wait_ready("daemon", 2)
    time.sleep(1.5)
    assert heads(two, path) == [200, 200]  # what was told to nobody is forgotten
    assert is_cut(two, path)
    wait_until(lambda: heads(two, path) == [404, 404])

    assert (asked[0], asked[1]["Retry-After"]) == (503, "1")
    assert (state[0], json.loads(state[2])["damaged"]) == (200, [])
    two.push(content)
    assert heads(two, path) == [200, 200]
    after = two.children()
    assert before | {"daemon": 0} == after | {"daemon": 0}
    assert two.stop() == 0


def test_readers_that_meet_damage_while_the_daemon_dies_again_and_again_end_with_a_404(two):
    digest = two.push(os.urandom(300_000))
    path = f"{IMAGE}/blobs/{digest}"
    spoil(two, digest)

    for times in (2, 3, 4):
        is_cut(two, path)
        os.kill(two.children()["daemon"], signal.SIGKILL)
        two.wait_ready("daemon", times)

    wait_until(lambda: not is_cut(two, path))
    assert heads(two, path) == [404, 404]
    assert b'"drift":[]' in two.call("POST", "/api/v1/fsck")[2]
    assert two.stop() == 0


# --- scrubs that somebody asked for through a worker ---


@contextmanager
def scrubbing(server: Server, rate: int) -> Iterator[http.client.HTTPResponse]:
    """A slow scrub, for whom it has told the first thing."""
    connection = server.connect()
    body = json.dumps({"bytes_per_second": rate}).encode()
    headers = AUTH | {"Accept": "application/x-ndjson"}
    connection.request("POST", "/api/v1/scrub", body, headers)
    answer = connection.getresponse()
    assert answer.status == 200
    assert "progress" in json.loads(answer.readline())
    try:
        yield answer
    finally:
        connection.close()


def runs(server: Server) -> list[dict]:
    return json.loads(server.call("GET", "/api/v1/scrub")[2])["runs"]


def test_a_scrub_whose_daemon_dies_says_so_and_so_does_its_record(two):
    for _ in range(3):
        two.push(os.urandom(STEP))

    with scrubbing(two, 1000) as answer:
        assert [run["ended_at"] for run in runs(two)] == [None]
        os.kill(two.children()["daemon"], signal.SIGKILL)
        last = [json.loads(line) for line in answer][-1]
    two.wait_ready("daemon", 2)
    again = json.loads(two.call("POST", "/api/v1/scrub")[2])

    assert (last["problem"]["status"], "daemon" in last["problem"]["detail"]) == (503, True)
    assert [run["error"] for run in runs(two)] == [None, "the server was ended"]
    assert again["bytes"] == 3 * STEP
    assert two.stop() == 0


def test_a_scrub_whose_worker_dies_ends_and_the_next_one_runs(two):
    for _ in range(3):
        two.push(os.urandom(STEP))

    with scrubbing(two, 1000):
        for name in ("worker 1", "worker 2"):
            os.kill(two.children()[name], signal.SIGKILL)
            two.wait_ready(name, 2)
    wait_until(lambda: all(run["ended_at"] for run in runs(two)))
    again = json.loads(two.call("POST", "/api/v1/scrub")[2])

    assert again["bytes"] == 3 * STEP
    assert [bool(run["error"]) for run in runs(two)] == [False, True]
    assert two.stop() == 0


# --- settings ---


@pytest.mark.parametrize("key", ["interval_seconds = 5", "bytes_per_second = 5"])
def test_the_daemon_takes_up_how_to_scrub(two, key):
    before = two.children()
    (two.data.parent / "orlop.toml").write_text(f"[scrub]\n{key}\n")

    two.signal(signal.SIGHUP)
    two.wait_ready("daemon", 2)

    assert two.children()["daemon"] != before["daemon"]
    assert two.call("GET", "/api/v1/scrub")[0] == 200
    assert two.stop() == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("interval_seconds = -1", "scrub.interval_seconds"),
        ("bytes_per_second = 'much'", "scrub.bytes_per_second"),
        ("rate = 1", "scrub."),
    ],
)
def test_what_is_no_way_to_scrub_is_not_taken_up(two, text, said):
    before = two.children()
    (two.data.parent / "orlop.toml").write_text(f"[scrub]\n{text}\n")

    two.signal(signal.SIGHUP)
    line = two.log.wait_for(lambda line: "the configuration was not taken up" in line)

    assert said in line
    assert two.children() == before
