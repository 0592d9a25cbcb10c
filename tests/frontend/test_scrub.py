"""Damage over the wire: never a whole answer, soon as good as unknown, and mended by a push."""

import json
from http import HTTPStatus

import httpx
import pytest

from cas import layout
from cas.digest import Digest
from frontend.domain.manifests import OCI_INDEX, OCI_MANIFEST
from frontend.main import main
from tests.cas.damaging import marked, place_of
from tests.frontend.live import codes, digest_of, wait_until
from tests.frontend.spoiling import (
    KIB,
    blob_path,
    document,
    layer,
    put,
    scrub,
    serving_spoilt,
    spoil,
    spoil_in_index,
    status,
    store_of,
)


@pytest.fixture
def server(tmp_path):
    with serving_spoilt(tmp_path / "data") as live:
        yield live


# --- a reader meets it ---


def test_what_a_reader_met_is_unknown_a_moment_later_and_comes_again(server):
    image, content = server.image(), layer()
    server.push(image, content)
    spoil(server, content)
    path = f"/v2/{blob_path(image, content)}"

    with pytest.raises(httpx.RemoteProtocolError):
        server.client.get(path)
    wait_until(lambda: server.client.head(path).status_code == 404)
    refused = server.client.get(path)
    ranged = server.client.get(path, headers={"Range": "bytes=0-9"})

    assert (refused.status_code, codes(refused)) == (404, ["BLOB_UNKNOWN"])
    assert "push it again" in refused.json()["errors"][0]["message"]
    assert ranged.status_code == 404
    server.push(image, content)
    assert server.client.get(path).content == content
    assert scrub(server)["standing"] == 0


def test_who_pushes_it_right_after_a_broken_pull_mends_it(server):
    """Nobody has told of the damage yet but the reader."""
    image, content = server.image(), layer()
    server.push(image, content)
    spoil(server, content)
    with pytest.raises(httpx.RemoteProtocolError):
        server.client.get(f"/v2/{blob_path(image, content)}")

    server.push(image, content)

    assert server.client.get(f"/v2/{blob_path(image, content)}").content == content


@pytest.mark.parametrize("size", [40, 120])
def test_a_push_in_parts_mends_whoever_has_the_same_bytes(server, size):
    one, other = server.image(), server.image()
    content = layer()
    sharing = content[: size * KIB] + content[size * KIB :] + layer(50 * KIB)
    for image in (one, other):
        server.push(image, content)
        server.push(image, sharing)
    spoil(server, content, 10 * KIB)
    assert scrub(server)["standing"] == 1
    assert [status(server, "HEAD", blob_path(other, each)) for each in (content, sharing)] == [
        404,
        404,
    ]

    location = server.begin(one)
    for start in range(0, len(content), size * KIB):
        part = content[start : start + size * KIB]
        answer = server.client.patch(
            location,
            content=part,
            headers={"Content-Range": f"{start}-{start + len(part) - 1}"},
        )
        assert answer.status_code == 202
        location = answer.headers["Location"]
    put_answer = server.client.put(location, params={"digest": digest_of(content)})

    assert put_answer.status_code == 201
    for image in (one, other):
        assert server.client.get(f"/v2/{blob_path(image, content)}").content == content
        path = f"/v2/{blob_path(image, sharing)}"
        wait_until(lambda path=path: server.client.head(path).status_code == 200)
        assert server.client.get(path).content == sharing


def test_what_is_hurt_is_not_mounted(server):
    source, target, content = server.image(), server.image(), layer()
    server.push(source, content)
    mount = {"mount": digest_of(content), "from": source}
    spoil(server, content)
    scrub(server)

    refused = server.client.post(f"/v2/{target}/blobs/uploads/", params=mount)
    anywhere = server.client.post(
        f"/v2/{target}/blobs/uploads/", params={"mount": digest_of(content)}
    )

    assert (refused.status_code, anywhere.status_code) == (202, 202)
    server.push(source, content)
    assert server.client.post(f"/v2/{target}/blobs/uploads/", params=mount).status_code == 201


# --- manifests ---


def test_a_manifest_is_as_hurt_as_its_layers_and_an_index_is_not(server):
    image, config, hurt = server.image(), layer(100), layer()
    manifest = document(config, hurt)
    for blob in (config, hurt):
        server.push(image, blob)
    assert put(server, image, manifest).status_code == 201
    child = {
        "mediaType": OCI_MANIFEST,
        "digest": digest_of(manifest),
        "size": len(manifest),
        "platform": {"os": "linux", "architecture": "amd64"},
    }
    index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [child]}).encode()
    assert put(server, image, index, "index").status_code == 201
    spoil(server, hurt)
    scrub(server)

    by_tag = server.client.get(f"/v2/{image}/manifests/latest")
    again = put(server, image, manifest, "other")

    assert (by_tag.status_code, codes(by_tag)) == (404, ["MANIFEST_UNKNOWN"])
    assert status(server, "HEAD", f"{image}/manifests/{digest_of(manifest)}") == 404
    assert status(server, "HEAD", f"{image}/manifests/index") == 200
    assert status(server, "HEAD", blob_path(image, config)) == 200
    assert (again.status_code, codes(again)) == (400, ["MANIFEST_BLOB_UNKNOWN"])
    assert again.json()["errors"][0]["detail"]["digest"] == digest_of(hurt)
    server.push(image, hurt)
    assert put(server, image, manifest, "other").status_code == 201
    assert server.client.get(f"/v2/{image}/manifests/latest").content == manifest


