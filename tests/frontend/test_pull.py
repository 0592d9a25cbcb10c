"""`frontend.registry.pull`: manifests and blobs, of nothing but the image that was asked for."""

from email import message_from_bytes
from hashlib import shake_128

import pytest

from cas.digest import Digest
from frontend.registry import pull
from index.changes import EdgeKind
from index.damage import mark_chunk, mark_hurt
from index.records import Place
from tests.frontend.world import ANONYMOUS, APP, NOW, SECRET, image_bytes, index_bytes

BASE = f"/v2/{APP}"
LARGE = shake_128(b"large").digest(300_000)
MISSING = Digest.of(b"missing")


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_a_manifest_comes_back_as_it_was_pushed(world, algorithm):
    content = image_bytes(custom={"kept": [1, 2]})
    digest = await world.put_manifest(APP, content, "v1", algorithm=algorithm)

    for reference in ("v1", str(digest), str(digest).replace(":", "%3A")):
        got = world.ask(f"{BASE}/manifests/{reference}")
        head = world.ask(f"{BASE}/manifests/{reference}", "HEAD")

        assert got.status == head.status == 200
        assert (got.body, head.body) == (content, b"")
        assert got.headers == head.headers
        assert got.headers["Docker-Content-Digest"] == str(digest)
        assert got.headers["ETag"] == f'"{digest}"'
        assert got.headers["Content-Type"] == "application/vnd.oci.image.manifest.v1+json"
        assert got.headers["Content-Length"] == str(len(content))


async def test_any_media_type_comes_back_exactly(world):
    digest = await world.put_manifest(APP, b"\0any", "v1", media_type="text/html; charset=x")

    got = world.ask(f"{BASE}/manifests/{digest}")

    assert got.body == b"\0any"
    assert got.headers["Content-Type"] == "text/html"
    assert got.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in got.headers["Content-Security-Policy"]


async def test_a_manifest_that_the_client_has_is_not_sent(world):
    digest = await world.put_manifest(APP, image_bytes(), "v1")

    for method in ("GET", "HEAD"):
        got = world.ask(f"{BASE}/manifests/v1", method, if_none_match=f'"{digest}"')

        assert (got.status, got.body) == (304, b"")
        assert got.headers["ETag"] == f'"{digest}"'
        assert "Content-Length" not in got.headers
    assert world.ask(f"{BASE}/manifests/v1", if_none_match='"other"').status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_what_is_not_there_is_unknown_by_its_kind(world, method):
    await world.put_manifest(APP, image_bytes(), "v1")

    for path in ("manifests/v2", f"manifests/{MISSING}", f"blobs/{MISSING}"):
        got = world.ask(f"{BASE}/{path}", method)
        assert got.status == 404
        if method == "GET":
            assert got.codes == [path.split("/")[0].upper().rstrip("S") + "_UNKNOWN"]
        else:
            assert got.body == b""


async def test_a_blob_is_no_manifest_but_a_manifest_is_a_blob(world):
    blob = await world.put_blob(APP, b"{}")
    manifest = await world.put_manifest(APP, image_bytes())

    assert world.ask(f"{BASE}/manifests/{blob}").codes == ["MANIFEST_UNKNOWN"]
    assert world.ask(f"{BASE}/blobs/{manifest}").body == image_bytes()


@pytest.mark.parametrize("content", [b"", b"{}", b"x" * 70_000, LARGE], ids=len)
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_a_blob_comes_back_whole(world, content, algorithm):
    digest = await world.put_blob(APP, content, algorithm=algorithm)

    got = world.ask(f"{BASE}/blobs/{digest}", who=ANONYMOUS)
    head = world.ask(f"{BASE}/blobs/{digest}", "HEAD", who=ANONYMOUS)

    assert (got.status, got.body) == (200, content)
    assert (head.status, head.body, head.headers) == (200, b"", got.headers)
    assert got.headers["Content-Length"] == str(len(content))
    assert got.headers["Content-Type"] == "application/octet-stream"
    assert got.headers["Docker-Content-Digest"] == str(digest)
    assert got.headers["Accept-Ranges"] == "bytes"
    assert got.headers["Cache-Control"] == "max-age=31536000, immutable"
    assert got.headers["Content-Disposition"] == "attachment"


