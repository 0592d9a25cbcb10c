"""What goes to make room, against a model: the oldest first, and what only they need."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, strategies as st

from index.changes import EdgeKind, SetTag
from index.environment import open_environment
from index.idle import list_idle, removal
from tests.index.tables import IMAGE, PLACES, commit, digest_of, manifest, put

BLOBS = range(100, 108)
IMAGES = st.lists(
    st.tuples(
        st.sets(st.sampled_from(BLOBS), max_size=4),
        st.integers(1, 50),  # pushed at
        st.booleans(),  # has a tag
    ),
    min_size=1,
    max_size=8,
)


@given(IMAGES, st.integers(0, 16))
def test_the_oldest_go_until_the_rest_fits(images, room):
    with TemporaryDirectory() as folder, open_environment(Path(folder) / "index") as environment:
        changes = [change for number in BLOBS for change in put(number)]
        for number, (needs, at, has_tag) in enumerate(images, 1):
            edges = [(blob, EdgeKind.LAYER) for blob in sorted(needs)]
            changes += [*put(number), manifest(number, edges, pushed_at=at)]
            if has_tag:
                changes.append(SetTag(IMAGE, f"t{number}", digest_of(number)))
        commit(environment, [*PLACES, *changes])
        repository = environment.read(lambda view: view.repository("local/images")).id

        def size():
            return environment.read(lambda view: view.usage(repository).linked) // 32

        page = environment.read(lambda view: list_idle(view, repository, None, 1000))
        for root in sorted(page.roots):
            if size() <= room:
                break
            commit(environment, *environment.read(lambda view, root=root: removal(view, root)))

        kept, blobs = model(images, room)
        linked = environment.read(lambda view: {key[8:] for key, _ in view.scan("link")})
        assert linked == {digest_of(each) for each in kept | blobs}
        assert size() == len(linked)


def model(images, room):
    """Numbers of the manifests and blobs that are left."""
    kept = dict(enumerate(images, 1))
    needed = set().union(*(needs for needs, _, _ in images))
    loose = set(BLOBS) - needed
    order = sorted(kept, key=lambda number: (kept[number][1], number))
    waiting = [*sorted(loose), *order]
    blobs = needed | loose
    while waiting and len(kept) + len(blobs) > room:
        gone = waiting.pop(0)
        if gone in kept:
            needs = kept.pop(gone)[0]
            others = set().union(*(each[0] for each in kept.values()))
            blobs -= needs - others
        else:
            blobs.discard(gone)
    return set(kept), blobs
