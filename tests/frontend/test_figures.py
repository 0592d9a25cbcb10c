"""What processes count, and how it is read by all of them."""

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from frontend.domain.fields import Rate
from frontend.figures import counting as module
from frontend.figures.counting import FOLDER, open_counting, private_counting
from frontend.figures.layout import ROWS, SIZE, Counts, SourceState
from frontend.figures.reading import Figures
from frontend.upstream.breaker import Health, State

ROOT = Path(__file__).parents[2]


def health(state=State.CLOSED, requests=0, **more):
    said = {
        "since": 1000.5,
        "retry_in": 0.0,
        "last_error": "",
        "failed_at": None,
        "limit": None,
        "remaining": None,
        "failures": 0,
        "bytes_fetched": 0,
    }
    return Health(state=state, requests=requests, **(said | more))


@pytest.fixture
def two(tmp_path):
    """Two processes' counts, and what either reads."""
    with open_counting(tmp_path) as one, open_counting(tmp_path) as other:
        yield one, other, Figures(one, tmp_path)


def test_all_processes_count_together(two):
    one, other, figures = two
    one.request("GET", 200, 10)
    other.request("GET", 206, 5)
    other.request("PUT", 201, 0)
    other.request("BREW", 0, 0)
    one.hit(7, 100)
    other.hit(7, 50)
    other.miss(7)
    other.miss(7)
    other.stale(7)
    one.uploads(3)
    other.uploads(1)

    traffic, proxied = figures.traffic(), figures.proxied()

    assert {key: count for key, count in traffic.requests.items() if count} == {
        ("GET", "2xx"): 2,
        ("PUT", "2xx"): 1,
        ("other", "none"): 1,
    }
    assert (traffic.bytes_sent, traffic.uploads) == (15, 4)
    assert proxied.keys() == {7}
    assert figures.of(7) == proxied[7]
    assert figures.of(8).counts == Counts()
    assert proxied[7].counts == Counts(hits=2, misses=2, stale_served=1, bytes_served=150)


def test_what_a_process_counted_stays_when_it_is_gone_but_not_what_it_did(tmp_path):
    with open_counting(tmp_path) as one:
        one.hit(1, 10)
        one.uploads(5)
        one.telling(1)(health(State.OPEN, 3))
        with open_counting(tmp_path) as other:
            assert Figures(other, tmp_path).proxied()[1].worst.state == "open"
    with open_counting(tmp_path) as next_:
        figures = Figures(next_, tmp_path)
        next_.hit(1, 1)

        found = figures.proxied()[1]

        assert (found.counts.hits, found.counts.bytes_served) == (2, 11)
        assert found.counts.requests == 3
        assert found.states == []
        assert figures.traffic().uploads == 0


def test_a_new_client_goes_on_with_the_counts_of_the_one_before(two):
    one, _, figures = two
    one.telling(1)(health(requests=5, bytes_fetched=100))

    one.telling(1)(health(requests=2, bytes_fetched=11, failures=1))

    counts = figures.proxied()[1].counts
    assert (counts.requests, counts.failures, counts.bytes_fetched) == (7, 1, 111)


def test_the_worst_state_counts_and_the_newest_failure_is_told(two):
    one, other, figures = two
    one.telling(1)(health(State.OPEN, retry_in=60.0, last_error="old", failed_at=10.0, failures=3))
    other.telling(1)(
        health(
            is_failing=True,
            last_error="n\u00e4w",
            failed_at=20.0,
            failures=1,
            limit=Rate(100, 21600),
            remaining=Rate(97, 21600),
        )
    )

    found = figures.proxied()[1]

    assert (found.worst.state, found.worst.since) == ("open", 1_000_500)
    assert found.worst.retry_at > found.worst.told_at
    assert {each.state for each in found.states} == {"open", "failing"}
    assert found.failed.last_error == "n\u00e4w"
    assert (found.latest.limit, found.latest.remaining, found.latest.window) == (100, 97, 21600)


def test_bytes_are_told_though_nothing_else_changed(two):
    one, _, figures = two
    tell = one.telling(1)
    for count in (1, 2, 3):
        tell(health(bytes_fetched=count))

        assert figures.proxied()[1].counts.bytes_fetched == count


def test_an_error_of_any_length_fits():
    state = SourceState(state="open", last_error="\u00e4" * 1000)

    again = SourceState.decode(state.encode())

    assert again.last_error
    assert state.last_error.startswith(again.last_error)
    assert again._replace(last_error="") == state._replace(last_error="")


def test_repositories_beyond_the_rows_are_not_counted():
    counting = private_counting()
    for number in range(ROWS + 5):
        counting.hit(number, 1)
        counting.telling(number)(health(requests=1))

    found = Figures(counting).proxied()

    assert len(found) == ROWS
    assert all(each.counts.hits == 1 for each in found.values())


def test_a_file_full_of_repositories_is_begun_anew(tmp_path):
    with open_counting(tmp_path) as one:
        for number in range(ROWS):
            one.hit(number, 1)
    with open_counting(tmp_path) as one:
        one.hit(9999, 1)

        assert Figures(one, tmp_path).proxied().keys() == {9999}


@pytest.mark.parametrize("spoil", ["file", "link", "layout", "short"])
def test_whatever_is_in_the_way_counts_go_on(tmp_path, spoil):
    folder = tmp_path / FOLDER
    folder.parent.mkdir()
    if spoil == "file":
        folder.write_bytes(b"")
    else:
        folder.mkdir()
        place = folder / "0"
        if spoil == "link":
            place.symlink_to(tmp_path / "elsewhere")
        else:
            place.write_bytes(b"x" * (SIZE if spoil == "layout" else 10))

    with open_counting(tmp_path) as counting:
        counting.hit(1, 5)
        counting.request("GET", 200, 5)

        assert counting.memory[:]
        figures = Figures(counting, None if spoil == "file" else tmp_path)
        assert figures.proxied()[1].counts.hits == 1
    assert not (tmp_path / "elsewhere").exists()


def test_no_more_processes_than_files_share_a_count(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PROCESSES", 2)
    with ExitStack() as stack:
        three = [stack.enter_context(open_counting(tmp_path)) for _ in range(3)]
        for each in three:
            each.hit(1, 1)

        assert Figures(three[0], tmp_path).proxied()[1].counts.hits == 2


COUNT = """
import sys
from pathlib import Path
from frontend.figures.counting import open_counting
with open_counting(Path(sys.argv[1])) as counting:
    for _ in range(1000):
        counting.hit(1, 2)
    counting.telling(1)
    print("counted", flush=True)
    sys.stdin.readline()
"""


def test_a_process_that_is_killed_leaves_what_it_counted(tmp_path):
    command = [sys.executable, "-c", COUNT, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
    with subprocess.Popen(command, **pipes) as process:  # noqa: S603 - ours
        process.stdout.readline()
        with open_counting(tmp_path) as own:
            assert Figures(own, tmp_path).proxied()[1].counts.bytes_served == 2000
        process.kill()
    with open_counting(tmp_path) as own:
        own.hit(1, 1)

        assert Figures(own, tmp_path).proxied()[1].counts.bytes_served == 2001
