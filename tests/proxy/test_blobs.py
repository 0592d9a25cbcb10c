"""Blobs of upstreams that do wrong: right bytes go out, or none that are kept."""

import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from cas.digest import Digest
from cas.uploads import staging
from cas.verbs import Adopt, Owner
from tests.frontend.live import codes, digest_of, wait_until
from tests.frontend.sources import Gate, cut, reset, saying, silent, source
from tests.proxy.pulling import SIZE, is_kept, layer, proxy_of, take, uploads
from tests.upstream.faulty import answer


@pytest.fixture(scope="module", params=["http", "https"])
def sources(request, own_pair):
    """An upstream: what comes under TLS goes another way through this process."""
    context = None
    if request.param == "https":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(own_pair.certificate, own_pair.key)
    with source(context=context) as made:
        yield made


@pytest.mark.slow
def test_a_blob_that_is_cut_short_is_gone_on_with_and_one_answer_has_it_all(live, far, proxy):
    content = layer()
    digest = far.blob(content)
    far.misbehave("GET", digest, cut(content, 100_000, said=SIZE), cut(content, 150_000, said=SIZE))

    status, body, is_whole = take(live, f"/v2/{proxy}/app/blobs/{digest}")

    assert (status, body == content, is_whole) == (200, True, True)
    ranges = [each.headers.get("range") for each in far.asked("GET", digest)]
    assert ranges == [None, "bytes=100000-", "bytes=150000-"]


def test_a_blob_whose_connection_is_reset_is_gone_on_with(live, far, proxy):
    content = layer()
    digest = far.blob(content)
    far.misbehave("GET", digest, reset(content, 70_000))

    status, body, is_whole = take(live, f"/v2/{proxy}/app/blobs/{digest}")

    assert (status, body == content, is_whole) == (200, True, True)
    assert far.asked("GET", digest)[1].headers["range"].startswith("bytes=")


@pytest.mark.slow
def test_a_blob_that_is_always_cut_short_ends_the_connection_and_is_not_kept(live, far, proxy):
    content = layer()
    digest = far.blob(content)
    far.always("GET", digest, cut(content, 100_000, said=SIZE))
    path = f"/v2/{proxy}/app/blobs/{digest}"

    status, body, is_whole = take(live, path)

    assert (status, is_whole) == (200, False)
    assert content.startswith(body)
    assert not is_kept(live, content)
    assert uploads(live) == []
    far.well()
    assert take(live, f"/v2/{proxy_of(live, far)}/app/blobs/{digest}")[1] == content


def test_a_blob_of_wrong_bytes_ends_the_connection_and_the_next_pull_begins_anew(live, far, proxy):
    content, wrong = layer(), layer()
    digest = far.blob(content)
    far.misbehave("GET", digest, saying(answer(200, wrong)))
    path = f"/v2/{proxy}/app/blobs/{digest}"

    status, _, is_whole = take(live, path)

    assert (status, is_whole) == (200, False)
    assert not is_kept(live, content)
    assert not is_kept(live, wrong)
    wait_until(lambda: uploads(live) == [])
    status, body, is_whole = take(live, path)
    assert (status, body == content, is_whole) == (200, True, True)
    assert [each.headers.get("range") for each in far.asked("GET", digest)] == [None, None]


def test_no_answer_is_whole_when_an_empty_body_is_said_to_be_a_blob(live, far, proxy):
    content = layer(1000)
    digest = far.blob(content)
    far.misbehave("GET", digest, saying(answer(200, b"")))

    status, _, is_whole = take(live, f"/v2/{proxy}/app/blobs/{digest}")

    assert status != 200 or not is_whole
    assert not is_kept(live, content)


def test_the_empty_blob_is_pulled_through(live, far, proxy):
    digest = far.blob(b"")

    assert take(live, f"/v2/{proxy}/app/blobs/{digest}") == (200, b"", True)


