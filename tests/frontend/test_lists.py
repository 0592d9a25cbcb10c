"""Lists of packages and images, over the wire."""

import json
from itertools import count

import pytest

from cas.digest import Digest
from cas.errors import Busy
from frontend.domain.manifests import OCI_INDEX, OCI_MANIFEST
from index.changes import DropPackage
from tests.frontend.live import digest_of
from tests.frontend.world import image_json

CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
WAYS = ("asc", "desc")
_numbers = count(1)


@pytest.fixture
def repository(live):
    name = f"local/listed-{next(_numbers)}"
    live.create_repository(name)
    return name


def described(live, image, content, media_type):
    digest = live.push(image, content)
    return {"mediaType": media_type, "digest": digest, "size": len(content)}


def push(live, image, *tags, layers=(), **platform):
    """Push an image; returns its descriptor."""
    config = json.dumps(platform | {"unique": next(_numbers)}).encode()
    content = json.dumps(
        image_json(
            config=described(live, image, config, CONFIG),
            layers=[described(live, image, layer, LAYER) for layer in layers],
        )
    ).encode()
    whole = len(content) + len(config) + sum(map(len, layers))
    return put(live, image, content, OCI_MANIFEST, tags) | {"whole": whole}


def put(live, image, content, media_type, tags=()):
    digest = digest_of(content)
    answer = live.client.put(
        f"/v2/{image}/manifests/{digest}",
        params=[("tag", tag) for tag in tags],
        content=content,
        headers={"Content-Type": media_type},
    )
    assert answer.status_code == 201, answer.text
    return {"mediaType": media_type, "digest": digest, "size": len(content)}


def listed(live, repository, what="packages", **query):
    answer = live.client.get(f"/api/v1/repositories/{repository}/{what}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def names(page):
    return [(item["image"], item["tag"]) for item in page["items"]]


def test_a_tag_is_listed_with_all_that_people_ask_of_it(live, repository):
    made = push(
        live,
        f"{repository}/app",
        "v1",
        layers=[b"x" * 100],
        os="linux",
        architecture="arm",
        variant="v7",
    )

    page = listed(live, repository)

    (item,) = page["items"]
    assert page | {"items": []} == {"page": 1, "per_page": 100, "total": 1, "items": []}
    assert item.pop("pushed_at").endswith("Z")
    assert item == {
        "image": "app",
        "tag": "v1",
        "digest": made["digest"],
        "media_type": OCI_MANIFEST,
        "artifact_type": CONFIG,
        "size": made["whole"],
        "platforms": ["linux/arm/v7"],
        "pushed_by": "admin",
        "pulled_at": None,
        "signed": False,
    }


def test_packages_come_by_path_then_tags_then_manifests_without_one(live, repository):
    push(live, f"{repository}/b", "x")
    bare = push(live, f"{repository}/a")
    push(live, f"{repository}/a/c", "v1")
    push(live, f"{repository}/a-b", "v1")
    push(live, f"{repository}/a", "v2", "B", "v10")

    page = listed(live, repository)

    assert names(page) == [
        ("a", "B"),
        ("a", "v10"),
        ("a", "v2"),
        ("a", None),
        ("a-b", "v1"),
        ("a/c", "v1"),
        ("b", "x"),
    ]
    assert page["items"][3]["digest"] == bare["digest"]
    assert names(listed(live, repository, order="desc")) == names(page)[::-1]
    assert names(listed(live, repository, image="a")) == names(page)[:4]
    assert names(listed(live, repository, image="a", order="desc")) == names(page)[3::-1]
    assert listed(live, repository, image="nothing")["total"] == 0


def test_pages_of_any_order_are_cut_by_rank(live, repository):
    for number in range(5):
        push(live, f"{repository}/app", f"v{number}", layers=[b"x" * (50 - 10 * number)])

    orders = ("name", "version", "pushed_at", "size")
    of_app = [{"image": "app", "sort": sort, "order": way} for sort in orders for way in WAYS]
    for query in ({}, {"sort": "size"}, {"sort": "pushed_at"}, {"q": "v"}, *of_app):
        whole = names(listed(live, repository, **query))
        pages = [listed(live, repository, page=page, per_page=2, **query) for page in (1, 2, 3, 4)]

        assert [name for page in pages for name in names(page)] == whole
        assert {page["total"] for page in pages} == {5}
        assert len(whole) == 5


def test_sizes_order_packages_of_the_repository_and_of_one_image(live, repository):
    for image, number in (("a", 30), ("b", 20), ("a", 10)):
        push(live, f"{repository}/{image}", f"t{number}", layers=[b"x" * 100 * number])

    def tags(**query):
        return [tag for _, tag in names(listed(live, repository, sort="size", **query))]

    assert tags() == ["t10", "t20", "t30"]
    assert tags(order="desc") == ["t30", "t20", "t10"]
    assert tags(image="a") == ["t10", "t30"]
    assert tags(image="a", order="desc", per_page=1) == ["t30"]
    assert tags(q="T2", order="desc") == ["t20"]
    assert tags(image="none") == []


def test_a_filter_finds_text_in_image_and_tag_whatever_its_case(live, repository):
    push(live, f"{repository}/web/front", "v1", "RC-2")
    push(live, f"{repository}/api", "v1-front")

    def found(q, **more):
        return names(listed(live, repository, q=q, **more))

    assert found("front") == [("api", "v1-front"), ("web/front", "RC-2"), ("web/front", "v1")]
    assert found("FRONT:rc") == [("web/front", "RC-2")]
    assert found("rc-2", sort="pushed_at", order="desc") == [("web/front", "RC-2")]
    assert found("front", image="api") == [("api", "v1-front")]
    assert found("front", order="desc")[0] == ("web/front", "v1")
    assert found("nothing") == found("a\nb") == []


def test_an_index_has_its_platforms_and_the_size_of_its_manifests(live, repository):
    image = f"{repository}/multi"
    children = [
        push(live, image, os="linux", architecture=each, layers=[each.encode()])
        for each in ("amd64", "arm64")
    ]
    platforms = [{"os": "linux", "architecture": each} for each in ("amd64", "arm64")]
    entries = [
        {key: child[key] for key in ("mediaType", "digest", "size")} | {"platform": platform}
        for child, platform in zip(children, platforms, strict=True)
    ]
    unknown = {"platform": {"os": "unknown", "architecture": "unknown"}}
    attestation = put(
        live,
        image,
        json.dumps(image_json()).encode() if live.push(image, b"{}") else b"",
        OCI_MANIFEST,
    )
    content = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [*entries, attestation | unknown],
        }
    ).encode()
    put(live, image, content, OCI_INDEX, ["latest"])

    found = {item["tag"]: item for item in listed(live, repository)["items"] if item["tag"]}
    total = len(content) + sum(child["whole"] for child in children) + attestation["size"] + 2

    assert found["latest"]["platforms"] == ["linux/amd64", "linux/arm64"]
    assert found["latest"]["size"] == total
    assert listed(live, repository)["total"] == 4  # its manifests have no tag: they are listed too


