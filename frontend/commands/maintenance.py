"""`orlop gc`, `orlop fsck` and `orlop scrub`: maintenance of the running server's store."""

import math
import sys
from collections.abc import Iterator
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from frontend.commands.common import AsJson, Data, Failure, Misuse, data_directory, show, write
from frontend.commands.server import HERE, Server

DryRun = Annotated[bool, Parameter(negative="")]
Repair = Annotated[bool, Parameter(negative="")]
Rate = Annotated[float, Parameter(validator=Number(gte=0, lte=1 << 40))]


def gc(*, dry_run: DryRun = False, json: AsJson = False, server: Server = HERE) -> None:
    """Free what nothing refers to any more, while the server goes on serving.

    Parameters
    ----------
    dry_run
        Change nothing: list what would go, and why.
    """
    due: list[dict[str, Any]] = []
    report: dict[str, Any] = {}
    for told in _told(server, "/api/v1/gc", {"dry_run": dry_run}):
        if "due" in told:
            due.append(told["due"])
            if not json:
                write(_due(told["due"]))
        report = told.get("report", report)
    show(report | ({"due": due} if dry_run else {}), _collected(report, dry_run), as_json=json)


def fsck(*, repair: Repair = False, json: AsJson = False, server: Server = HERE) -> None:
    """Recount every counter of the running server's store; fails when one is wrong.

    Parameters
    ----------
    repair
        Mend what can be mended, while no server runs; fails when bytes stay lost.
    """
    if repair:
        if server.url is not None:
            raise Misuse("--repair works on a directory, with --data")
        _repair(server.data, as_json=json)
        return
    found: dict[str, Any] = {}
    for told in _told(server, "/api/v1/fsck"):
        found = told.get("report", found)
    words = found["drift"] or ["everything is as it must be"]
    show(found, "\n".join(words), as_json=json)
    if found["drift"]:
        raise SystemExit(1)


def _repair(data: Data, *, as_json: bool) -> None:
    from cas.errors import CasError
    from frontend.repairing import run
    from index.errors import IndexFault

    try:
        done = run(data_directory(data))
    except (CasError, IndexFault, OSError) as error:
        raise Failure(f"cannot repair: {error}") from None
    words = [f"mended: {each}" for each in done.mended] + [f"left: {each}" for each in done.left]
    value = {"mended": done.mended, "left": done.left}
    show(value, "\n".join(words) or "everything is as it must be", as_json=as_json)
    if done.left:
        raise SystemExit(1)


def scrub(*, rate: Rate = 0.0, json: AsJson = False, server: Server = HERE) -> None:
    """Read all that is stored from the disk and hash it; fails when something is damaged.

    One that was ended goes on with the next. To push an image again mends what is damaged of it.

    Parameters
    ----------
    rate
        MiB/s to read at most (default: as fast as it goes).
    """
    found: dict[str, Any] = {}
    for told in _told(server, "/api/v1/scrub", {"bytes_per_second": math.ceil(rate * (1 << 20))}):
        found = told.get("report", found)
    show(found, _scrubbed(found), as_json=json)
    if found["standing"]:
        raise SystemExit(1)


def _told(server: Server, path: str, body: object = None) -> Iterator[dict[str, Any]]:
    """What the server tells while it works; how far it is goes to a terminal at once."""
    is_whole = False
    try:
        for told in server.stream(path, body):
            if "problem" in told:
                raise Failure(str(told["problem"].get("detail", told["problem"])))
            if "progress" in told:
                _progress(f"{told['progress']['stage']}: {told['progress']['done']}")
            else:
                _progress("")
            is_whole = is_whole or "report" in told
            yield told
    finally:
        _progress("")
    if not is_whole:
        raise Failure("the server ended before the work did; it goes on with the next run")


def _progress(text: str) -> None:
    """Overwrite the line on a terminal."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def _scrubbed(report: dict[str, Any]) -> str:
    rest = ", going on where an earlier scrub ended" if report["is_resumed"] else ""
    words = [f"damaged: {each}" for each in report["damaged"]]
    words.append(
        f"scrubbed {report['packs']} packs, {report['chunks']} chunks, "
        f"{report['objects']} objects in the index, {report['bytes']} bytes, "
        f"in {report['duration_seconds']:.1f} s{rest}: {report['standing']} damaged, "
        f"{report['found']} of them new"
    )
    return "\n".join(words)


def _due(due: dict[str, Any]) -> str:
    return f"{due['kind']:<8}  {due['size']:>12}  {due['name']}  {due['why']}"


def _collected(report: dict[str, Any], dry_run: bool) -> str:
    begin = "would go" if dry_run else "collected"
    words = (
        f"{begin}: {report['manifests']} manifests, {report['blobs']} blobs, "
        f"{report['chunks']} chunks, {report['packs']} packs, "
        f"{report['bytes_freed']} bytes on disk, "
        f"{report['uploads_expired']} uploads, in {report['duration_seconds']:.1f} s"
    )
    if report["postponed"]:
        words += f"\n{report['postponed']} packs are in use, or a backup reads them: run it again"
    return words
