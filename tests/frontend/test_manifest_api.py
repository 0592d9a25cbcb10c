"""`GET …/manifest`: all that people ask of one manifest."""

import json

import pytest

from frontend.domain.manifests import OCI_INDEX, OCI_MANIFEST
from frontend.management import manifest_view
from tests.frontend.live import digest_of
from tests.frontend.people import detail, person, repository
from tests.frontend.test_lists import CONFIG, LAYER, described, put
from tests.frontend.world import image_json

CONTENT = {
    "os": "linux",
    "architecture": "amd64",
    "config": {"Env": ["A=1"], "Labels": {"who": "we"}},
    "history": [
        {"created_by": "COPY a /"},
        {"created_by": "ENV A=1", "empty_layer": True},
        {"created_by": "COPY b /"},
    ],
}


@pytest.fixture
def place(live):
    return repository(live)


def push_image(live, image, *tags, layers=(b"",), config=CONTENT, **more):
    """Push an image; returns its descriptor."""
    made = image_json(
        config=described(live, image, json.dumps(config).encode(), CONFIG),
        layers=[described(live, image, layer, LAYER) for layer in layers],
    )
    return put(live, image, json.dumps(made | more).encode(), OCI_MANIFEST, tags)


def push_index(live, image, *tags, manifests):
    content = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}
    return put(live, image, json.dumps(content).encode(), OCI_INDEX, tags)


def attach(live, image, subject, kind, **annotations):
    return push_image(
        live,
        image,
        layers=(kind.encode(),),
        config={},
        subject={key: subject[key] for key in ("mediaType", "digest", "size")},
        artifactType=kind,
        annotations=annotations,
    )


def ask(client, place, image, reference, **options):
    return client.get(
        f"/api/v1/repositories/{place}/manifest",
        params={"image": image, "reference": reference},
        **options,
    )


def shown(live, place, image, reference, client=None):
    answer = ask(client or live.client, place, image, reference)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_an_image_is_shown_with_its_config_and_the_line_of_each_layer(live, place):
    pushed = push_image(live, f"{place}/team/app", "v1", "latest", layers=(b"a" * 10, b"b" * 20))

    found = shown(live, place, "team/app", "v1")

    assert (found["digest"], found["tag"], found["tags"]) == (
        pushed["digest"],
        "v1",
        ["latest", "v1"],
    )
    assert found["platforms"] == ["linux/amd64"]
    assert found["config"]["content"]["env"] == ["A=1"]
    assert found["config"]["content"]["labels"] == {"who": "we"}
    assert [(each["size"], each["created_by"]) for each in found["layers"]] == [
        (10, "COPY a /"),
        (20, "COPY b /"),
    ]
    assert digest_of(found["raw"].encode()) == pushed["digest"]
    assert not found["is_cut"]


def test_a_digest_names_it_too(live, place):
    pushed = push_image(live, f"{place}/app")

    found = shown(live, place, "app", pushed["digest"])

    assert (found["digest"], found["tag"], found["tags"]) == (pushed["digest"], None, [])


def test_an_index_has_its_platforms_and_is_named_by_them(live, place):
    child = push_image(live, f"{place}/app")
    platform = {"os": "linux", "architecture": "arm", "variant": "v7"}
    missing = {"mediaType": OCI_MANIFEST, "digest": digest_of(b"?"), "size": 7, "urls": ["x:y"]}
    index = push_index(
        live, f"{place}/app", "v1", manifests=[child | {"platform": platform}, missing]
    )

    found = shown(live, place, "app", "v1")

    assert [(each["platform"], each["is_here"]) for each in found["manifests"]] == [
        ("linux/arm/v7", True),
        ("", False),
    ]
    assert found["total"] == index["size"] + shown(live, place, "app", child["digest"])["total"]
    assert shown(live, place, "app", child["digest"])["indexes"] == [index["digest"]]


