"""`frontend.registry.discovery`: pages that cost what they hold."""

import json
from itertools import chain
from urllib.parse import urlsplit

import pytest

from cas.digest import Digest
from index import keys
from index.changes import ImageName, PutRepository
from index.records import Repository, Tag
from tests.frontend.world import ADMIN, ANONYMOUS, APP, SECRET, STRANGER, image_bytes

BASE = f"/v2/{APP}"
SUBJECT = Digest.of(b"subject")


def follow(world, path, query="", **options):
    """All pages from the first, by their Link headers."""
    while True:
        got = world.ask(path, query=query, **options)
        assert got.status == 200
        yield got
        if "Link" not in got.headers:
            return
        target = urlsplit(got.headers["Link"].partition(">")[0][1:])
        assert target.path == path
        query = target.query


async def test_tags_come_in_byte_order(world):
    tags = ["b", "a", "B", "_", "1", "a-1", "a.1", "a_1"]
    await world.put_manifest(APP, image_bytes(), *tags)

    got = world.ask(f"{BASE}/tags/list")

    assert got.json == {"name": str(APP), "tags": sorted(tags)}
    assert "Link" not in got.headers
    assert world.ask(f"{BASE}/tags/list", "HEAD").headers == got.headers


async def test_pages_of_tags_are_all_the_tags_once(world):
    tags = sorted(f"v{n}" for n in range(25))
    await world.put_manifest(APP, image_bytes(), *tags)

    pages = [got.json["tags"] for got in follow(world, f"{BASE}/tags/list", "n=10")]

    assert [len(page) for page in pages] == [10, 10, 5]
    assert list(chain(*pages)) == tags
    assert len(list(follow(world, f"{BASE}/tags/list", "n=25"))) == 1


@pytest.mark.parametrize(
    ("query", "tags"),
    [
        ("n=0", []),
        ("last=b", ["c"]),
        ("last=bb", ["c"]),
        ("last=zzz", []),
        ("last=%00", ["a", "b", "c"]),
        ("last=" + "z" * 5000, []),
        ("n=1&last=a", ["b"]),
        ("n=2147483647", ["a", "b", "c"]),
    ],
)
async def test_last_need_not_exist_and_is_not_listed(world, query, tags):
    await world.put_manifest(APP, image_bytes(), "a", "b", "c")

    got = world.ask(f"{BASE}/tags/list", query=query)

    assert got.json["tags"] == tags
    assert ("Link" in got.headers) == (query == "n=1&last=a")


async def test_an_image_without_tags_has_an_empty_list(world):
    await world.put_blob(APP, b"{}")

    assert world.ask(f"{BASE}/tags/list").json == {"name": str(APP), "tags": []}


@pytest.mark.parametrize("query", ["n=-1", "n=x"])
@pytest.mark.parametrize("path", [f"{BASE}/tags/list", "/v2/_catalog"])
async def test_a_bad_number_is_refused(world, path, query):
    await world.put_blob(APP, b"{}")

    got = world.ask(path, query=query)

    assert (got.status, got.codes) == (400, ["PAGINATION_NUMBER_INVALID"])


@pytest.mark.parametrize("query", ["n=100", "n=100&last=t050000", "n=100&last=t0500001", "n=0"])
async def test_a_page_of_100000_tags_costs_the_page(world, query):
    digest = await world.put_manifest(APP, image_bytes(), "latest")

    def fill(transaction):
        image = transaction.image(APP)
        value = Tag(digest=digest.key).encode()
        for number in range(100_000):
            transaction.put("tag", keys.tag(image.id, f"t{number:06}"), value)

    await world.store._writer.write(fill)

    got = world.ask(f"{BASE}/tags/list", query=query)

    limit = len(got.json["tags"])
    assert limit == (0 if query == "n=0" else 100)
    assert got.steps <= limit + 2


NAMES = [
    "local/a/x",
    "local/a/x/y",
    "local/a/x-1",
    "local/a-b/x",
    "local/a-b-c/x",
    "local/a-b/z",
    "local/a.b/x",
    "local/ab/x",
    "local/a-b.c/x",
    "local/b/x",
]


async def fill_catalog(world):
    repositories = {name.rsplit("/", name.count("/") - 1)[0] for name in NAMES}
    for repository in repositories:
        visibility = "public" if "b" in repository else "private"
        await world.store.commit([PutRepository(repository, Repository(visibility=visibility))])
    for name in NAMES:
        storage, repository, path = name.split("/", 2)
        await world.put_blob(ImageName(f"{storage}/{repository}", path), b"{}")


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_the_catalog_lists_full_names_in_byte_order(world, limit):
    await fill_catalog(world)

    pages = [got.json["repositories"] for got in follow(world, "/v2/_catalog", f"n={limit}")]

    assert list(chain(*pages)) == sorted(NAMES)
    assert all(len(page) <= limit for page in pages)


async def test_the_catalog_goes_on_from_any_text(world):
    await fill_catalog(world)
    names = sorted(NAMES)
    lasts = ["", "a", "local", "local/", "z", "-x", "/", "//", "local//x", ".", "local/a-zz", "\0"]
    lasts += [name + end for name in names for end in ("", "0", "-", "/")]
    lasts += [name[:length] for name in names for length in range(1, len(name))]

    for last in lasts:
        query = "last=" + "".join(f"%{byte:02x}" for byte in last.encode())
        got = world.ask("/v2/_catalog", query=query)
        assert got.json["repositories"] == [name for name in names if name > last], last


