"""What a search finds on one snapshot, and what it tells of what the caller may not pull."""

import re
from functools import partial
from itertools import combinations

import pytest

from frontend.domain.manifests import OCI_INDEX
from frontend.domain.search import Subject, parse_query
from frontend.search import find as finding
from frontend.search.hits import Hits
from frontend.search.searcher import find
from index import keys
from index.changes import SetTag, Unlink
from index.environment import open_environment
from index.records import Usage
from tests.frontend.searching import (
    ADMIN,
    ALICE,
    VISITOR,
    blob,
    count_steps,
    digest_of,
    grant,
    image_name,
    package,
    repositories,
    row,
    rows,
    search,
    wanted,
)
from tests.index.tables import commit, write

APP, TOOL, SECRET = "local/images/team/app", "local/images/tool", "local/secret/team/app"
PUBLIC = "docker/hub/library/nginx"
LAYER = "a layer that some have"
SIGNED = f"sha256-{digest_of('x')[1:].hex()}.sig"


@pytest.fixture
async def store(world):
    """Four images in three repositories, one of them public, one that alice knows nothing of."""
    store = world.store
    await store.commit(
        [
            *repositories("local/images", "local/secret"),
            *repositories("docker/hub", visibility="public"),
            *blob(APP, LAYER),
            *blob(SECRET, LAYER),
            *package(APP, "v1.0", "latest", layers=[digest_of(LAYER)]),
            *package(APP, "v2.0-RC1"),
            *package(APP, text="untagged"),
            *package(TOOL, "1.0", artifact_type="application/vnd.cncf.helm.config.v1+json"),
            *package(SECRET, "v1.0", "hidden"),
            *package(PUBLIC, "1.25", media_type=OCI_INDEX, artifact_type=""),
            *package(PUBLIC, "1.25-arm", text="arm", algorithm="sha512"),
            *package(PUBLIC, SIGNED, text="signature"),
        ]
    )
    await store.commit(grant(store, "local/images"))
    return store


# --- names ---


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("tool", rows("image", TOOL)),
        ("TEAM/APP", rows("image", APP, SECRET)),
        ("images/team", rows("image", APP)),
        ("local/images/", rows("image", APP, TOOL)),
        ("rc1", rows("tag", f"{APP}:v2.0-RC1")),
        ("v2 rc1", rows("tag", f"{APP}:v2.0-RC1")),
        ("v2 secret", []),
        ("secret v1", rows("tag", f"{SECRET}:v1.0")),
        ("1.0", rows("tag", f"{TOOL}:1.0", f"{APP}:v1.0", f"{SECRET}:v1.0")),  # a whole tag first
        ("1x0", []),
        ("(v|1).*", []),
        ("tag:latest", rows("tag", f"{APP}:latest")),
        ("tag:team", []),
        ("image:local", []),
        ("image:app", rows("image", APP, SECRET)),
        ("image:app tag:v1", rows("tag", f"{APP}:v1.0", f"{SECRET}:v1.0")),
        ("repository:hub", rows("image", PUBLIC)),
        ("storage:docker", rows("image", PUBLIC)),
        ("storage:doc tag:arm", rows("tag", f"{PUBLIC}:1.25-arm")),
        ("team/app:v1.0", rows("tag", f"{APP}:v1.0", f"{SECRET}:v1.0")),
        ("hub lib", rows("image", PUBLIC)),
        ("hub nothing", []),
        ("absent", []),
    ],
)
async def test_names_are_found_by_their_parts(store, query, expected):
    assert search(store, query) == expected


async def test_an_image_comes_once_and_before_tags(store):
    await store.commit(package("local/images/nginx", "nginx-1", "other"))

    assert search(store, "nginx") == [
        *rows("image", PUBLIC, "local/images/nginx"),
        *rows("tag", "local/images/nginx:nginx-1"),
    ]


async def test_an_image_that_is_only_being_pushed_is_none(store):
    await store.commit(blob("local/images/begun", "the first layer"))

    assert search(store, "begun") == search(store, "image:begun") == []


# --- digests ---


def hex_of(key):
    return key[1:].hex()


@pytest.mark.parametrize("digits", [6, 7, 8, 31, 63, 64])
@pytest.mark.parametrize("form", ["{}", "digest:{}", "sha256:{}", "digest:sha256:{}"])
async def test_a_manifest_is_found_by_the_beginning_of_its_digest(store, digits, form):
    text = hex_of(digest_of(f"{APP}:v1.0,latest"))[:digits]

    for typed in (text, text.upper()):
        assert search(store, form.format(typed)) == rows("tag", f"{APP}:latest", f"{APP}:v1.0")


async def test_a_manifest_without_tags_is_found_as_itself(store):
    (item,) = store.read(partial(find, wanted=wanted(hex_of(digest_of("untagged"))))).items

    assert row(item) == ("manifest", APP, None)
    assert item.digest == f"sha256:{hex_of(digest_of('untagged'))}"


