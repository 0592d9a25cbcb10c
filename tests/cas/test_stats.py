from cas.verbs import Owner
from tests.cas.pushing import OTHER, OWNER, REPOSITORY, fill, noise, push


async def test_an_empty_store_saves_nothing(store):
    stats = await store.stats()

    assert (stats.logical, stats.stored, stats.objects) == (0, 0, 0)
    assert stats.dedup_ratio == 1.0
    assert stats.disk > 0


async def test_what_two_images_share_is_stored_once(store):
    content = noise(1 << 20)
    await push(store, content)
    await push(store, content, Owner(OTHER, "admin"))
    await push(store, b"inline")

    stats = await store.stats()

    assert stats.objects == 2
    assert stats.logical == stats.stored == len(content) + len(b"inline")
    assert [(each.name, each.linked, each.images) for each in stats.repositories] == [
        (REPOSITORY, len(content) + len(b"inline"), 2)
    ]


async def test_repeated_content_is_a_saving(store):
    await push(store, bytes(4 << 20))

    stats = await store.stats()

    assert stats.logical == 4 << 20
    assert stats.dedup_ratio >= 16


async def test_uploads_under_way_are_counted(store):
    await fill(store, noise(100_000), OWNER)

    assert (await store.stats()).uploads == 1