def test_a_manifest_whose_last_tag_moved_away_is_listed_by_itself(live, repository):
    image = f"{repository}/app"
    first = push(live, image, "latest")
    second = push(live, image, "latest")

    page = listed(live, repository)

    assert [(item["tag"], item["digest"]) for item in page["items"]] == [
        ("latest", second["digest"]),
        (None, first["digest"]),
    ]
    deletion = {"items": [{"image": "app", "tag": "latest"}]}
    path = f"/api/v1/repositories/{repository}/packages"
    assert live.client.request("DELETE", path, json=deletion).status_code == 200
    assert names(listed(live, repository)) == [("app", None)]


def test_images_are_listed_by_name_and_none_hides_what_is_below_it(live, repository):
    push(live, f"{repository}/a/b", "v1", "v2", layers=[b"layer"])
    made = push(live, f"{repository}/a", "v1", layers=[b"layer"])
    push(live, f"{repository}/c")
    live.push(f"{repository}/only-a-blob", b"blob")

    page = listed(live, repository, "images")

    assert [(item["image"], item["tags"]) for item in page["items"]] == [
        ("a", 1),
        ("a/b", 2),
        ("c", 0),
    ]
    assert page["items"][0]["size"] == made["whole"]
    assert page["items"][0]["updated_at"].endswith("Z")
    second = listed(live, repository, "images", page=2, per_page=2)
    assert (second["total"], [item["image"] for item in second["items"]]) == (3, ["c"])


def test_what_a_list_cannot_be_asked_is_said(live, repository):
    path = f"/api/v1/repositories/{repository}/packages"

    for query in ({"sort": "age"}, {"order": "up"}, {"filter": "x"}, {"page": 0}, {"q": "x" * 513}):
        answer = live.client.get(path, params=query)
        assert answer.status_code == 400, query
        assert answer.headers["Content-Type"] == "application/problem+json"


def test_more_packages_than_a_page_are_not_deleted_at_once(live, repository):
    path = f"/api/v1/repositories/{repository}/packages"
    digest = str(Digest.of(b"x", "sha512"))
    most = [{"image": "a" * 200, "digest": digest}] * 1000

    answers = [
        live.client.request("DELETE", path, json={"items": items})
        for items in (most, [*most, most[0]])
    ]

    assert [answer.status_code for answer in answers] == [200, 400]
    assert len(answers[0].json()["missing"]) == 1000
    assert "1000" in answers[1].json()["detail"]