@pytest.mark.parametrize("digits", [6, 7, 64, 65, 127, 128])
async def test_digests_of_512_bits_are_found_too(store, digits):
    text = hex_of(digest_of("arm", "sha512"))[:digits]

    assert search(store, text) == rows("tag", f"{PUBLIC}:1.25-arm")
    assert search(store, f"sha512:{text}") == rows("tag", f"{PUBLIC}:1.25-arm")
    if digits <= 64:
        assert search(store, f"sha256:{text}") == []


async def test_a_layer_is_found_by_a_long_beginning_of_its_digest(store):
    text = hex_of(digest_of(LAYER))

    assert search(store, text) == rows("blob", APP, SECRET)
    assert search(store, text[:12]) == rows("blob", APP, SECRET)
    assert search(store, text[:11]) == []
    assert search(store, f"{text} image:app repository:images") == rows("blob", APP)
    assert search(store, f"{text} tag:v1") == []


async def test_a_digest_is_narrowed_by_other_terms(store):
    text = hex_of(digest_of(f"{APP}:v1.0,latest"))[:9]

    assert search(store, f"{text} latest") == rows("tag", f"{APP}:latest")
    assert search(store, f"digest:{text} tag:v1") == rows("tag", f"{APP}:v1.0")
    assert search(store, f"digest:{text} storage:docker") == []


async def test_a_word_of_hexadecimal_digits_is_a_word_as_well(store):
    text = hex_of(digest_of("untagged"))[:6]
    await store.commit(package(TOOL, f"build-{text}", text="other"))

    assert search(store, text) == [
        *rows("tag", f"{TOOL}:build-{text}"),
        *rows("manifest", APP),
    ]


# --- types ---


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("type:chart", rows("tag", f"{TOOL}:1.0")),
        ("type:index", rows("tag", f"{PUBLIC}:1.25")),
        ("type:signature", rows("tag", f"{PUBLIC}:{SIGNED}")),
        ("type:sbom", []),
        ("type:helm", rows("tag", f"{TOOL}:1.0")),
        ("type:index nginx", rows("tag", f"{PUBLIC}:1.25")),
        ("type:chart nginx", []),
        (
            "type:image repository:images",
            [
                *rows("tag", f"{APP}:latest", f"{APP}:v1.0", f"{APP}:v2.0-RC1"),
                *rows("manifest", APP),
            ],
        ),
        ("type:image tag:25", rows("tag", f"{PUBLIC}:1.25-arm")),
    ],
)
async def test_types_narrow(store, query, expected):
    assert search(store, query) == expected


async def test_what_is_told_of_a_result(store):
    (item,) = store.read(partial(find, wanted=wanted("tag:latest"))).items

    assert (item.repository, item.image, item.tag) == ("local/images", "team/app", "latest")
    assert item.digest == f"sha256:{hex_of(digest_of(f'{APP}:v1.0,latest'))}"
    assert item.media_type == "application/vnd.oci.image.manifest.v1+json"
    assert item.artifact_type == "application/vnd.oci.image.config.v1+json"
    assert item.pushed_at.endswith("Z")
    assert item.size > 0


# --- rights ---

HIDDEN = [
    "secret",
    "hidden",
    "tag:hidden",
    "repository:secret",
    "secret v1",
    hex_of(digest_of(f"{SECRET}:v1.0,hidden")),
    hex_of(digest_of(f"{SECRET}:v1.0,hidden"))[:6],
    f"digest:{hex_of(digest_of(f'{SECRET}:v1.0,hidden'))[:7]}",
    "type:image repository:secret",
]


@pytest.mark.parametrize("who", [ALICE, VISITOR], ids=["alice", "visitor"])
@pytest.mark.parametrize("query", HIDDEN)
async def test_what_is_hidden_is_as_what_is_absent(store, who, query):
    absent = re.sub("secret", "absent", re.sub("hidden", "absent", query))
    absent = re.sub("[0-9a-f]{6,}", lambda match: "f" * len(match[0]), absent)

    assert search(store, query) != []
    hidden, missing = (count_steps(store, each, who) for each in (query, absent))

    assert hidden == missing, "the answer and the steps are the same"
    assert hidden[0].items == ()
    assert hidden[0].total == 0


def test_a_count_that_is_wrong_shows_nothing_of_the_next_repository(tmp_path):
    with open_environment(tmp_path) as environment:
        commit(
            environment,
            [
                *repositories("local/images", "local/secret"),
                *package(APP, "v1"),
                *package(f"{SECRET}-2", "v1"),
            ],
        )
        commit(environment, grant(environment, "local/images"))
        too_much = Usage(1, 9, 9).encode()
        write(environment, lambda t: t.put("usage", keys.u32(1), too_much))

        assert search(environment, "image:app", ALICE) == rows("image", APP)
        assert search(environment, "type:image", ALICE) == rows("tag", f"{APP}:v1")


async def test_everybody_finds_what_he_may_pull(store):
    assert search(store, "app", ALICE) == rows("image", APP)
    assert search(store, "v1", ALICE) == rows("tag", f"{APP}:v1.0")
    assert search(store, hex_of(digest_of(LAYER)), ALICE) == rows("blob", APP)
    assert search(store, "nginx", VISITOR) == rows("image", PUBLIC)
    assert search(store, "1.2", VISITOR) == rows("tag", f"{PUBLIC}:1.25", f"{PUBLIC}:1.25-arm")
    assert search(store, "local", VISITOR) == []


