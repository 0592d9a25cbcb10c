"""The page of a manifest: images, indexes, artifacts, and what strangers push to look like more."""

import json
import re

import pytest

from frontend.domain.manifests import OCI_MANIFEST
from tests.frontend.live import digest_of
from tests.frontend.people import repository
from tests.frontend.test_lists import described, put
from tests.frontend.test_manifest_api import CONTENT, attach, push_image, push_index
from tests.frontend.world import image_json

ARM = {"os": "linux", "architecture": "arm64"}
AMD = {"os": "linux", "architecture": "amd64"}
EVIL = '"><script>alert(1)</script>'


def page(visitor, place, rest, status=200, **query):
    answer = visitor.get(f"/r/{place}/{rest}", params=query)
    assert answer.status_code == status, answer.text
    return answer.text


@pytest.fixture
def place(live):
    return repository(live)


@pytest.fixture
def admin(visitors):
    return visitors["admin"]


def test_an_image_shows_layers_with_their_lines_and_how_it_runs(live, admin, place):
    pushed = push_image(live, f"{place}/team/app", "v1", "latest", layers=(b"a" * 10, b"b" * 40))

    found = page(admin, place, "team/app:v1")

    for text in ("2 layers", "COPY a /", "COPY b /", "A=1", "linux/amd64", pushed["digest"]):
        assert text in found
    assert 'width="25.0"' in found
    assert f'href="/r/{place}/team/app:latest"' in found
    assert "docker pull" in found
    assert "style=" not in found


def test_by_its_digest_it_is_pulled_by_that(live, admin, place):
    pushed = push_image(live, f"{place}/app", "v1")

    found = page(admin, place, f"app@{pushed['digest']}")

    assert re.search(rf"docker pull [a-z0-9.:]+/{place}/app@{pushed['digest']}", found)


def test_an_index_opens_at_the_usual_platform_and_switches(live, admin, place):
    arm = push_image(live, f"{place}/app", layers=(b"for arm",), config=CONTENT | ARM)
    amd = push_image(live, f"{place}/app", layers=(b"for amd",), config=CONTENT | AMD)
    children = [arm | {"platform": ARM}, amd | {"platform": AMD}]
    push_index(live, f"{place}/app", "v1", manifests=children)

    usual, other = (
        page(admin, place, "app:v1"),
        page(admin, place, "app:v1", platform=arm["digest"]),
    )

    assert digest_of(b"for amd") in usual
    assert digest_of(b"for arm") not in usual
    assert ", of the <bdi>" not in usual
    for text in ("of linux/amd64", "of the index"):
        assert f"JSON, indented<bdi>, {text}</bdi>" in usual
    assert usual.count(amd["digest"]) > other.count(amd["digest"]) > 0  # in the index's JSON
    assert digest_of(b"for arm") in other
    link = f'href="/r/{place}/app:v1?platform={arm["digest"].replace(":", "%3A")}"'
    assert f"{link}>linux/arm64" in usual
    assert f'{link} aria-current="true">linux/arm64' in other


def test_an_index_whose_platforms_are_not_here_says_so(live, admin, place):
    missing = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": digest_of(b"elsewhere"),
        "size": 9,
        "urls": ["https://example.invalid/x"],
        "platform": ARM,
    }
    push_index(live, f"{place}/app", "v1", manifests=[missing])

    found = page(admin, place, "app:v1")

    assert "linux/arm64: not here" in found
    assert "None of its platforms is here" in found


def test_what_is_about_it_is_listed_and_leads_back(live, admin, place):
    subject = push_image(live, f"{place}/app", "v1")
    bill = attach(live, f"{place}/app", subject, "application/spdx+json", by="us")

    found = page(admin, place, "app:v1")

    assert '<span class="badge">sbom</span>' in found
    assert f'href="/r/{place}/app@{bill["digest"]}"' in found
    about = page(admin, place, f"app@{bill['digest']}")
    assert f'href="/r/{place}/app@{subject["digest"]}"' in about
    assert "oras pull" in about


def test_texts_of_strangers_are_text(live, admin, place):
    config = {
        "architecture": EVIL,
        "os": EVIL,
        "author": EVIL,
        "config": {
            "Env": [EVIL],
            "Labels": {EVIL: EVIL, "source": "javascript:alert(1)", "home": "https://ok.invalid/"},
            "Entrypoint": [EVIL],
        },
        "history": [{"created_by": EVIL}],
    }
    subject = push_image(live, f"{place}/app", "v1", config=config, annotations={EVIL: EVIL})
    attach(live, f"{place}/app", subject, "application/spdx+json", evil=EVIL)

    found = page(admin, place, "app:v1")

    assert "<script>alert" not in found
    assert 'href="javascript:' not in found.lower()
    assert '<a href="https://ok.invalid/" rel="noopener noreferrer nofollow">' in found
    assert "<dt><bdi>source</bdi></dt><dd><bdi>javascript:alert(1)</bdi></dd>" in found


def test_marks_that_turn_text_around_are_isolated(live, admin, place):
    turned = "\N{RIGHT-TO-LEFT OVERRIDE}gnp.exe"
    push_image(live, f"{place}/app", "v1", config={"config": {"Labels": {"name": turned}}})

    found = page(admin, place, "app:v1")

    assert f"<dd><bdi>{turned}</bdi></dd>" in found


def test_a_reader_sees_it_and_a_stranger_does_not(live, visitors, team):
    push_image(live, f"{team}/secret", "v1")

    assert "docker pull" in page(visitors["reader"], team, "secret:v1")
    assert "docker pull" not in page(visitors["stranger"], team, "secret:v1", status=404)
    assert visitors["anonymous"].get(f"/r/{team}/secret:v1").status_code == 303


@pytest.mark.parametrize("rest", ["app:v2", "nothing:v1", f"app@{digest_of(b'?')}"])
def test_what_is_not_there_is_told_with_a_page(live, admin, place, rest):
    push_image(live, f"{place}/app", "v1")

    assert "There is nothing here" in page(admin, place, rest, status=404)


def test_a_digest_that_can_be_none_is_told_with_a_page(live, admin, place):
    assert "could not be understood" in page(admin, place, "app@sha256:0", status=400)


def test_a_chart_is_fetched_by_helm_and_shows_what_it_says_of_itself(live, admin, place):
    image = f"{place}/chart"
    kind = "application/vnd.cncf.helm.config.v1+json"
    about = json.dumps({"name": "app", "description": "a chart"}).encode()
    made = image_json(config=described(live, image, about, kind), layers=[])
    put(live, image, json.dumps(made).encode(), OCI_MANIFEST, ["1.2.3"])

    found = page(admin, place, "chart:1.2.3")

    assert f"/{image} --version 1.2.3" in found
    assert "docker pull" not in found
    assert "<bdi>a chart</bdi>" in found
