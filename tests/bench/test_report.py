import dataclasses
import json
from xml.etree import ElementTree

import pytest

from bench import baseline, report
from bench.cases import Case
from bench.meter import Result
from bench.plot import bars
from bench.sample import Figures, Latency
from bench.wanted import Machine, Wanted

MACHINE = Machine(durable=1000.0, sha256=1500.0)


def figures(rate=100.0, *, cpu=0.5, p99=0.003, fairness=None, growth=0):
    return Figures(
        rate=rate,
        unit="MB/s",
        latency=Latency(0.001, 0.002, p99),
        cpu=cpu,
        peak=64 << 20,
        growth=growth,
        fairness=fairness,
        busy=0.5,
        others=0.1,
        rates=(rate,),
    )


def results(wanted=Wanted(), ours=None, peer=None):  # noqa: B008 - immutable
    case = Case("pull", "MB/s", lambda _: None, wanted)
    return [
        Result(case, "orlop", ours or figures(300.0)),
        Result(case, "docker-registry", peer or figures(100.0, cpu=1.0)),
    ]


def table(some):
    return {"pull": {result.server: result.figures for result in some}}


def test_every_row_has_as_many_cells_as_the_heading():
    width = report.heading(report.HEADINGS).splitlines()[0].count("|")
    failed = Result(results()[0].case, "peer", None, "a | b\nc")

    lines = [*map(report.result_line, results()), report.result_line(failed)]

    assert [line.replace("\\|", "").count("|") for line in lines] == [width] * 3
    assert all("\n" not in line for line in lines)


def test_the_summary_has_a_ratio_its_change_and_a_verdict():
    some = results(Wanted(times=2, cpu=0.25))
    ratios = baseline.ratios_of(table(some), "orlop")
    before = {"pull": {"docker-registry": {"rate": 2.0, "cpu": 1.0}}}

    (line,) = report.summary_lines(some, ratios, before, MACHINE)

    assert "| 3.00 x | 0.50 x | rate +50 %, CPU -50 % |" in line
    assert "≥ 2 x docker-registry: yes; CPU ≤ 0.25: **no**" in line


@pytest.mark.parametrize(
    ("wanted", "found", "is_met"),
    [
        (Wanted(rate=200), figures(300.0), True),
        (Wanted(times=4), figures(300.0), False),
        (Wanted(times=20, of_durable=0.8), figures(900.0), True),  # the disk is the limit
        (Wanted(times=20, of_durable=0.8), figures(700.0), False),
        (Wanted(of_machine=0.6), figures(700.0), True),
        (Wanted(p99=0.005), figures(p99=0.006), False),
        (Wanted(fairness=0.5), figures(fairness=0.4), False),
        (Wanted(growth=64 << 20), figures(growth=1), True),
    ],
)
def test_a_limit_is_met_or_not(wanted, found, is_met):
    checks = list(wanted.iter_checks(found, figures(100.0), MACHINE))

    assert [met for _, met in checks] == [is_met]


def test_a_verdict_says_when_others_had_the_core():
    noisy = dataclasses.replace(figures(300.0), others=0.4)

    (line,) = report.summary_lines(results(Wanted(times=2), noisy), {}, {}, MACHINE)

    assert "yes; noisy: others had 40 %" in line


def test_a_limit_that_needs_a_peer_is_not_told_without_one():
    wanted = Wanted(times=2, of_durable=0.8)

    assert list(wanted.iter_checks(figures(), None, MACHINE)) == []


def test_the_document_is_json_with_every_result():
    failed = Result(results()[0].case, "peer", None, "closed")

    found = json.loads(report.document([*results(), failed], {}, {"quick": True}))

    assert [row["registry"] for row in found["results"]] == ["orlop", "docker-registry", "peer"]
    assert found["results"][0]["figures"]["rate"] == 300.0
    assert found["results"][2]["failure"] == "closed"


def test_plots_are_written_for_rate_cost_and_first_byte(tmp_path):
    names = report.write_plots(tmp_path, "blobs", results())

    assert names == ["blobs-rate.svg", "blobs-cpu.svg", "blobs-p99.svg"]
    for name in names:
        ElementTree.parse(tmp_path / name)  # noqa: S314 - we wrote it


def test_a_picture_is_well_formed_whatever_the_names_and_has_a_bar_for_each_value():
    groups = {"a < b & c": {'one "x"': 1.0, "two": 0.0}, "d": {"two": 4.0}}

    root = ElementTree.fromstring(bars("<&>", groups, "{:.1f} <".format))  # noqa: S314 - ours

    drawn = [one for one in root.iter("{http://www.w3.org/2000/svg}rect") if len(one)]
    assert [float(one.get("width")) for one in drawn] == [105.0, 0.0, 420.0]


def test_a_picture_of_nothing_is_well_formed():
    ElementTree.fromstring(bars("empty", {}, str))  # noqa: S314 - ours


def test_ratios_leave_out_what_only_one_could_do():
    some = {
        "both": {"orlop": figures(300.0), "peer": figures(100.0, cpu=None)},
        "ours": {"orlop": figures()},
        "theirs": {"peer": figures()},
    }

    assert baseline.ratios_of(some, "orlop") == {"both": {"peer": {"rate": 3.0}}}


def test_a_saved_baseline_keeps_the_cases_that_were_not_run_again(tmp_path):
    path = tmp_path / "baseline.json"
    first = {"a": {"peer": {"rate": 1.0}}, "b": {"peer": {"rate": 2.0}}}
    baseline.save(path, first, quick=False, cores="0/1")
    baseline.save(path, {"b": {"peer": {"rate": 4.0}}}, quick=False, cores="0/1")

    kept = baseline.load(path)

    assert kept == {"a": {"peer": {"rate": 1.0}}, "b": {"peer": {"rate": 4.0}}}
    assert baseline.change({"b": {"peer": {"rate": 2.0}}}, kept, "b", "peer") == "rate -50 %"
    assert baseline.change(kept, {}, "b", "peer") == ""
    assert baseline.describe(path) == "baseline of a full run on 0/1"


def test_without_a_file_there_is_no_baseline(tmp_path):
    assert baseline.load(tmp_path / "none.json") == {}
