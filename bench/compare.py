"""`python -m bench.compare [scenario…]`: run the scenarios and print one Markdown table.

Scenarios: push (against Debian's docker-registry), memory, dedup, scale. All by default.
"""

import argparse
import tempfile
from pathlib import Path

from bench.scenarios import SCENARIOS


def main() -> None:
    """Run what was asked for, in a temporary folder."""
    parser = argparse.ArgumentParser(prog="bench.compare", description=__doc__)
    parser.add_argument("scenario", nargs="*", metavar="scenario", help=", ".join(SCENARIOS))
    parser.add_argument("--folder", type=Path, help="where to work (several GiB free)")
    chosen = parser.parse_args()
    unknown = set(chosen.scenario) - set(SCENARIOS)
    if unknown:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    print("| measurement | figure | wanted |\n|---|---|---|", flush=True)
    for name in chosen.scenario or SCENARIOS:
        with tempfile.TemporaryDirectory(prefix="orlop-bench-", dir=chosen.folder) as folder:
            for row in SCENARIOS[name](Path(folder)):
                print(f"| {row.name} | {row.figure} | {row.wanted} |", flush=True)


if __name__ == "__main__":
    main()
