"""The report: Markdown tables, the same as JSON, and pictures."""

import dataclasses
import json
from collections.abc import Callable, Iterable
from pathlib import Path

from bench import plot
from bench.baseline import Ratios, change
from bench.meter import Result
from bench.sample import Figures
from bench.wanted import Machine

HEADINGS = (
    "case", "registry", "rate", "first byte p50 / p95 / p99", "CPU s per GB or 1,000",
    "peak RSS (growth)", "fairness", "load busy", "others",
)  # fmt: skip
SUMMARY = ("case", "against", "rate", "CPU", "since baseline", "wanted")
NOISY = 0.15  # share of the servers' cores that others had, above which no rate can be trusted
_PLOTS: dict[str, tuple[str, Callable[[Figures], float | None], Callable[[float], str]]] = {
    "rate": ("rate", lambda figures: figures.rate, lambda value: f"{value:,.0f}"),
    "cpu": ("CPU seconds", lambda figures: figures.cpu, lambda value: f"{value:.3f}"),
    "p99": (
        "first byte p99, ms",
        lambda figures: figures.latency.p99 * 1e3,
        lambda value: f"{value:.2f}",
    ),
}


def line(cells: Iterable[str]) -> str:
    """One row of a Markdown table."""
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def heading(cells: tuple[str, ...]) -> str:
    return f"{line(cells)}\n|{'---|' * len(cells)}"


def result_line(result: Result) -> str:
    """The figures of one case on one registry."""
    figures = result.figures
    if figures is None:
        return line([result.case.name, result.server, f"failed: {result.failure[:120]}", *[""] * 6])
    times = " / ".join(f"{value * 1e3:.3g}" for value in dataclasses.astuple(figures.latency))
    memory = ""
    if figures.peak is not None and figures.growth is not None:
        memory = f"{figures.peak >> 20} MiB (+{figures.growth >> 20})"
    return line(
        [
            result.case.name,
            result.server,
            f"{figures.rate:,.0f} {figures.unit}",
            f"{times} ms",
            _known(figures.cpu, "{:.3f}"),
            memory,
            _known(figures.fairness, "{:.2f}"),
            _share(figures.busy),
            _share(figures.others),
        ]
    )


def summary_lines(
    results: list[Result], ratios: Ratios, before: Ratios, machine: Machine | None
) -> list[str]:
    """For each case and other registry: ratios, their change, and whether the goal is met."""
    lines = []
    by_case: dict[str, dict[str, Result]] = {}
    for result in results:
        by_case.setdefault(result.case.name, {})[result.server] = result
    for name, by_server in by_case.items():
        wanted = _verdict(list(by_server.values()), machine)
        for other in list(by_server)[1:] or [""]:
            ratio = ratios.get(name, {}).get(other, {})
            rate, cpu = _known(ratio.get("rate"), "{:.2f} x"), _known(ratio.get("cpu"), "{:.2f} x")
            lines.append(
                line([name, other, rate, cpu, change(ratios, before, name, other), wanted])
            )
            wanted = ""
    return lines


def _verdict(results: list[Result], machine: Machine | None) -> str:
    ours, others = results[0], {result.server: result.figures for result in results[1:]}
    if ours.figures is None:
        return "failed"
    checks = ours.case.wanted.iter_checks(ours.figures, others.get("docker-registry"), machine)
    told = [f"{text}: {'yes' if is_met else '**no**'}" for text, is_met in checks]
    noise = max((figures.others or 0 for figures in _all_of(results)), default=0)
    if told and noise > NOISY:
        told.append(f"noisy: others had {_share(noise)}")
    return "; ".join(told)


def _all_of(results: list[Result]) -> list[Figures]:
    return [result.figures for result in results if result.figures]


def document(results: list[Result], ratios: Ratios, about: dict[str, object]) -> str:
    """Everything as JSON: seconds and bytes as they are, rates as their unit says."""
    rows = [
        {
            "case": result.case.name,
            "registry": result.server,
            "failure": result.failure or None,
            "figures": dataclasses.asdict(result.figures) if result.figures else None,
        }
        for result in results
    ]
    return json.dumps({"about": about, "results": rows, "ratios": ratios}, indent=1) + "\n"


def write_plots(folder: Path, scenario: str, results: list[Result]) -> list[str]:
    """`<scenario>-rate.svg`, `-cpu.svg` and `-p99.svg`; returns the names."""
    names = []
    for kind, (title, value_of, show) in _PLOTS.items():
        groups: dict[str, dict[str, float]] = {}
        units = set()
        for result in results:
            value = value_of(result.figures) if result.figures else None
            if value is not None and result.figures:
                groups.setdefault(result.case.name, {})[result.server] = value
                units.add(result.figures.unit)
        if not groups:
            continue
        unit = " and ".join(sorted(units))
        text = {"rate": f", {unit}", "cpu": f" per {_thousand(unit)}"}.get(kind, "")
        names.append(f"{scenario}-{kind}.svg")
        picture = plot.bars(f"{scenario}: {title}{text}", groups, show)
        (folder / names[-1]).write_text(picture, encoding="utf-8")
    return names


def _thousand(unit: str) -> str:
    return "GB" if unit == "MB/s" else f"1,000 {unit.removesuffix('/s')}"


def _share(value: float | None) -> str:
    return _known(value, "{:.0%}").replace("%", " %")


def _known(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)