def test_what_refers_to_it_is_told_by_its_kind(live, place):
    subject = push_image(live, f"{place}/app", "v1")
    attach(live, f"{place}/app", subject, "application/spdx+json", by="us")
    attach(live, f"{place}/app", subject, "application/vnd.in-toto+json")
    tag = subject["digest"].replace(":", "-") + ".sig"
    push_image(live, f"{place}/app", tag, layers=(b"sig",), config={})

    found = shown(live, place, "app", "v1")["referrers"]

    assert sorted(each["kind"] for each in found) == ["attestation", "sbom", "signature"]
    (sbom,) = [each for each in found if each["kind"] == "sbom"]
    assert (sbom["annotations"], sbom["tag"]) == ({"by": "us"}, None)
    (signature,) = [each for each in found if each["kind"] == "signature"]
    assert signature["tag"] == tag
    assert shown(live, place, "app", sbom["digest"])["subject"] == subject["digest"]


def test_bytes_are_shared_with_another_manifest_of_the_image(live, place):
    base, own = place.encode() * 10, place.encode()
    push_image(live, f"{place}/app", "v1", layers=(base, own), config={"of": place})
    push_image(live, f"{place}/app", "v2", layers=(base,), config={"other": 1})

    found = shown(live, place, "app", "v1")

    assert [each["is_shared"] for each in found["layers"]] == [True, False]
    assert found["shared"] == len(base)
    assert found["own"] + found["shared"] == found["total"]


def test_bytes_are_not_said_to_be_shared_with_what_the_reader_may_not_pull(live, place):
    hidden, layer = repository(live), place.encode() * 11
    push_image(live, f"{place}/app", "v1", layers=(layer,), config={"place": place})
    push_image(live, f"{hidden}/app", "v1", layers=(layer,))
    reader = person(live)
    reader.grant(place, "reader")

    seen = ask(live.stranger, place, "app", "v1", auth=reader.auth).json()

    assert (seen["shared"], shown(live, place, "app", "v1")["shared"]) == (0, len(layer))
    reader.grant(hidden, "reader")
    assert ask(live.stranger, place, "app", "v1", auth=reader.auth).json()["shared"] == len(layer)


def test_looking_for_what_shares_ends(live, place, monkeypatch):
    monkeypatch.setattr("frontend.access.sharing.MOST", 2)
    push_image(live, f"{place}/app", "v1", layers=(b"1", b"2", b"3"), config={"place": place})

    assert shown(live, place, "app", "v1")["is_cut"]


def test_lists_end(live, place, monkeypatch):
    monkeypatch.setattr(manifest_view, "TAGS", 1)
    monkeypatch.setattr(manifest_view, "LAYERS", 1)
    push_image(live, f"{place}/app", "v1", "v2", layers=(b"1", b"2"))

    found = shown(live, place, "app", "v1")

    assert (len(found["tags"]), len(found["layers"]), found["is_cut"]) == (1, 1, True)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"[1]", b'{"config":[[]],"history":{"a":1}}']
)
def test_a_config_that_is_none_hurts_nothing(live, place, content):
    image = f"{place}/app"
    made = image_json(config=described(live, image, content, CONFIG), layers=[])
    put(live, image, json.dumps(made).encode(), OCI_MANIFEST, ["v1"])

    found = shown(live, place, "app", "v1")["config"]

    assert found["size"] == len(content)
    assert found["content"] is None or found["content"]["env"] == []


def test_a_manifest_that_is_no_text_is_shown_without_it(live, place):
    put(live, f"{place}/app", b"\xff\xfe", "application/x-own", ["v1"])

    found = shown(live, place, "app", "v1")

    assert (found["raw"], found["layers"], found["config"], found["size"]) == (None, [], None, 2)


@pytest.mark.parametrize(
    ("image", "reference", "status"),
    [
        ("nothing", "v1", 404),
        ("app", "v2", 404),
        ("app", "sha256:" + "0" * 64, 404),
        ("App", "v1", 400),
        ("app", "sha256:x", 400),
        ("app", "../v1", 400),
    ],
)
def test_what_is_not_there_is_told_from_what_cannot_be(live, place, image, reference, status):
    push_image(live, f"{place}/app", "v1")

    answer = ask(live.client, place, image, reference)

    assert answer.status_code == status
    assert detail(answer)
