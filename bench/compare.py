"""`python -m bench.compare [scenario…]`: measure Orlop and other registries side by side.

Every registry has its turn in every round, all pinned to the same core, the load to another.
Compared: manifests, blobs, tags, uploads, images, mounts. Of Orlop alone: push, memory, dedup,
scale, workers, collection, search, credentials, proxy, pages. All by default; with --quick only the
compared ones, briefly. Needs wrk and docker-registry.
"""

import argparse
import contextlib
import dataclasses
import os
import shlex
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import baseline, report, servers
from bench.cases import MIB, Bench, Case
from bench.cores import Cores, running_on
from bench.meter import Result, probe_machine, run_case
from bench.reads import blobs, manifests, tags
from bench.scenarios import SCENARIOS
from bench.servers import Server
from bench.wanted import Machine
from bench.writes import images, mounts, uploads

COMPARED: dict[str, Callable[[Bench], Iterator[Case]]] = {
    "manifests": manifests,
    "blobs": blobs,
    "tags": tags,
    "uploads": uploads,
    "images": images,
    "mounts": mounts,
}
BASELINE = Path(__file__).with_name("baseline.json")


def main() -> None:
    """Run what was asked for, in a temporary folder; ends with 1 if Orlop failed in a case."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: stopped"))
    chosen = parse_arguments()
    is_whole = True
    with (
        running_on(chosen.cores.load),
        tempfile.TemporaryDirectory(prefix="orlop-bench-", dir=chosen.folder) as folder,
    ):
        compared = [name for name in chosen.scenario if name in COMPARED]
        if compared:
            is_whole = compare(chosen, Path(folder), compared)
    with running_on(chosen.cores.server | chosen.cores.load):
        measure_store(chosen, [name for name in chosen.scenario if name in SCENARIOS])
    sys.exit(not is_whole)


def compare(chosen: argparse.Namespace, folder: Path, scenarios: list[str]) -> bool:
    """All registries; returns whether ours did every case."""
    results: dict[str, list[Result]] = {}
    with contextlib.ExitStack() as stack:
        started = start_servers(chosen, folder, stack)
        bench = Bench(started, folder, chosen.cores, chosen.quick)
        machine = probe_machine(folder, size=(64 if chosen.quick else 256) * MIB)
        print(report.heading(report.HEADINGS), flush=True)
        for name in scenarios:
            results[name] = list(run_scenario(bench, name))
    write_report(chosen, results, machine, started[0].name)
    return all(
        result.figures for some in results.values() for result in some
        if result.server == started[0].name
    )  # fmt: skip


def run_scenario(bench: Bench, name: str) -> Iterator[Result]:
    """Its cases, each printed as soon as it is known."""
    fresh = dataclasses.replace(bench, broken={})
    for case in COMPARED[name](fresh):
        for result in run_case(fresh, case):
            print(report.result_line(result), flush=True)
            yield result


def start_servers(
    chosen: argparse.Namespace, folder: Path, stack: contextlib.ExitStack
) -> list[Server]:
    """Ours, its variants, Debian's, and those that run already."""
    cores = chosen.cores
    found = [stack.enter_context(servers.orlop(folder / "orlop", cores=cores))]
    for name, tree in chosen.tree:
        one = servers.orlop(folder / name, name, tree=Path(tree).resolve(), cores=cores)
        found.append(stack.enter_context(one))
    for name, text in chosen.orlop:
        one = servers.orlop(folder / name, name, arguments=shlex.split(text), cores=cores)
        found.append(stack.enter_context(one))
    if not chosen.alone:
        found.append(stack.enter_context(servers.docker_registry(folder / "peer", cores)))
    found += [peer_of(name, url, cores) for name, url in chosen.peer]
    return found


