"""What the script of the fault tests does, step by step, and what must be stored after each.

Pure: `tests.faults.script` does it to a store, `tests.faults.checking` compares. The sizes go every
way that large blobs go (inline, appended, adopted, in several slices) once `shrink` was called.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate

from cas.digest import Digest
from tests.crash.pusher import KIB, content_of


@dataclass(frozen=True)
class State:
    """Everything that images hold."""

    links: frozenset[tuple[str, Digest]] = frozenset()  # image, digest
    tags: frozenset[tuple[str, str, Digest]] = frozenset()  # image, tag, digest
    manifests: frozenset[tuple[str, Digest]] = frozenset()  # image, digest
    edges: frozenset[tuple[str, Digest, Digest]] = frozenset()  # image, parent, child

    @property
    def digests(self) -> set[Digest]:
        """Everything that some image holds."""
        return {digest for _, digest in self.links}

    @property
    def referenced(self) -> set[tuple[str, Digest]]:
        """The links that collection leaves alone, without grace and leases."""
        return set(self.manifests) | {(image, child) for image, _, child in self.edges}


@dataclass(frozen=True)
class Blob:
    """Bytes that can be made again from their size and what they are called."""

    size: int
    seed: str

    @property
    def content(self) -> bytes:
        return _content(self.size, self.seed)

    @property
    def digest(self) -> Digest:
        return _digest(self.size, self.seed)


@lru_cache
def _content(size: int, seed: str) -> bytes:
    return content_of(size, seed)


@lru_cache
def _digest(size: int, seed: str) -> Digest:
    return Digest.of(_content(size, seed))


@dataclass(frozen=True)
class Image:
    """A manifest: what it needs, in words that nothing has to parse."""

    needs: tuple[Blob, ...]

    @property
    def content(self) -> bytes:
        return "\n".join(str(each.digest) for each in self.needs).encode()

    @property
    def digest(self) -> Digest:
        return Digest.of(self.content)


# --- steps: `after` says what is stored once it was acknowledged ----------------------------


@dataclass(frozen=True)
class Push:
    """A blob's upload and commit."""

    image: str
    blob: Blob

    def after(self, state: State) -> State:
        return replace(state, links=state.links | {(self.image, self.blob.digest)})


@dataclass(frozen=True)
class Mount:
    """A link to what another image has."""

    image: str
    source: str
    blob: Blob

    def after(self, state: State) -> State:
        return replace(state, links=state.links | {(self.image, self.blob.digest)})


@dataclass(frozen=True)
class Put:
    """A manifest under a tag, which may have named another one."""

    image: str
    tag: str
    manifest: Image

    def after(self, state: State) -> State:
        me = (self.image, self.manifest.digest)
        others = {each for each in state.tags if each[:2] != (self.image, self.tag)}
        edges = {(*me, each.digest) for each in self.manifest.needs}
        return State(
            links=state.links | {me},
            tags=frozenset(others | {(self.image, self.tag, me[1])}),
            manifests=state.manifests | {me},
            edges=state.edges | edges,
        )


@dataclass(frozen=True)
class Untag:
    """A tag is taken away; its manifest stays."""

    image: str
    tag: str

    def after(self, state: State) -> State:
        kept = frozenset(each for each in state.tags if each[:2] != (self.image, self.tag))
        return replace(state, tags=kept)


@dataclass(frozen=True)
class Delete:
    """A manifest goes, with its tags."""

    image: str
    manifest: Image

    def after(self, state: State) -> State:
        me = (self.image, self.manifest.digest)
        return State(
            links=state.links - {me},
            tags=frozenset(each for each in state.tags if (each[0], each[2]) != me),
            manifests=state.manifests - {me},
            edges=frozenset(each for each in state.edges if each[:2] != me),
        )


@dataclass(frozen=True)
class CollectAll:
    """What nothing refers to goes; not at once, but link by link."""

    def after(self, state: State) -> State:
        return replace(state, links=state.links & state.referenced)


@dataclass(frozen=True)
class Spoil:
    """The disk changes a byte in the middle of a blob, and nobody is told."""

    blob: Blob

    def after(self, state: State) -> State:
        return state


@dataclass(frozen=True)
class ScrubAll:
    """What is damaged is found: from now on a push of it mends it."""

    def after(self, state: State) -> State:
        return state


Step = Push | Mount | Put | Untag | Delete | CollectAll | Spoil | ScrubAll

ADOPTED = Blob(1200 * KIB, "adopted")
APPENDED = Blob(700 * KIB, "appended")
ROLLING = Blob(800 * KIB, "rolling")  # fills the active pack: the next one is made
INLINE = Blob(10, "inline")
LATE = Blob(300 * KIB, "late")
FIRST = Image((ADOPTED, APPENDED, INLINE))
SECOND = Image((ADOPTED,))
OTHER = Image((ROLLING, APPENDED))
LAST = Image((LATE,))

STEPS: tuple[Step, ...] = (
    Push("a", ADOPTED),
    Push("a", APPENDED),
    Push("a", INLINE),
    Put("a", "one", FIRST),
    Push("b", ROLLING),
    Mount("b", "a", APPENDED),
    Put("b", "one", OTHER),
    Put("a", "one", SECOND),
    Delete("a", FIRST),  # APPENDED stays in b, INLINE goes
    CollectAll(),
    Push("a", LATE),
    Put("a", "two", LAST),
    Spoil(LATE),
    ScrubAll(),
    Push("a", LATE),  # mends it
    Untag("a", "one"),
    Delete("b", OTHER),  # dead bytes in the middle of packs
    Delete("a", SECOND),
    CollectAll(),
    Push("b", APPENDED),  # what was collected comes back
    Mount("b", "a", LATE),
    Put("b", "two", Image((APPENDED, LATE))),
)

# STATES[n]: after n steps.
STATES: tuple[State, ...] = tuple(
    accumulate(STEPS, lambda state, step: step.after(state), initial=State())
)


def contents(steps: Iterable[Step]) -> dict[Digest, bytes]:
    """Every byte string that the steps ever store."""
    blobs = [each.blob for each in steps if isinstance(each, Push)]
    manifests = [each.manifest for each in steps if isinstance(each, Put)]
    return {each.digest: each.content for each in (*blobs, *manifests)}


CONTENTS = contents(STEPS)
