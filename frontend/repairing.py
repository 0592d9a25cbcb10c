"""`orlop fsck --repair`: the store's repair, by one who can read manifests."""

from pathlib import Path

import trio

from cas.checks.drift import Described
from cas.checks.repair import Repaired, repair
from cas.digest import Digest
from frontend.domain.faults import ManifestInvalid
from frontend.domain.manifests import parse_manifest


def run(data: Path) -> Repaired:
    """Mend the data directory; see `cas.checks.repair.repair`, also for what it raises."""
    return trio.run(repair, data, describe)


def describe(digest: Digest, content: bytes) -> Described | None:
    """What the bytes say; a media type that only the push's header told is lost with the row."""
    try:
        parsed = parse_manifest(content, None)
    except ManifestInvalid:
        return None
    edges = {child.key: int(kind) for child, kind in parsed.edges}
    referrer = b"" if parsed.subject is None else parsed.referrer(digest)
    return Described(parsed.record(), edges, referrer)