async def test_the_catalog_names_no_repository_that_the_caller_may_not_pull(world):
    await fill_catalog(world)
    public = sorted(name for name in NAMES if "b" in name.split("/")[1])

    assert world.ask("/v2/_catalog", who=STRANGER).json["repositories"] == public
    assert world.ask("/v2/_catalog", who=ANONYMOUS).status == 401
    assert world.ask("/v2/_catalog", query="n=0").json == {"repositories": []}


async def test_a_page_of_the_catalog_costs_the_page(world):
    for number in range(60):
        await world.put_blob(ImageName("local/public", f"i{number:03}"), b"{}")

    around = 2 + 2 * 2  # the page's ends, and two steps for each repository
    assert world.ask("/v2/_catalog", query="n=10").steps <= 10 + around
    assert world.ask("/v2/_catalog", query="n=10&last=local/public/i020").steps <= 10 + around


async def test_referrers_are_listed_with_their_descriptors(world):
    first = await world.put_signature(APP, SUBJECT, "a/sig", who="eve")
    second = await world.put_signature(APP, SUBJECT, "a/sbom")
    await world.put_signature(APP, Digest.of(b"another"), "a/sig")

    got = world.ask(f"{BASE}/referrers/{SUBJECT}")

    assert got.headers["Content-Type"] == "application/vnd.oci.image.index.v1+json"
    assert "OCI-Filters-Applied" not in got.headers
    assert got.json["schemaVersion"] == 2
    assert got.json["mediaType"] == got.headers["Content-Type"]
    listed = {entry["digest"]: entry for entry in got.json["manifests"]}
    assert listed.keys() == {str(first), str(second)}
    assert listed[str(first)]["annotations"] == {"who": "eve"}
    assert listed[str(second)]["artifactType"] == "a/sbom"
    manifest = world.ask(f"{BASE}/manifests/{first}")
    assert listed[str(first)]["size"] == len(manifest.body)


async def test_referrers_can_be_filtered_by_type(world):
    wanted = await world.put_signature(APP, SUBJECT, "a/sig+x")
    await world.put_signature(APP, SUBJECT, "a/sbom")

    got = world.ask(f"{BASE}/referrers/{SUBJECT}", query="artifactType=a%2Fsig%2Bx")
    none = world.ask(f"{BASE}/referrers/{SUBJECT}", query="artifactType=a/other")

    assert [entry["digest"] for entry in got.json["manifests"]] == [str(wanted)]
    assert got.headers["OCI-Filters-Applied"] == "artifactType"
    assert none.json["manifests"] == []
    assert none.headers["OCI-Filters-Applied"] == "artifactType"


async def test_what_has_no_referrers_has_an_empty_list(world):
    unknown = [f"{BASE}/referrers/{SUBJECT}", f"/v2/local/none/app/referrers/{SUBJECT}"]
    for path in unknown:
        got = world.ask(path)
        assert (got.status, got.json["manifests"]) == (200, [])
    await world.put_blob(APP, b"{}")
    assert world.ask(unknown[0]).json["manifests"] == []


async def test_referrers_of_a_private_image_are_private(world):
    await world.put_signature(SECRET, SUBJECT, "a/sig")
    path = f"/v2/{SECRET}/referrers/{SUBJECT}"

    assert world.ask(path, who=ANONYMOUS).status == 401
    assert world.ask(path, who=STRANGER).status == 404
    assert len(world.ask(path, who=ADMIN).json["manifests"]) == 1


@pytest.mark.parametrize("query", ["", "artifactType=a%2Fbig"])
async def test_a_page_of_referrers_has_four_mebibytes_at_most(world, query):
    pushed = [
        await world.put_signature(APP, SUBJECT, "a/big", text=str(number) * 900_000)
        for number in range(9)
    ]

    pages = list(follow(world, f"{BASE}/referrers/{SUBJECT}", query))

    assert len(pages) == 3
    assert all(len(got.body) <= 4 << 20 for got in pages)
    listed = [entry["digest"] for got in pages for entry in got.json["manifests"]]
    assert sorted(listed) == sorted(map(str, pushed))
    assert all(("OCI-Filters-Applied" in got.headers) == bool(query) for got in pages)


@pytest.mark.parametrize("last", ["x", "0", "f" * 10_000, "%C3%A4"])
async def test_a_cursor_that_we_never_gave_is_refused(world, last):
    await world.put_signature(APP, SUBJECT, "a/sig")

    got = world.ask(f"{BASE}/referrers/{SUBJECT}", query=f"last={last}")

    assert got.status == 400


@pytest.mark.parametrize("last", ["00", "ff" * 73])
async def test_any_cursor_of_the_right_form_is_a_place(world, last):
    await world.put_signature(APP, SUBJECT, "a/sig")

    got = world.ask(f"{BASE}/referrers/{SUBJECT}", query=f"last={last}")

    assert len(got.json["manifests"]) == (1 if last == "00" else 0)


async def test_there_are_no_extensions_yet(world):
    for path in ("/v2/_oci/ext/discover", f"{BASE}/_oci/ext/discover"):
        assert world.ask(path).json == {"extensions": []}
    assert json.loads(world.ask("/v2/").body) == {}
