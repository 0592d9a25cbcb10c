import pytest

from bench.sample import Latency, MeasurementFailed
from bench.wrk import parse

OUTPUT = """\
Running 1s test @ http://127.0.0.1:1/v2/
  1 threads and 4 connections
Requests/sec:   1000.00
Transfer/sec:    208.81KB
found requests=2000 bytes=512000 duration=2000000 p50=900 p95=2500 p99=4000 errors=0
"""


def test_the_line_of_our_script_is_read():
    load = parse(OUTPUT)

    assert (load.seconds, load.operations, load.octets) == (2.0, 2000, 512000)
    assert load.latency == Latency(0.0009, 0.0025, 0.004)


@pytest.mark.parametrize(
    "output",
    [
        "",
        "unable to connect to 127.0.0.1:1 Connection refused\n",
        OUTPUT.replace("errors=0", "errors=3"),
        OUTPUT.replace("requests=2000", "requests=0"),
    ],
    ids=["nothing", "no server", "errors", "no answers"],
)
def test_a_run_that_did_not_work_is_no_figure(output):
    with pytest.raises(MeasurementFailed):
        parse(output)
