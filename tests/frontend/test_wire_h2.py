"""h2 for those who turned it on: it answers what HTTP/1.1 answers."""

import shutil
import subprocess
import sys
import time

import pytest

from tests.e2e.programs import need
from tests.frontend.h2_client import Peer
from tests.frontend.live import BASIC, digest_of, read_to_end

CONTENT = bytes(range(256)) * 4096 + b"tail"
MANIFEST = (
    b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
)
INDEX = (b"content-type", b"application/vnd.oci.image.index.v1+json")


@pytest.fixture
def image(h2_live):
    return h2_live.image()


def test_what_was_pushed_is_pulled_whole(h2_live, image):
    digest = digest_of(CONTENT)
    with Peer(h2_live) as peer:
        pushed = peer.ask(
            "POST", f"/v2/{image}/blobs/uploads/?digest={digest}", body=CONTENT
        )  # without a Content-Length, which h2 does not need
        put = peer.ask("PUT", f"/v2/{image}/manifests/t", INDEX, body=MANIFEST)
        peer.wait(pushed, put)
        blob = peer.get(f"/v2/{image}/blobs/{digest}")
        manifest = peer.get(f"/v2/{image}/manifests/t", (b"accept", INDEX[1]))

    assert (peer.answers[pushed].status, peer.answers[put].status) == (201, 201)
    assert blob.body == CONTENT
    assert blob.fields[b"content-length"] == str(len(CONTENT)).encode()
    assert manifest.body == MANIFEST
    assert manifest.fields[b"docker-content-digest"] == digest_of(MANIFEST).encode()


def test_it_answers_as_http_1_1_does(h2_live, image):
    place = f"/v2/{image}/blobs/{h2_live.push(image, CONTENT)}"
    asked = [
        ("GET", place, {}),
        ("HEAD", place, {}),
        ("GET", place, {"Range": "bytes=5-99"}),
        ("GET", place, {"Range": "bytes=0-3,1000-1003"}),
        ("GET", place, {"Range": "bytes=99999999-"}),
        ("GET", place, {"If-None-Match": "*"}),
        ("GET", place, {"Authorization": "Basic eDp5"}),
        ("DELETE", place, {"Authorization": "Bearer x"}),
        ("GET", "/v2/", {}),
        ("GET", "/v2/", {"Authorization": "Basic eDp5"}),
        ("GET", f"/v2/{image}/tags/list", {}),
        ("GET", "/v2/local/images/a%2e%2e/tags/list", {}),
        ("GET", "/healthz", {}),
        ("GET", "/nowhere", {}),
        ("PATCH", place, {}),
    ]
    ignored = {"date", "connection", ":status"}

    with Peer(h2_live) as peer:
        for method, path, fields in asked:
            given = {"Authorization": BASIC} | fields
            told = [(name.lower().encode(), value.encode()) for name, value in given.items()]
            answer = peer.wait(peer.begin(_head(method, path) + told))[0]
            plain = h2_live.stranger.request(method, path, headers=given)
            got = {name.decode(): value.decode() for name, value in answer.fields.items()}
            assert answer.status == plain.status_code, (method, path)
            same = {k: v for k, v in got.items() if k not in ignored}
            expected = {k: v for k, v in plain.headers.items() if k not in ignored}
            if "boundary=" in same.get("content-type", ""):
                del same["content-type"], expected["content-type"]  # and so the body is another
                assert len(answer.body) == len(plain.content)
            else:
                assert bytes(answer.body) == plain.content
            assert same == expected, (method, path)


def test_many_requests_go_on_at_once(h2_live, image):
    digest = h2_live.push(image, CONTENT)
    with Peer(h2_live) as peer:
        asked = [peer.ask("GET", f"/v2/{image}/blobs/{digest}", body=b"") for _ in range(8)]
        answers = peer.wait(*asked)

    assert all(answer.body == CONTENT and answer.is_whole for answer in answers)


