"""What something else needs too: told as far as somebody may see, at a bounded cost."""

import pytest

from cas.local import open_store
from frontend.access import sharing
from frontend.access.sharing import Sharing
from index.changes import ImageName
from index.linking import iter_images_linking, iter_repositories_linking
from tests.frontend.searching import (
    ADMIN,
    ALICE,
    VISITOR,
    blob,
    digest_of,
    grant,
    package,
    repositories,
)

LAYER = digest_of("layer")
MINE = ImageName("local/mine", "app")


@pytest.fixture
async def store(tmp_path):
    """A layer in two manifests of an image that alice may pull, and elsewhere."""
    async with open_store(tmp_path / "data") as opened:
        await opened.commit(
            [
                *repositories("local/mine", "local/hidden"),
                *blob("local/mine/app", "layer"),
                *package("local/mine/app", "v1", layers=(LAYER,)),
            ]
        )
        await opened.commit(grant(opened, "local/mine"))
        yield opened


def is_shared(store, who, *more):
    """Whether the layer of local/mine/app:v1 is, with `more` manifests looked at together."""

    def look(view):
        image = view.image(MINE).id
        own = {digest_of("local/mine/app:v1"), *map(digest_of, more)}
        return Sharing(view, who, image, own).is_shared(LAYER)

    return store.read(look)


async def test_what_one_package_needs_is_its_own(store):
    assert not is_shared(store, ALICE)


async def test_another_manifest_of_the_image_shares_unless_it_is_looked_at_too(store):
    await store.commit(package("local/mine/app", "v2", layers=(LAYER,)))

    assert is_shared(store, ALICE)
    assert not is_shared(store, ALICE, "local/mine/app:v2")


async def test_another_image_of_the_repository_shares(store):
    await store.commit(blob("local/mine/other", "layer"))

    assert is_shared(store, ALICE)


async def test_a_repository_shares_with_whoever_may_pull_it(store):
    await store.commit(blob("local/hidden/app", "layer"))

    assert [is_shared(store, who) for who in (ADMIN, ALICE, VISITOR)] == [True, False, False]


async def test_a_repository_costs_a_step_however_many_images_of_it_have_the_digest(store):
    for number in range(20):
        await store.commit(blob(f"local/hidden/app{number}", "layer"))

    def look(view):
        before = view.steps
        found = list(iter_repositories_linking(view, LAYER))
        steps = view.steps - before
        return steps, [len(list(iter_images_linking(view, each, LAYER))) for each in found]

    steps, images = store.read(look)

    assert images == [1, 20]
    assert steps == 3


async def test_after_so_many_rows_it_looks_no_further_and_says_so(store, monkeypatch):
    monkeypatch.setattr(sharing, "MOST", 1)

    def look(view):
        asked = Sharing(view, ADMIN, view.image(MINE).id, {digest_of("local/mine/app:v1")})
        return asked.is_shared(LAYER), asked.is_cut

    await store.commit(blob("local/hidden/app", "layer"))

    assert store.read(look) == (False, True)
