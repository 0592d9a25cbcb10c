"""From damaged bytes to the images that need them."""

from cas.digest import Digest
from cas.harm import Damage, Range, harm_of, images_needing, iter_inline_harm, join
from index.changes import EdgeKind, Link, PutManifest, PutObject, SetTag
from index.records import Manifest
from tests.cas.backups import TYPE, put_manifest
from tests.cas.pushing import IMAGE, OTHER, noise, push


def extent_of(store, digest: Digest) -> Range:
    def look(view) -> Range:
        (extent,) = view.extents(view.object(digest.key).id)
        return Range(extent.pack, extent.offset, extent.offset + extent.length)

    return store.read(look)


def test_ranges_side_by_side_are_one():
    ranges = [Range(2, 0, 5), Range(1, 5, 9), Range(1, 0, 5), Range(1, 10, 12), Range(1, 7, 8)]

    assert join(ranges) == [Range(1, 0, 9), Range(1, 10, 12), Range(2, 0, 5)]


async def test_every_tag_above_is_named_and_who_has_none_by_digest(store):
    layer = await push(store, noise(100_000))
    child = await put_manifest(store, "amd64", [layer])
    content = b"an index"
    index = Digest.of(content)
    record = Manifest(media_type=TYPE, size=len(content))
    await store.commit(
        [
            PutObject(index.key, content),
            Link(IMAGE, index.key),
            PutManifest(IMAGE, index.key, record, ((child.key, EdgeKind.CHILD),), b""),
            SetTag(IMAGE, "v1", index.key),
            Link(OTHER, layer.key, 60),
        ]
    )

    (damage,) = store.read(lambda view: harm_of(view, [extent_of(store, layer)]))

    assert damage.images == (f"{IMAGE}:amd64", f"{IMAGE}:v1", f"{OTHER}@{layer}")


async def test_only_who_has_the_bytes_is_hurt(store):
    first, second = await push(store, noise(100_000, 1)), await push(store, noise(100_000, 2))
    a, b = extent_of(store, first), extent_of(store, second)
    assert a.pack == b.pack

    found = store.read(
        lambda view: harm_of(
            view, [a._replace(start=a.stop - 1), Range(b.pack, b.stop, b.stop + 9)]
        )
    )

    assert [each.images for each in found] == [(f"{IMAGE}@{first}",), ()]
    assert str(found[1]) == f"pack {b.pack:016x}, bytes 200000 to 200009: needed by nothing"


async def test_nothing_damaged_reads_nothing(store):
    def look(view) -> int:
        assert harm_of(view, []) == []
        return view.steps

    assert store.read(look) == 0


async def test_sound_inline_objects_are_sound(store):
    await push(store, b"small")
    await push(store, noise(100_000))

    assert store.read(lambda view: list(iter_inline_harm(view))) == []
    assert store.read(lambda view: images_needing(view, Digest.of(b"absent").key)) == set()
    assert str(Damage("x", ("a", "b"))) == "x: needed by a, b"