def test_a_blob_that_says_it_is_shorter_than_it_is_ends_the_connection(live, far, proxy):
    content = layer()
    digest = far.blob(content)
    far.misbehave("GET", digest, saying(answer(200, content, length=SIZE - 10)))

    status, _, is_whole = take(live, f"/v2/{proxy}/app/blobs/{digest}")

    assert (status, is_whole) == (200, False)
    assert not is_kept(live, content)


def test_bytes_behind_a_blob_are_nobodys(live, far, proxy):
    content = layer()
    digest = far.blob(content)
    far.misbehave("GET", digest, saying(answer(200, content), b"and more", keeps=True))

    assert take(live, f"/v2/{proxy}/app/blobs/{digest}")[1] == content
    second = layer()
    path = f"/v2/{proxy}/app/blobs/{far.blob(second)}"
    wait_until(lambda: take(live, path) == (200, second, True))  # under TLS they are met later


def test_a_blob_that_does_not_say_its_length_comes_whole(live, far, proxy):
    content = layer(70_000)
    digest = far.blob(content)
    chunks = b"%x\r\n" % len(content) + content + b"\r\n0\r\n\r\n"
    far.misbehave(
        "GET", digest, saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunks)
    )

    status, body, is_whole = take(live, f"/v2/{proxy}/app/blobs/{digest}")

    assert (status, body == content, is_whole) == (200, True, True)


def test_a_blob_without_length_that_is_wrong_is_an_error_and_not_an_answer(live, far, proxy):
    digest = digest_of(layer())
    far.misbehave(
        "GET",
        digest,
        saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    )

    assert take(live, f"/v2/{proxy}/app/blobs/{digest}")[0] == 502


def test_a_blob_that_is_kept_encoded_is_passed_on_as_it_is(live, far, proxy):
    content = layer()
    digest = far.blob(content)
    far.misbehave("GET", digest, saying(answer(200, content, "Content-Encoding: gzip")))

    reply = live.stranger.get(f"/v2/{proxy}/app/blobs/{digest}")

    assert reply.content == content
    assert "Content-Encoding" not in reply.headers


@pytest.mark.slow
def test_a_blob_that_stops_coming_is_given_up(live, far, proxy):
    content = layer()
    digest = far.blob(content)
    far.always("GET", digest, silent(answer(200, content[:50_000], length=SIZE)))

    status, body, is_whole = take(live, f"/v2/{proxy}/app/blobs/{digest}")

    assert (status, is_whole) == (200, False)
    assert content.startswith(body)
    assert not is_kept(live, content)
    wait_until(lambda: uploads(live) == [])


@pytest.mark.slow
def test_a_head_that_does_not_come_is_an_error_that_says_when_to_come_again(live, far, proxy):
    digest = far.blob(layer())
    far.always("GET", digest, silent(b"HTTP/1.1 200 OK\r\nContent-Le"))

    reply = live.stranger.get(f"/v2/{proxy}/app/blobs/{digest}")

    assert (reply.status_code, codes(reply)) == (503, ["UNAVAILABLE"])
    assert int(reply.headers["Retry-After"]) >= 1


def test_whoever_asked_first_may_leave_and_the_others_get_all(live, far, proxy):
    content = layer()
    digest = far.blob(content)
    gate = Gate(content, 100_000)
    far.misbehave("GET", digest, gate)
    path = f"/v2/{proxy}/app/blobs/{digest}"

    with live.connect() as first:
        first.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        received = b""
        while len(received) < 50_000:
            received += first.recv(1 << 16)
        with ThreadPoolExecutor(4) as pool:
            others = [pool.submit(take, live, path) for _ in range(4)]
            first.close()
            gate.open()
            answers = [each.result() for each in others]

    assert answers == [(200, content, True)] * 4
    assert len(far.asked("GET", digest)) == 1