@pytest.mark.parametrize("path", ["blobs", "manifests"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_what_only_another_image_holds_is_unknown(world, path, method):
    content = image_bytes(annotations={"whose": "mine"})
    digest = await world.put_manifest(SECRET, content)
    await world.put_blob(APP, b"something")

    there = world.ask(f"/v2/{SECRET}/{path}/{digest}", method)
    here = world.ask(f"{BASE}/{path}/{digest}", method)
    nowhere = world.ask(f"{BASE}/{path}/{MISSING}", method)

    assert there.status == 200
    assert here.status == 404
    assert here.body.replace(str(digest).encode(), str(MISSING).encode()) == nowhere.body


@pytest.mark.parametrize("content", [b"0123456789" * 10, LARGE], ids=len)
@pytest.mark.parametrize(
    ("header", "start", "stop"),
    [("bytes=0-9", 0, 10), ("bytes=90-", 90, None), ("bytes=-5", -5, None), ("bytes=7-7", 7, 8)],
)
async def test_one_range_is_sent_alone(world, content, header, start, stop):
    digest = await world.put_blob(APP, content)

    got = world.ask(f"{BASE}/blobs/{digest}", range=header)

    assert got.status == 206
    assert got.body == content[start:stop]
    first = start % len(content)
    assert got.headers["Content-Range"] == (
        f"bytes {first}-{first + len(got.body) - 1}/{len(content)}"
    )
    assert got.headers["Content-Length"] == str(len(got.body))


@pytest.mark.parametrize("content", [b"0123456789" * 10, LARGE], ids=len)
async def test_several_ranges_are_sent_as_parts(world, content):
    digest = await world.put_blob(APP, content)

    got = world.ask(f"{BASE}/blobs/{digest}", range="bytes=5-9, 0-1, -3")

    assert got.status == 206
    assert got.headers["Content-Length"] == str(len(got.body))
    assert "Content-Range" not in got.headers
    head = f"Content-Type: {got.headers['Content-Type']}\r\n\r\n".encode()
    parts = message_from_bytes(head + got.body).get_payload()
    size = len(content)
    assert [part["Content-Range"] for part in parts] == [
        f"bytes 5-9/{size}",
        f"bytes 0-1/{size}",
        f"bytes {size - 3}-{size - 1}/{size}",
    ]
    for wanted in (content[5:10], content[:2], content[-3:]):
        assert b"\r\n\r\n" + wanted + b"\r\n--" in got.body


async def test_more_than_sixteen_ranges_bring_everything(world):
    digest = await world.put_blob(APP, b"0123456789" * 10)

    ranges = ",".join(f"{n}-{n}" for n in range(17))

    assert world.ask(f"{BASE}/blobs/{digest}", range=f"bytes={ranges}").status == 200


@pytest.mark.parametrize("header", ["bytes=500-0", "bytes=100-", "bytes=100-200,300-"])
async def test_a_range_beyond_the_end_says_where_the_end_is(world, header):
    digest = await world.put_blob(APP, b"0123456789" * 10)

    got = world.ask(f"{BASE}/blobs/{digest}", range=header)

    assert got.status == 416
    assert got.headers["Content-Range"] == "bytes */100"
    assert got.codes == ["RANGE_INVALID"]


async def test_range_counts_for_get_and_the_same_content_only(world):
    digest = await world.put_blob(APP, b"0123456789")
    path = f"{BASE}/blobs/{digest}"

    assert world.ask(path, "HEAD", range="bytes=0-1").status == 200
    assert world.ask(path, range="bytes=0-1", if_range=f'"{digest}"').status == 206
    assert world.ask(path, range="bytes=0-1", if_range=f'"{MISSING}"').status == 200
    assert world.ask(path, range="bytes=99-", if_range=f'"{MISSING}"').status == 200
    assert world.ask(path, range="bytes=0-1", if_none_match=str(digest)).status == 304


async def test_head_and_refusals_open_no_blob(world):
    digest = await world.put_blob(APP, LARGE)
    path = f"{BASE}/blobs/{digest}"

    assert world.ask(path).slices == 1
    assert world.ask(path, "HEAD").slices == 0
    assert world.ask(path, range=f"bytes={len(LARGE)}-").slices == 0
    assert world.ask(path, if_none_match="*").slices == 0


@pytest.mark.parametrize("path", ["manifests/v1", f"blobs/{MISSING}", "tags/list"])
async def test_an_image_that_nothing_was_pushed_to_is_unknown(world, path):
    got = world.ask(f"{BASE}/{path}")

    assert (got.status, got.codes) == (404, ["NAME_UNKNOWN"])


async def test_an_index_and_its_child_come_back(world):
    child = await world.put_manifest(APP, image_bytes())
    entry = {"digest": str(child), "size": len(image_bytes())}
    index = await world.put_manifest(APP, index_bytes(entry), "v1")

    assert world.ask(f"{BASE}/manifests/v1").headers["Docker-Content-Digest"] == str(index)
    assert world.ask(f"{BASE}/manifests/{child}").status == 200


# Source: design, invariant 3: when a HEAD that answers 200 renews the lease.
@pytest.mark.parametrize(
    ("lease_left", "grace", "is_extended"),
    [
        (3600, 3600, False),  # more than half of the lease is left
        (1800, 3600, False),
        (1799, 3600, True),
        (0, 3600, True),
        (3600, 0, False),
        (0, 0, True),
    ],
)
async def test_head_renews_the_lease_of_what_nothing_refers_to(
    world, lease_left, grace, is_extended
):
    digest = await world.put_blob(APP, b"fresh", lease=3600)
    world.set_site(grace_seconds=grace, now=lambda: NOW + 3600 - lease_left)
    path = f"{BASE}/blobs/{digest}"

    extend = world.ask(path, "HEAD").extend

    assert (extend is not None) == is_extended
    assert extend is None or (extend.image, extend.digest) == (APP, digest)
    assert world.ask(path).extend is None


@pytest.mark.parametrize(("grace", "is_extended"), [(3600, False), (3599, True), (0, True)])
async def test_head_renews_what_is_referred_to_only_under_a_short_grace(world, grace, is_extended):
    blob = await world.put_blob(APP, b"{}")
    await world.put_manifest(APP, image_bytes(), "v1")
    world.set_site(grace_seconds=grace)

    for path in (f"{BASE}/blobs/{blob}", f"{BASE}/manifests/v1"):
        assert (world.ask(path, "HEAD").extend is not None) == is_extended
        assert world.ask(path).extend is None


async def test_a_read_writes_nothing(world):
    blob = await world.put_blob(APP, LARGE)
    await world.put_manifest(APP, image_bytes(), "v1")
    revision = world.store.read(lambda view: view.revision())

    for method in ("GET", "HEAD"):
        for path in (f"blobs/{blob}", "manifests/v1", "tags/list", f"referrers/{blob}"):
            world.ask(f"{BASE}/{path}", method)

    assert world.store.read(lambda view: view.revision()) == revision


# --- damage ---


async def damage_chunk(world, digest) -> None:
    """Say of the first chunk of a blob, and of the blob, that it is damaged."""
    environment = world.store._environment
    with environment.begin() as opened:
        transaction = environment.transaction(opened)
        row = transaction.object(digest.key)
        _, extent = next(transaction.iter_extents_over(row.id, 0, 1))
        assert mark_chunk(transaction, Place(extent.pack, extent.offset), NOW, "flipped")
        assert mark_hurt(transaction, digest.key, row.id, NOW, "a chunk of it is")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("headers", [{}, {"range": "bytes=0-1"}, {"if_none_match": "*"}], ids=str)
async def test_what_is_damaged_is_unknown_and_opens_nothing(world, method, headers):
    digest = await world.put_blob(APP, LARGE)
    await damage_chunk(world, digest)

    got = world.ask(f"{BASE}/blobs/{digest}", method, **headers)

    assert (got.status, got.extend, got.slices) == (404, None, 0)
    assert (b"push it again" in got.body) == (method == "GET")


@pytest.mark.parametrize("kind", [EdgeKind.CONFIG, EdgeKind.LAYER, EdgeKind.CHILD])
async def test_a_manifest_is_as_hurt_as_its_blobs_but_not_as_its_manifests(world, kind):
    hurt = await world.put_blob(APP, LARGE)
    entry = {"mediaType": "a/b", "digest": str(hurt), "size": len(LARGE)}
    match kind:
        case EdgeKind.CONFIG:
            content = image_bytes(config=entry)
        case EdgeKind.LAYER:
            content = image_bytes(layers=[entry])
        case EdgeKind.CHILD:
            content = index_bytes(entry)
    await world.put_manifest(APP, content, "v1")
    assert world.ask(f"{BASE}/manifests/v1").status == 200

    await damage_chunk(world, hurt)

    expected = 200 if kind is EdgeKind.CHILD else 404
    for method in ("GET", "HEAD"):
        assert world.ask(f"{BASE}/manifests/v1", method).status == expected


async def test_what_only_another_image_has_hurts_nobody_else(world):
    """A foreign layer has an edge and no link: whether others have it, and how, is theirs."""
    hurt = await world.put_blob(SECRET, LARGE)
    entry = {"mediaType": "a/b", "digest": str(hurt), "size": len(LARGE), "urls": ["http://x/"]}
    content = image_bytes(layers=[entry])
    await world.put_manifest(APP, content, "v1")
    await damage_chunk(world, hurt)

    assert world.ask(f"{BASE}/manifests/v1").body == content


async def test_to_look_for_damage_costs_no_step_while_there_is_none(world, monkeypatch):
    """And with some elsewhere: what is hurt, and not what the manifest needs, is walked."""
    blobs = [await world.put_blob(APP, LARGE + bytes([number])) for number in range(5)]
    entries = [{"mediaType": "a/b", "digest": str(each), "size": len(LARGE) + 1} for each in blobs]
    await world.put_manifest(APP, image_bytes(layers=entries), "v1")
    paths = [("GET", "manifests/v1"), ("HEAD", "manifests/v1"), ("HEAD", f"blobs/{blobs[0]}")]
    paths.append(("GET", f"blobs/{blobs[0]}"))

    def steps() -> list[int]:
        return [world.ask(f"{BASE}/{path}", method).steps for method, path in paths]

    sound = steps()
    await damage_chunk(world, await world.put_blob(SECRET, LARGE[::-1]))

    assert sound[:3] == [0, 0, 0]
    assert steps() == [2, 2, 0, sound[3]]
    monkeypatch.setattr(pull, "_FEW", 0)  # many are hurt: rather the manifest's children
    assert steps()[:2] == [len(blobs) + 3] * 2
    monkeypatch.undo()
    monkeypatch.setattr(pull, "is_hurt", lambda *_: False)
    monkeypatch.setattr(pull, "has_hurt_blob", lambda *_: False)
    assert steps() == sound
