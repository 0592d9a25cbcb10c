"""`GET /api/v1/search`, over the wire."""

import hashlib
import json
import threading

import pytest

from cas.errors import Busy
from frontend.domain.faults import TooManyRequests
from frontend.domain.search_faults import SearchTooBroad
from frontend.search import searcher
from frontend.search.pace import Pace
from tests.frontend.live import PATIENCE_SECONDS
from tests.frontend.people import bearer, detail, person, repository

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def push(live, name, tag):
    """A manifest that no other has; returns its digest."""
    config = live.push(name, b"{}")
    content = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": config,
            "size": 2,
        },
        "layers": [],
        "annotations": {"name": f"{name}:{tag}"},
    }
    body = json.dumps(content).encode()
    path = f"/v2/{name}/manifests/{tag}"
    answer = live.client.put(path, content=body, headers={"Content-Type": MANIFEST})
    assert answer.status_code == 201, answer.text
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def ask(client, q, **more):
    answer = client.get("/api/v1/search", params={"q": q} | more)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_what_was_pushed_is_found_and_told(live):
    name = repository(live)
    digest = push(live, f"{name}/team/app", "v7-Final")

    found = ask(live.client, f"repository:{name} FINAL")

    assert {key: found[key] for key in found if key != "items"} == {
        "page": 1,
        "per_page": 100,
        "total": 1,
        "total_is_lower_bound": False,
    }
    (item,) = found["items"]
    assert item.pop("pushed_at").endswith("Z")
    assert item.pop("size") > 0
    assert item == {
        "kind": "tag",
        "repository": name,
        "image": "team/app",
        "tag": "v7-Final",
        "digest": digest,
        "media_type": MANIFEST,
        "artifact_type": "application/vnd.oci.image.config.v1+json",
    }
    assert ask(live.client, digest)["items"][0]["tag"] == "v7-Final"
    image = ask(live.client, f"repository:{name}")["items"]
    assert image == [dict.fromkeys(item) | {"kind": "image", "repository": name,
                     "image": "team/app", "pushed_at": None, "size": None}]  # fmt: skip


def test_pages_are_cut_as_in_every_list(live):
    name = repository(live)
    for tag in ("a1", "a2", "a3"):
        push(live, f"{name}/app", tag)

    pages = [ask(live.client, f"repository:{name} tag:a", page=n, per_page=2) for n in (1, 2, 3)]

    assert [[item["tag"] for item in page["items"]] for page in pages] == [["a1", "a2"], ["a3"], []]
    assert {page["total"] for page in pages} == {3}


def test_the_private_is_to_others_as_if_it_were_not(live):
    private, public = repository(live), repository(live, "public")
    digests = [push(live, f"{name}/app", "hushed") for name in (private, public)]
    somebody, reader = person(live), person(live)
    reader.grant(private, "reader")
    token = reader.make_token(scopes=[{"repository": public, "actions": ["pull"]}])["token"]
    secret, open_ = private.rpartition("/")[2], public.rpartition("/")[2]

    def seen(query, client=live.stranger, **options):
        answer = client.get("/api/v1/search", params={"q": query}, **options)
        return answer.content.replace(secret.encode(), b"~"), len(answer.json()["items"])

    for options in ({}, {"auth": somebody.auth}, {"headers": bearer(token)}):
        for query in (
            secret,
            f"{secret} hushed",
            digests[0],
            digests[0][7:13],
            f"type:image {secret}",
        ):
            missing = query.replace(secret, "absent-one").replace(digests[0][7:13], "0" * 6)
            assert seen(query, **options)[0] == seen(missing, **options)[0]
        assert seen(open_, **options)[1] == 1
        assert seen(f"{open_} hushed", **options)[1] == 1
    assert seen(f"{secret} hushed", auth=reader.auth)[1] == 1
    assert seen(f"{secret} hushed", live.client)[1] == 1


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({}, "q"),
        ({"q": ""}, "asks for nothing"),
        ({"q": "tga:x"}, "did you mean tag:"),
        ({"q": "x" * 301}, "300"),
        ({"q": "x", "page": "0"}, "page"),
        ({"q": "x", "colour": "red"}, "colour"),
    ],
)
def test_what_cannot_be_searched_for_is_400_and_says_why(live, parameters, said):
    answer = live.stranger.get("/api/v1/search", params=parameters)

    assert answer.status_code == 400
    assert said in detail(answer)


def test_wrong_credentials_are_refused_and_not_taken_for_none(live):
    answer = live.stranger.get("/api/v1/search", params={"q": "x"}, auth=("admin", "wrong"))

    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (SearchTooBroad(2), 422, "narrow it"),
        (TooManyRequests(retry_after=1), 429, ""),
        (Busy("the disk"), 503, "try again"),
    ],
)
def test_what_ends_a_search_is_answered_as_itself(live, monkeypatch, error, status, said):
    def fail(_view, _wanted, _pace):
        raise error

    monkeypatch.setattr(searcher, "find", fail)

    answer = live.stranger.get("/api/v1/search", params={"q": "x"})

    assert answer.status_code == status
    assert said in detail(answer)


def test_the_search_of_a_client_that_left_stops(live, monkeypatch):
    begun, stopped = threading.Event(), threading.Event()

    def endless(_view, _wanted, pace):
        begun.set()
        try:
            while True:
                pace.rest()
        finally:
            stopped.set()

    monkeypatch.setattr(searcher, "find", endless)
    monkeypatch.setattr(Pace.__init__, "__kwdefaults__", Pace.__init__.__kwdefaults__ | {
        "budget": 10 * PATIENCE_SECONDS})  # fmt: skip

    with live.connect() as peer:
        peer.sendall(b"GET /api/v1/search?q=x HTTP/1.1\r\nHost: x\r\n\r\n")
        assert begun.wait(PATIENCE_SECONDS)

    assert stopped.wait(PATIENCE_SECONDS)
