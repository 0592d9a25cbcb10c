"""Collection as the fault tests use it, and what it must leave: nothing but what is live."""

from pathlib import Path

from cas import layout
from cas.maintenance import reclaim
from cas.verbs import Collect, Collected, Store
from index import keys
from index.records import GarbageKind
from index.view import View


async def collect(store: Store) -> Collected:
    """Free everything that is due now."""
    told = [each async for each in store.maintain(Collect())]
    assert isinstance(told[-1], Collected)
    return told[-1]


def find_garbage(store: Store, root: Path) -> list[str]:
    """What is there and should not be, after a collection without grace and leases."""
    return store.read(lambda view: [*_rows(view), *_dead_bytes(view, root), *_files(view, root)])


def _rows(view: View) -> list[str]:
    # The pack that grows keeps its mark while its dead bytes are not worth a rewrite.
    active = view.get("meta", keys.META_ACTIVE) or b""
    waits = keys.garbage(0, GarbageKind.PACK, active)
    rows = ((table, key) for table in ("garbage", "work") for key, _ in view.scan(table))
    return [f"{table} {key.hex()}" for table, key in rows if key != waits]


def _dead_bytes(view: View, root: Path) -> list[str]:
    """Blocks that a rewrite would free, but for those that are not worth one."""
    candidates = [reclaim.look_at(view, root, pack) for pack, _ in view.iter_packs()]
    return [
        f"pack {each.pack:016x} holds {each.gain} dead bytes"
        for each in candidates
        if each is not None and each.is_worth_it
    ]


def _files(view: View, root: Path) -> list[str]:
    known = {f"{pack:016x}" for pack, _ in view.iter_packs()}
    # The active pack has no row as long as it is empty.
    known |= {f"{keys.number(view.get('meta', keys.META_ACTIVE) or b''):016x}"}
    return [
        f"file {path.name}"
        for path in (root / layout.PACKS).iterdir()
        if path.name not in known and path.stat().st_size
    ]
