"""Cores, processes, servers and the command line."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bench import process
from bench.cases import Bench, Case, size_name
from bench.compare import COMPARED, parse_arguments
from bench.cores import Cores, running_on
from bench.meter import run_case
from bench.sample import Latency, Load, MeasurementFailed
from bench.scenarios import SCENARIOS
from bench.servers import Server, peer


def test_cores_are_two_lists():
    assert Cores.parse("0,2-4/1") == Cores(frozenset({0, 2, 3, 4}), frozenset({1}))
    assert str(Cores.parse("2-3,0/1")) == "0,2,3/1"


@pytest.mark.parametrize("text", ["", "0", "/1", "0/", "a/1", "2-1/0"])
def test_other_texts_are_no_cores(text):
    with pytest.raises(ValueError):  # noqa: PT011 - argparse asks for no more
        Cores.parse(text)


def test_a_pin_ends_with_its_block():
    before = os.sched_getaffinity(0)
    core = frozenset(sorted(before)[:1])

    with running_on(core):
        assert os.sched_getaffinity(0) == core

    assert os.sched_getaffinity(0) == before


def test_a_tree_of_processes_holds_the_children_and_their_time():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert {os.getpid(), child.pid} <= set(process.iter_tree(os.getpid()))
        child.communicate(b"\n")

    assert process.cpu_seconds(os.getpid()) > 0
    process.forget_peak(os.getpid())
    assert process.peak_resident_bytes(os.getpid()) >= process.resident_bytes(os.getpid()) // 2


def test_who_listens_on_a_port_is_found():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert process.listener_of(port) == os.getpid()

    assert process.listener_of(port) is None


def test_a_peer_is_named_by_its_url():
    found = peer("other", "http://me:p%40ss@127.0.0.1:5999/some/image")

    assert (found.port, found.image, found.user, found.password) == (
        5999,
        "some/image",
        "me",
        "p@ss",
    )
    assert peer("other", "http://localhost:5999").image == "bench"


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1", "https://127.0.0.1:1", "http://registry.test:5000", "nonsense"]
)
def test_load_goes_to_loopback_only(url):
    with pytest.raises(ValueError, match="is not http"):
        peer("other", url)


def test_everything_is_measured_by_default_and_the_compared_when_quick():
    assert parse_arguments([]).scenario == [*COMPARED, *SCENARIOS]
    assert parse_arguments(["--quick"]).scenario == list(COMPARED)
    assert parse_arguments(["--quick", "dedup"]).scenario == ["dedup"]
    assert parse_arguments(["--peer", "a=http://x:1/?b=c"]).peer == [("a", "http://x:1/?b=c")]


@pytest.mark.parametrize("arguments", [["nothing"], ["--peer", "a"], ["--cores", "0"]])
def test_what_is_not_understood_is_refused(arguments, capsys):
    with pytest.raises(SystemExit):
        parse_arguments(arguments)

    assert "error" in capsys.readouterr().err


def test_sizes_have_names():
    assert [size_name(size) for size in (1 << 30, 64 << 20, 4096, 7)] == [
        "1 GiB",
        "64 MiB",
        "4 KiB",
        "7 B",
    ]


def bench_of(*names, tmp_path):
    servers = [Server(name, 1, None, "image", "", "", Path()) for name in names]
    return Bench(servers, tmp_path, Cores.default(), quick=True, settle_seconds=0)


def test_servers_have_their_turns_in_alternating_order(tmp_path):
    bench, asked = bench_of("a", "b", tmp_path=tmp_path), []

    def run(server):
        asked.append(server.name)
        return Load(1.0, 10, 0, Latency(0, 0, 0))

    results = list(run_case(bench, Case("case", "requests/s", run, rounds=2)))

    assert asked == ["a", "b", "b", "a"]
    assert [result.figures.rate for result in results] == [10.0, 10.0]


def test_one_that_fails_is_left_out_and_the_others_go_on(tmp_path):
    bench = bench_of("a", "b", "c", tmp_path=tmp_path)

    def prepare(server):
        if server.name == "c":
            raise MeasurementFailed("not set up")

    def run(server):
        if server.name == "a":
            raise MeasurementFailed("broken")
        return Load(1.0, 10, 0, Latency(0, 0, 0))

    bench.set_up(prepare)
    results = list(run_case(bench, Case("case", "requests/s", run, rounds=2)))

    assert [result.failure for result in results] == [
        "MeasurementFailed: broken",
        "",
        "MeasurementFailed: not set up",
    ]
