"""Ratios of an earlier run, in a file: only ratios of one run are worth keeping.

    {"quick": false, "cores": "0/1",
     "ratios": {"<case>": {"<registry>": {"rate": 15.2, "cpu": 0.07}}}}

A ratio is ours divided by the other registry's: a high rate and a low cpu are good.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from bench.sample import Figures

Ratios = dict[str, dict[str, dict[str, float]]]
Table = dict[str, dict[str, Figures]]  # case, then registry


def ratios_of(table: Table, ours: str) -> Ratios:
    """Our rate and processor time against every other registry's, for each case both could do."""
    found: Ratios = {}
    for case, by_server in table.items():
        mine = by_server.get(ours)
        if mine is None:
            continue
        for name, figures in by_server.items():
            if name == ours or not figures.rate:
                continue
            ratio = {"rate": round(mine.rate / figures.rate, 3)}
            if mine.cpu is not None and figures.cpu:
                ratio["cpu"] = round(mine.cpu / figures.cpu, 3)
            found.setdefault(case, {})[name] = ratio
    return found


def change(ratios: Ratios, before: Ratios, case: str, name: str) -> str:
    """`rate +5 %, CPU -12 %` against the baseline; empty where either run has no such case."""
    new = ratios.get(case, {}).get(name, {})
    old = before.get(case, {}).get(name, {})
    parts: Iterable[str] = (
        f"{label} {new[kind] / old[kind] - 1:+.0%}"
        for kind, label in (("rate", "rate"), ("cpu", "CPU"))
        if kind in new and old.get(kind)
    )
    return ", ".join(parts).replace("%", " %")


def load(path: Path) -> Ratios:
    """The kept ratios; none where there is no file."""
    if not path.exists():
        return {}
    found: Ratios = json.loads(path.read_text())["ratios"]
    return found


def describe(path: Path) -> str:
    """How the baseline was measured: another way of measuring is another ratio."""
    if not path.exists():
        return "no baseline is kept"
    document = json.loads(path.read_text())
    return f"baseline of a {'quick' if document['quick'] else 'full'} run on {document['cores']}"


def save(path: Path, ratios: Ratios, *, quick: bool, cores: str) -> None:
    """Keep these; cases that were not run now keep what they had."""
    kept = {**load(path), **ratios}
    document = {"quick": quick, "cores": cores, "ratios": kept}
    path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