def test_what_fails_is_told_beside_what_was_deleted_in_the_order_of_the_call(
    live, repository, monkeypatch
):
    store = live.registry.store
    commit = store.commit

    async def commit_some(changes, expectations=()):
        if any(isinstance(each, DropPackage) and each.tag == "v2" for each in changes):
            raise Busy("the queue")
        return await commit(changes, expectations)

    for number in range(6):
        push(live, f"{repository}/app", f"v{number}")
    items = [{"image": "app", "tag": f"v{number}"} for number in (5, 2, 0, 9, 1, 8, 3)]
    monkeypatch.setattr(store, "commit", commit_some)

    answer = live.client.request(
        "DELETE", f"/api/v1/repositories/{repository}/packages", json={"items": items}
    )

    assert answer.status_code == 200
    found = answer.json()
    assert [each["tag"] for each in found["deleted"]] == ["v5", "v0", "v1", "v3"]
    assert [each["tag"] for each in found["missing"]] == ["v9", "v8"]
    assert found["rejected"] == [items[1] | {"reason": str(Busy("the queue"))}]


def test_the_tags_of_one_image_may_be_in_the_order_of_their_versions(live, repository):
    push(live, f"{repository}/app", "v1.9", "v1.10", "v1.10-rc1", "latest")
    push(live, f"{repository}/app")
    push(live, f"{repository}/app/more", "v1.11")

    def tags(**query):
        page = listed(live, repository, image="app", sort="version", **query)
        return [tag for _, tag in names(page)]

    assert tags() == ["latest", "v1.9", "v1.10-rc1", "v1.10", None]
    assert tags(order="desc") == ["v1.10", "v1.10-rc1", "v1.9", "latest", None]
    assert tags(order="desc", page=2, per_page=2) == ["v1.9", "latest"]
    assert tags(q="v1.10") == ["v1.10-rc1", "v1.10"]
    answer = live.client.get(f"/api/v1/repositories/{repository}/packages?sort=version")
    assert answer.status_code == 400


def test_a_page_by_time_is_cut_from_whichever_end_is_nearer(live, repository):
    for number in range(7):
        push(live, f"{repository}/app", f"v{number}")
        push(live, f"{repository}/other", f"v{number}")

    for way in WAYS:
        asked = {"image": "app", "sort": "pushed_at", "order": way}
        whole = names(listed(live, repository, **asked))
        pages = [listed(live, repository, page=each, per_page=3, **asked) for each in (1, 2, 3, 4)]

        assert [name for page in pages for name in names(page)] == whole
        assert len(whole) == 7


@pytest.mark.parametrize("way", ["a referrer", "a tag", "something else"])
def test_a_package_is_signed_when_its_image_holds_a_signature_of_it(live, repository, way):
    image = f"{repository}/app"
    made = push(live, image, "v1")
    subject = {name: made[name] for name in ("mediaType", "digest", "size")}
    if way == "a tag":
        push(live, image, made["digest"].replace(":", "-") + ".sig")
    else:
        kind = "application/vnd.dev.cosign.artifact.sig.v1+json" if way == "a referrer" else "x/y"
        config = described(live, image, b"{}", "application/vnd.oci.empty.v1+json")
        content = json.dumps(image_json(config=config, subject=subject, artifactType=kind)).encode()
        put(live, image, content, OCI_MANIFEST)

    found = {item["tag"]: item["signed"] for item in listed(live, repository)["items"]}

    assert found["v1"] is (way != "something else")


@pytest.fixture
def tree(live, repository):
    """Images of which one has others below it."""
    for image in ("a", "a/b", "a/b/c", "a-b", "d/e"):
        push(live, f"{repository}/{image}", "v1")
    return repository


def test_images_are_listed_below_a_path_by_text_or_one_by_itself(live, tree):
    def images(**query):
        return [item["image"] for item in listed(live, tree, "images", **query)["items"]]

    assert images() == ["a", "a-b", "a/b", "a/b/c", "d/e"]
    assert images(under="a") == images(under="/a/") == ["a/b", "a/b/c"]
    assert images(q="B") == ["a-b", "a/b", "a/b/c"]
    assert images(under="a/b", q="b") == []  # the text is looked for below the path
    assert images(image="a/b") == ["a/b"]
    assert images(image="a/nothing") == images(image="d") == []


def test_a_folder_has_each_name_once_whether_it_is_an_image_or_has_some_below_it(live, tree):
    def folder(**query):
        page = listed(live, tree, "folder", **query)
        return [
            (item["path"], item["image"] and item["image"]["image"], item["images_below"])
            for item in page["items"]
        ]

    assert folder() == [("a", "a", 2), ("a-b", "a-b", 0), ("d", None, 1)]
    assert folder(under="a") == [("a/b", "a/b", 1)]
    assert folder(under="d") == [("d/e", "d/e", 0)]
    assert folder(under="a-b") == folder(under="nothing") == []
    assert folder(page=2, per_page=2) == [("d", None, 1)]
    whole = listed(live, tree, "images")["items"]
    assert listed(live, tree, "folder")["size"] == sum(item["size"] for item in whole)
    assert listed(live, tree, "folder", per_page=1)["total"] == 3