async def test_a_search_costs_what_the_caller_may_pull(store):
    many = [f"local/other-{number}" for number in range(1000)]
    before = [count_steps(store, query, ALICE)[1] for query in ("app", "v1", "abcdef", "type:x")]
    await store.commit(repositories(*many))
    await store.commit(
        [change for name in many[::10] for change in package(f"{name}/app", "v1", text=name)]
    )

    after = [count_steps(store, query, ALICE)[1] for query in ("app", "v1", "abcdef", "type:x")]

    assert after == before
    assert max(after) < 40


# --- order, pages, bounds ---


async def test_pages_are_parts_of_one_order(store):
    await store.commit(
        [each for number in range(7) for each in package(TOOL, f"p{number}", text=f"p{number}")]
    )
    whole = search(store, "p")

    pages = [search(store, "p", page=page, size=3) for page in range(1, 6)]

    assert [each for page in pages for each in page] == whole
    assert pages[-1] == []
    assert {
        store.read(partial(find, wanted=wanted("p", page=n, size=3))).total for n in (1, 9)
    } == {len(whole)}


async def test_the_total_is_exact_up_to_a_bound(store, monkeypatch):
    await store.commit(
        [each for number in range(5) for each in package(TOOL, f"p{number}", text=f"p{number}")]
    )
    found = {}
    for most in (4, 5, 6):
        monkeypatch.setattr(finding, "Hits", partial(Hits, most))
        answer = store.read(partial(find, wanted=wanted("tag:p")))
        found[most] = (answer.total, answer.is_cut)

    assert found == {4: (4, True), 5: (5, False), 6: (5, False)}


async def test_images_are_complete_when_tags_are_not(store, monkeypatch):
    names = [f"local/images/p{number}" for number in range(3)]
    await store.commit([each for name in names for each in package(name, "p1", "p2", text=name)])
    monkeypatch.setattr(finding, "Hits", partial(Hits, 3))

    found = store.read(partial(find, wanted=wanted("p1")))

    assert [row(item) for item in found.items] == [
        *rows("image", names[1]),
        *rows("tag", *(f"{name}:p1" for name in names)),
    ]
    assert not found.is_cut
    both = store.read(partial(find, wanted=wanted("images/p p")))
    assert [row(item) for item in both.items][:3] == rows("image", *names)
    assert (both.total, both.is_cut) == (6, True)
    assert search(store, "images/p") == rows("image", *names)


async def test_an_image_with_many_tags_is_found_once(store):
    await store.commit(
        [each for n in range(600) for each in package("local/images/big", f"t{n}", text=f"big{n}")]
    )

    assert search(store, "big") == rows("image", "local/images/big")
    assert len(search(store, "big t59", size=1000)) == 11
    assert search(store, "big t599") == rows("tag", "local/images/big:t599")


async def test_what_is_deleted_is_found_no_more(store):
    await store.commit([SetTag(image_name(APP), "latest", None)])
    assert search(store, "latest") == []

    await store.commit([Unlink(image_name(TOOL), digest_of(f"{TOOL}:1.0"))])
    assert search(store, "tool") == []


# --- against every package, one after the other ---

PARTS = [
    "app",
    "v1",
    "team/app",
    "local",
    "images/t",
    "1.",
    "rc",
    "hub/",
    "r",
    "library/nginx:1",
    "tag:1",
]
PARTS += ["type:image", "type:chart", "image:t", "storage:local", "repository:i", '"a"', "latest"]
PARTS += [hex_of(digest_of("untagged"))[:6], "digest:" + hex_of(digest_of("arm", "sha512"))[:8]]


async def test_a_search_finds_what_every_package_asked_alone_would_say(store):
    queries = [" ".join(words) for count in (1, 2, 3) for words in combinations(PARTS, count)]

    for text in [*queries[:250], *queries[250::7]]:
        query = parse_query(text)
        for who in (ADMIN, ALICE):
            expected = store.read(partial(_asked, query, who))
            assert sorted(search(store, text, who), key=str) == sorted(expected, key=str), text


def _asked(query, who, view):
    """Ask each image and each package of the store."""
    found = []
    for name, record in view.iter_repositories():
        if who is ALICE and name.endswith(("secret", "private")):
            continue
        for path, image in view.iter_images(record.id):
            full = f"{name}/{path}"
            is_image = all(term.holds_of_image(name, path) for term in query.terms)
            if is_image and image.manifests and query.admits(name):
                found.append(("image", full, None))
            for digest, manifest in view.iter_manifests(image.id):
                types = (manifest.media_type, manifest.artifact_type)
                tags = list(view.iter_tags_of(image.id, digest))
                found += [
                    ("tag" if tag else "manifest", full, tag or None)
                    for tag in tags or [""]
                    if query.lists(Subject(name, path, tag, digest, *types))
                ]
    return found
