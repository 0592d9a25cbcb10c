"""Runs wrk and reads what it found. It cannot do HEAD (it waits for the body): see pull.py."""

import subprocess
from pathlib import Path

from bench.sample import Latency, Load, MeasurementFailed
from bench.servers import Server
from bench.wire import ACCEPT

# `done` runs once, at the end: nothing is in the way of a request.
SCRIPT = """\
function done(summary, latency, requests)
  io.write(string.format(
    "found requests=%d bytes=%d duration=%d p50=%d p95=%d p99=%d errors=%d\\n",
    summary.requests, summary.bytes, summary.duration,
    latency:percentile(50), latency:percentile(95), latency:percentile(99),
    summary.errors.status + summary.errors.connect + summary.errors.timeout))
end
"""


# With several paths each request takes the next one; that costs the load 2 µs.
TURNS = """\
local paths, turn = {%s}, 0
function request()
  turn = turn %% #paths + 1
  return wrk.format(nil, paths[turn])
end
"""


def run(server: Server, *paths: str, connections: int, seconds: float, folder: Path) -> Load:
    """GET one path, or several in turn. wrk counts whole seconds, so less than one is one."""
    script = folder / "report.lua"
    quoted = ", ".join(f'"{path}"' for path in paths)
    script.write_text(SCRIPT + (TURNS % quoted if len(paths) > 1 else ""))
    whole = max(1, round(seconds))
    command = ["wrk", "--threads", "1", "--connections", str(connections)]
    command += ["--duration", f"{whole}s", "--timeout", "10s", "--script", str(script)]
    for name, value in {**server.headers, "Accept": ACCEPT}.items():
        command += ["--header", f"{name}: {value}"]
    command.append(server.url + paths[0])
    try:
        answer = subprocess.run(  # noqa: S603 - our own command
            command, check=True, capture_output=True, text=True, timeout=whole + 20
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise MeasurementFailed(f"wrk: {error}") from error
    return parse(answer.stdout)


def parse(output: str) -> Load:
    """The line of our script, whose times are microseconds.

    Raises:
        MeasurementFailed: there is none, nothing was answered, or not all of it was 2xx.
    """
    for line in output.splitlines():
        if line.startswith("found "):
            found = {name: int(value) for name, _, value in _pairs(line)}
            break
    else:
        raise MeasurementFailed(f"wrk said {output[-200:]!r}")
    if found["errors"] or not found["requests"]:
        raise MeasurementFailed(f"{found['errors']} errors in {found['requests']} requests")
    latency = Latency(*(found[name] / 1e6 for name in ("p50", "p95", "p99")))
    return Load(found["duration"] / 1e6, found["requests"], found["bytes"], latency)


def _pairs(line: str) -> list[tuple[str, str, str]]:
    return [part.partition("=") for part in line.split()[1:]]