@pytest.mark.parametrize("is_blob_first", [False, True])
def test_a_manifest_that_is_damaged_is_put_again(server, is_blob_first):
    image = server.image()
    manifest = json.dumps(
        {"schemaVersion": 2, "mediaType": "a/b", "annotations": {"a": "b" * 100_000}}
    ).encode()
    if is_blob_first:  # then it lies in a pack
        server.push(image, manifest)
    assert put(server, image, manifest).status_code == 201
    if is_blob_first:
        spoil(server, manifest, 50_000)
    else:
        spoil_in_index(server, manifest)
    assert scrub(server)["standing"] == 1

    refused = server.client.get(f"/v2/{image}/manifests/latest")

    assert (refused.status_code, codes(refused)) == (404, ["MANIFEST_UNKNOWN"])
    assert status(server, "HEAD", f"{image}/manifests/{digest_of(manifest)}") == 404
    assert put(server, image, manifest).status_code == 201
    assert server.client.get(f"/v2/{image}/manifests/latest").content == manifest
    assert scrub(server)["standing"] == 0


# --- the API and the command ---


def test_scrubs_are_for_administrators(live):
    assert live.stranger.post("/api/v1/scrub").status_code == 401
    assert live.stranger.get("/api/v1/scrub").status_code == 401


@pytest.mark.parametrize("body", [{"rate": 1}, {"bytes_per_second": -1}, {"bytes_per_second": "x"}])
def test_a_body_that_is_none_is_refused(live, body):
    assert live.client.post("/api/v1/scrub", json=body).status_code == HTTPStatus.BAD_REQUEST


def test_a_report_names_what_is_hurt_and_is_kept(server):
    image, content = server.image(), layer()
    server.push(image, content)
    assert put(server, image, document(content)).status_code == 201
    spoil(server, content)

    answer = server.client.post("/api/v1/scrub", headers={"Accept": "application/x-ndjson"})
    lines = [json.loads(line) for line in answer.text.splitlines()]
    state = server.client.get("/api/v1/scrub").json()

    report = lines[-1]["report"]
    assert (report["found"], report["standing"]) == (1, 1)
    assert report["damaged"][0].endswith(f"needed by {image}:latest")
    assert {"progress"} == {name for line in lines[:-1] for name in line}
    assert state["is_running"] is False
    assert [each["images"] for each in state["damaged"]] == [[f"{image}:latest"]]
    assert [(run["found"], run["is_asked"], run["error"]) for run in state["runs"]] == [
        (1, True, None)
    ]


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    code = 0
    try:
        main([*arguments])
    except SystemExit as ended:
        code = int(ended.code or 0)
    return code, *capsys.readouterr()


def test_the_command_fails_while_something_is_damaged(server, capsys):
    image, content = server.image(), layer()
    server.push(image, content)
    data = str(server.server.data)

    sound = run(capsys, "scrub", "--data", data, "--rate", "1000")
    spoil(server, content)
    hurt = run(capsys, "scrub", "--data", data)
    as_json = run(capsys, "scrub", "--data", data, "--json")

    assert sound[0] == 0
    assert "0 damaged" in sound[1]
    assert hurt[0] == 1
    assert f"needed by {image}@{digest_of(content)}" in hurt[1]
    assert (as_json[0], json.loads(as_json[1])["standing"]) == (1, 1)


@pytest.mark.parametrize("rate", ["-1", "nan", "x"])
def test_a_rate_that_is_none_is_refused(capsys, rate):
    assert run(capsys, "scrub", "--rate", rate)[0] == 2


def test_without_a_server_the_command_says_so(tmp_path, capsys):
    code, _, error = run(capsys, "scrub", "--data", str(tmp_path))

    assert code == 1
    assert "no server" in error


def test_one_whose_client_has_left_hurries_up_for_the_next(server):
    image = server.image()
    for _ in range(6):
        server.push(image, layer(4 << 20))
    slow = {"bytes_per_second": 1000}  # hours
    with server.client.stream(
        "POST", "/api/v1/scrub", json=slow, headers={"Accept": "application/x-ndjson"}
    ) as answer:
        next(answer.iter_lines())
    assert server.client.get("/api/v1/scrub").json()["is_running"]

    report = scrub(server)

    assert (report["standing"], report["found"]) == (0, 0)
    runs = server.client.get("/api/v1/scrub").json()["runs"]
    assert [run["error"] for run in runs] == [None, None]


def test_a_missing_pack_hurts_all_that_it_had_and_comes_back(server):
    image, contents = server.image(), [layer() for _ in range(3)]
    for content in contents:
        server.push(image, content)

    async def pack():
        return place_of(store_of(server), Digest.parse(digest_of(contents[0])))[0]

    path = layout.pack_path(server.server.data, server.run(pack))
    path.rename(server.server.data / "away")
    assert scrub(server)["standing"] > 0
    assert {status(server, "HEAD", blob_path(image, each)) for each in contents} == {404}
    (server.server.data / "away").rename(path)

    assert scrub(server)["standing"] == 0

    async def rows():
        return marked(store_of(server))

    assert server.run(rows) == {}
    for content in contents:
        assert server.client.get(f"/v2/{blob_path(image, content)}").content == content