def test_a_blob_goes_on_coming_when_all_who_asked_have_left(live, far, proxy):
    content = layer()
    digest = far.blob(content)
    gate = Gate(content, 100_000)
    far.misbehave("GET", digest, gate)

    with live.connect() as only:
        only.sendall(f"GET /v2/{proxy}/app/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        only.recv(1000)
    gate.open()

    wait_until(lambda: is_kept(live, content))


def test_64_clients_at_once_are_one_question_upstream(live, far, proxy):
    content = layer()
    digest = far.image(content)
    paths = [f"blobs/{digest_of(content)}", "manifests/t"] * 32
    gate = Gate(content, 1000)
    far.misbehave("GET", digest_of(content), gate)

    with ThreadPoolExecutor(64) as pool:
        asked = [pool.submit(take, live, f"/v2/{proxy}/app/{path}") for path in paths]
        gate.is_reached.wait()
        gate.open()
        answers = [each.result() for each in asked]

    assert [each[0] for each in answers] == [200] * 64
    assert {digest_of(each[1]) for each in answers[::2]} == {digest_of(content)}
    assert {digest_of(each[1]) for each in answers[1::2]} == {digest}
    assert len(far.asked("GET", digest_of(content))) == 1


def test_ranges_beyond_what_has_come_wait_for_it(live, far, proxy):
    content = layer()
    digest = far.blob(content)
    gate = Gate(content, 1000)
    far.misbehave("GET", digest, gate)
    path = f"/v2/{proxy}/app/blobs/{digest}"

    with ThreadPoolExecutor(2) as pool:
        ahead = pool.submit(take, live, path, "Range: bytes=200000-200009")
        gate.is_reached.wait()
        early = take(live, path, "Range: bytes=10-19")
        assert not ahead.done()
        gate.open()
        late = ahead.result()

    assert early == (206, content[10:20], True)
    assert late == (206, content[200_000:200_010], True)


@pytest.mark.parametrize("known", [100_000, SIZE])
def test_what_another_left_is_gone_on_with_also_when_nothing_is_missing(live, far, proxy, known):
    content = layer()
    digest = far.blob(content)
    key = f"blob {digest}"

    async def leave():
        upload, _ = await live.registry.store.stage(Owner.of_key(key, "sha256"), key=key)
        await upload.append(0, content[:known])
        await upload.leave()

    live.run(leave)
    status, body, is_whole = take(live, f"/v2/{proxy}/app/blobs/{digest}")

    assert (status, body == content, is_whole) == (200, True, True)
    wait_until(lambda: is_kept(live, content))


def test_who_is_taken_for_dead_follows_who_commits_instead(live, far, proxy, monkeypatch, caplog):
    content = layer()
    digest = far.blob(content)
    gate = Gate(content, 100_000)
    far.misbehave("GET", digest, gate)
    sync, is_let = staging.sync, threading.Event()

    def wait_and_sync(path):
        assert is_let.wait(20)
        sync(path)

    async def commit():
        owner = Owner.of_key(f"blob {digest}", "sha256")
        upload, _ = await live.registry.store.stage(owner, key=owner.key)
        await upload.append(upload.size, content[upload.size :])
        await live.registry.store.commit([Adopt(upload.id, Digest.of(content), owner)])

    with ThreadPoolExecutor(2) as pool:
        asked = pool.submit(take, live, f"/v2/{proxy}/app/blobs/{digest}")
        assert gate.is_reached.wait(20)
        wait_until(lambda: [each.stat().st_size for each in uploads(live)] == [100_000])
        monkeypatch.setattr(staging, "sync", wait_and_sync)
        committed = pool.submit(live.run, commit)
        wait_until(lambda: [each.stat().st_mode & 0o200 for each in uploads(live)] == [0])
        gate.open()
        time.sleep(0.2)  # what comes now is refused
        is_let.set()
        committed.result()
        status, body, is_whole = asked.result()

    assert (status, body == content, is_whole) == (200, True, True)
    wait_until(lambda: far.asked("HEAD", digest))  # it links what the other one has committed
    assert "could not be had" not in caplog.text