def test_requests_beyond_the_limit_are_refused_and_the_others_answered(h2_live, image):
    with Peer(h2_live) as peer:
        peer.h2.remote_settings.max_concurrent_streams = 1000  # as one that has not read ours
        path = f"/v2/{image}/blobs/uploads/"
        asked = [peer.ask("POST", path, body=None) for _ in range(40)]
        refused = peer.wait(*asked[32:])
        for number in asked[:32]:
            peer.send_body(number, b"")
        answers = peer.wait(*asked[:32])

    assert {answer.reset for answer in refused} == {7}  # REFUSED_STREAM: safe to be asked again
    assert {answer.status for answer in answers} == {202}


def test_a_body_is_asked_for_where_the_client_waits_for_that(h2_live, image):
    with Peer(h2_live) as peer:
        number = peer.ask(
            "POST",
            f"/v2/{image}/blobs/uploads/?digest={digest_of(b'{}')}",
            (b"expect", b"100-continue"),
            (b"content-length", b"2"),
            body=None,
        )
        while not peer.answers[number].informed:
            peer.read()
        peer.send_body(number, b"{}")
        answer = peer.wait(number)[0]

    assert (answer.informed, answer.status) == ([b"100"], 201)


@pytest.mark.parametrize("is_reset", [True, False])
def test_a_client_that_leaves_can_go_on_where_it_was(h2_live, image, is_reset):
    location = h2_live.begin(image)
    with Peer(h2_live) as peer:
        number = peer.ask("PATCH", location, body=None)
        peer.h2.send_data(number, b"x" * 10_000)
        peer.get("/healthz")  # so that it has the rest too
        if is_reset:
            peer.h2.reset_stream(number)
            peer.get("/healthz")
    for _ in range(100):
        held = h2_live.client.get(location).headers["Range"]
        if held == "0-9999":
            break
        time.sleep(0.02)

    assert held == "0-9999"


def test_without_the_setting_nobody_speaks_it(live, secure):
    assert live.exchange(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")[9:12] == b"501"
    assert secure.exchange(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")[9:12] == b"501"
    secure.trust.set_alpn_protocols(["h2", "http/1.1"])
    with secure.connect() as peer:
        assert peer.selected_alpn_protocol() == "http/1.1"


def test_with_the_setting_http_1_1_is_still_spoken(clear_h2, secure_h2):
    for sent in (b"GET /healthz", b"P", b"PRI"):
        with clear_h2.connect() as peer:  # in pieces: what looks like a preface may not be one
            peer.sendall(sent)
            peer.sendall(b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            received = read_to_end(peer)
        assert received[9:12] == (b"200" if sent.endswith(b"z") else b"400")
    secure_h2.trust.set_alpn_protocols(["http/1.1"])
    assert secure_h2.client.get("/v2/").http_version == "HTTP/1.1"


@pytest.mark.slow
def test_its_code_is_not_loaded_without_the_setting():
    code = (
        "import sys, frontend.service; assert 'frontend.server.serving' in sys.modules;"
        "print([name for name in sys.modules if name.startswith('frontend.server.h2')])"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - ours

    assert done.stdout == "[]\n"


@pytest.mark.slow
def test_curl_pushes_and_pulls(h2_live, image, tmp_path):
    need("curl", "curl")
    content, digest = _large()
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(content)
    place = f"{h2_live.url}/v2/{image}/blobs"

    pushed = _curl(h2_live, "--data-binary", f"@{source}", f"{place}/uploads/?digest={digest}")
    pulled = _curl(h2_live, "-o", str(target), f"{place}/{digest}")

    assert (pushed, pulled) == ("2 201", "2 200")
    assert target.read_bytes() == content


def _large():
    content = bytes(range(251)) * (21 << 12)
    assert len(content) > 20 << 20
    return content, digest_of(content)


def _curl(live, *arguments):
    command = [shutil.which("curl"), "--silent", "--show-error", "--insecure"]
    command += ["--http2" if live.trust else "--http2-prior-knowledge"]
    command += ["-H", f"Authorization: {BASIC}", "-H", "Content-Type: application/octet-stream"]
    command += ["-w", "%{http_version} %{http_code}", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - ours
    return done.stdout


def _head(method, path):
    return [
        (b":method", method.encode()),
        (b":scheme", b"http"),
        (b":path", path.encode()),
        (b":authority", b"x"),
    ]
