"""What the script said, and whether a recovered data directory agrees with it.

The script does one step after the other, so at most one is under way when it ends. What is stored
must be the state after all acknowledged steps, or the one with that last step done as well; only
collection may be half done. What the disk changed is right, or known as damaged, until a mending
was acknowledged; from then on it is right.
"""

from collections.abc import Container, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from cas.digest import Digest
from cas.errors import BlobUnknown, Damaged
from cas.local import open_store
from cas.verbs import Store
from index import keys
from index.view import View
from tests.cas.damaging import scrub
from tests.cas.pushing import drift, prepare, pull
from tests.faults import collecting
from tests.faults.script import AT_ONCE, perform
from tests.faults.steps import (
    CONTENTS,
    STEPS,
    Blob,
    CollectAll,
    Image,
    Mount,
    Push,
    Put,
    ScrubAll,
    Spoil,
    State,
    Step,
)

# Pushed and pulled after each recovery: a store that only looks whole would show it.
PROBE = Blob(150_000, "probe")


@dataclass(frozen=True)
class Said:
    """What one run of the script told."""

    state: State  # of all that was acknowledged
    loose: frozenset[tuple[str, Digest]]  # links that a collection may have taken before it failed
    doubtful: frozenset[Blob]  # the disk changed them, and no mending was acknowledged
    under_way: Step | None
    refused: tuple[str, ...]
    stopped: str | None
    is_complete: bool  # it came to the last step

    @classmethod
    def parse(cls, text: str) -> "Said":
        state, under_way, stopped = State(), None, None
        refused: list[str] = []
        loose: set[tuple[str, Digest]] = set()
        doubtful: dict[Blob, bool] = {}  # → whether that is known
        begun = -1
        for line in text.splitlines():
            match line.split():
                case ["begin", number]:
                    begun, under_way = int(number), STEPS[int(number)]
                    if isinstance(under_way, Spoil):
                        doubtful[under_way.blob] = False
                case ["end", number]:
                    state, under_way = STEPS[int(number)].after(state), None
                    loose = _still(loose, STEPS[begun], state)
                    doubtful = _left(doubtful, STEPS[begun])
                case ["refused", number, name]:
                    assert int(number) == begun
                    refused.append(name)
                    if isinstance(under_way, CollectAll):
                        loose |= state.links - under_way.after(state).links
                    under_way = None
                case ["stopped", stopped]:
                    pass
        is_complete = begun == len(STEPS) - 1 and under_way is None and stopped is None
        said = (tuple(refused), stopped, is_complete)
        return cls(state, frozenset(loose), frozenset(doubtful), under_way, *said)

    def assert_is(self, found: State) -> None:
        """`found` is what was acknowledged, or that and the step under way."""
        following = self.state if self.under_way is None else self.under_way.after(self.state)
        if isinstance(self.under_way, CollectAll):
            ways = [(following.links - self.loose, self.state)]
        else:
            ways = [(each.links - self.loose, each) for each in (self.state, following)]
        assert any(
            least <= found.links <= most.links and replace(found, links=most.links) == most
            for least, most in ways
        ), (found, self)


def _still(loose: set[tuple[str, Digest]], step: Step, state: State) -> set[tuple[str, Digest]]:
    """What may still be gone once `step` was acknowledged: not what it linked or referred to."""
    made = {(step.image, step.blob.digest)} if isinstance(step, Push | Mount) else set()
    return (loose & state.links) - state.referenced - made


def _left(doubtful: dict[Blob, bool], step: Step) -> dict[Blob, bool]:
    """What may be damaged still once `step` was acknowledged: a push mends only what is known."""
    match step:
        case ScrubAll():
            return dict.fromkeys(doubtful, True)
        case Push(_, blob) if doubtful.get(blob):
            return {each: known for each, known in doubtful.items() if each != blob}
    return doubtful


def look(view: View) -> State:
    """Everything that images hold."""
    names = {id_: path.decode() for id_, path in view.scan("image_by_id")}
    size = keys.IMAGE_SIZE

    def digests(table: str):
        for key, _ in view.scan(table):
            found, rest = [names[key[:size]]], key[size:]
            while rest:
                digest, rest = keys.split_digest(rest)
                found.append(Digest(digest))
            yield tuple(found)

    tags = set()
    for key, _ in view.scan("tag"):
        tag = key[size:].decode()
        row = view.tag(key[:size], tag)
        assert row is not None
        tags.add((names[key[:size]], tag, Digest(row.digest)))
    return State(
        links=frozenset(digests("link")),
        tags=frozenset(tags),
        manifests=frozenset(digests("manifest")),
        edges=frozenset(digests("edge")),
    )


async def assert_recovers(directory: Path, said: Said) -> None:
    """Start again: all that was acknowledged is there, what was deleted is not, fsck is clean.

    The store must go on as well: it takes a push, gives it back, and frees all that is garbage.
    """
    async with open_store(directory, AT_ONCE) as store:
        assert not (differs := await drift(store)), differs
        found = store.read(look)
        said.assert_is(found)
        _assert_bytes(store, found, {each.digest for each in said.doubtful})

        await prepare(store)
        await mend(store, found, said.doubtful)
        await perform(store, Push("probe", PROBE))
        await perform(store, Put("probe", "probe", Image((PROBE,))))
        await collecting.collect(store)
        kept = CollectAll().after(found)
        assert {each for each in store.read(look).links if each[0] != "probe"} == kept.links
        _assert_bytes(store, kept)
        for digest in CONTENTS.keys() - kept.digests:
            with pytest.raises(BlobUnknown):
                pull(store, digest)
        assert not (left := collecting.find_garbage(store, directory)), left
        assert not (differs := await drift(store)), differs


async def mend(store: Store, state: State, doubtful: Iterable[Blob]) -> None:
    """Once it is known as damaged, pushing it again is enough."""
    await scrub(store)
    for blob in doubtful:
        for image, digest in state.links:
            if digest == blob.digest:
                await perform(store, Push(image, blob))
    _assert_bytes(store, state)
    report = await scrub(store)
    assert (report.found, report.standing) == (0, 0), report


def _assert_bytes(store: Store, state: State, doubtful: Container[Digest] = ()) -> None:
    """All is whole; what is doubtful may be known as damaged instead, and is never wrong."""
    for digest in state.digests:
        try:
            assert pull(store, digest) == CONTENTS[digest], digest
        except Damaged:
            assert digest in doubtful, digest