def peer_of(name: str, url: str, cores: Cores) -> Server:
    """One that somebody else has started, and should have pinned: that is not ours to do."""
    try:
        found = servers.peer(name, url)
    except ValueError as error:
        sys.exit(f"bench: --peer: {error}")
    if found.pid is None:
        print(f"bench: the process of {name} is not ours to see: no CPU or memory", file=sys.stderr)
    elif os.sched_getaffinity(found.pid) != cores.server:
        wanted = ",".join(map(str, sorted(cores.server)))
        print(f"bench: {name} is not pinned: start it by taskset -c {wanted}", file=sys.stderr)
    return found


def write_report(
    chosen: argparse.Namespace, results: dict[str, list[Result]], machine: Machine, ours: str
) -> None:
    """Print the summary and write everything into the folder."""
    flat = [result for some in results.values() for result in some]
    table: baseline.Table = {}
    for result in flat:
        if result.figures:
            table.setdefault(result.case.name, {})[result.server] = result.figures
    ratios = baseline.ratios_of(table, ours)
    summary = report.summary_lines(flat, ratios, baseline.load(BASELINE), machine)
    about = (
        f"Cores {chosen.cores} (servers/load){', quick' if chosen.quick else ''}; "
        f"durable write {machine.durable:,.0f} MB/s, sha256 {machine.sha256:,.0f} MB/s; "
        f"{baseline.describe(BASELINE)}."
    )
    tail = "\n".join(["", about, "", report.heading(report.SUMMARY), *summary])
    print(tail, flush=True)
    out: Path = chosen.out
    out.mkdir(parents=True, exist_ok=True)
    pictures = [
        name for key, some in results.items() for name in report.write_plots(out, key, some)
    ]
    parts = ["# Orlop beside other registries", "", report.heading(report.HEADINGS)]
    parts += [*map(report.result_line, flat), tail, "", *(f"![]({name})" for name in pictures)]
    (out / "report.md").write_text("\n".join(parts) + "\n", encoding="utf-8")
    facts = {
        "cores": str(chosen.cores), "quick": chosen.quick,
        "durable": machine.durable, "sha256": machine.sha256,
    }  # fmt: skip
    (out / "report.json").write_text(report.document(flat, ratios, facts), encoding="utf-8")
    if chosen.save_baseline:
        baseline.save(BASELINE, ratios, quick=chosen.quick, cores=str(chosen.cores))


def measure_store(chosen: argparse.Namespace, scenarios: list[str]) -> None:
    """What only our store can be asked."""
    if scenarios:
        print("\n| measurement | figure | wanted |\n|---|---|---|", flush=True)
    for name in scenarios:
        with tempfile.TemporaryDirectory(prefix="orlop-bench-", dir=chosen.folder) as folder:
            for row in SCENARIOS[name](Path(folder)):
                print(f"| {row.name} | {row.figure} | {row.wanted} |", flush=True)


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line, with every default filled in."""
    parser = argparse.ArgumentParser(
        prog="bench.compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    known = [*COMPARED, *SCENARIOS]
    parser.add_argument("scenario", nargs="*", metavar="scenario", help=", ".join(known))
    pairs = {"action": "append", "default": [], "type": _pair}
    parser.add_argument("--peer", metavar="NAME=URL", help="one that runs on loopback", **pairs)
    parser.add_argument("--tree", metavar="NAME=DIR", help="Orlop of another checkout", **pairs)
    parser.add_argument("--orlop", metavar="NAME=ARGS", help="Orlop served so too", **pairs)
    parser.add_argument("--alone", action="store_true", help="without docker-registry")
    parser.add_argument("--quick", action="store_true", help="one short round of each case")
    parser.add_argument("--out", type=Path, default=Path("build/bench"), help="for the report")
    parser.add_argument("--folder", type=Path, help="where to work (several GiB free)")
    parser.add_argument("--cores", type=Cores.parse, default=Cores.default(), help="SERVER/LOAD")
    parser.add_argument("--save-baseline", action="store_true", help=f"into {BASELINE.name}")
    chosen = parser.parse_args(arguments)
    unknown = set(chosen.scenario) - set(known)
    if unknown:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    if not chosen.scenario:
        chosen.scenario = list(COMPARED) if chosen.quick else known
    return chosen


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


if __name__ == "__main__":
    main()
