"""Lists of upstreams that do wrong: bounded, and no worse than what is here."""

import json

import pytest

from tests.frontend.live import codes, digest_of
from tests.frontend.sources import saying
from tests.proxy.pulling import layer
from tests.upstream.faulty import answer

PAGES = 100  # that are asked for at most


def listing(*tags, link=""):
    fields = [f"Link: {link}"] if link else []
    return saying(answer(200, json.dumps({"tags": tags}).encode(), *fields), keeps=True)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b"[" * 100_000, b'{"tags": "a"}', b'{"tags": [1]}', b"x" * (9 << 20)],
    ids=["empty", "array", "cut", "deep", "text", "number", "huge"],
)
def test_a_list_that_is_none_leaves_those_that_are_here(live, far, proxy, body):
    far.image(layer(10))
    live.stranger.get(f"/v2/{proxy}/app/manifests/t")
    far.always("GET", "/tags/list", saying(answer(200, body)))

    known = live.stranger.get(f"/v2/{proxy}/app/tags/list")
    other = live.stranger.get(f"/v2/{proxy}/other/tags/list")

    assert known.json()["tags"] == ["t"]
    assert known.headers["Warning"].startswith('299 - "stale')
    assert (other.status_code, codes(other)) == (502, ["UNAVAILABLE"])


def test_a_list_without_end_is_asked_for_so_far(live, far, proxy):
    async def endless(asked, stream):
        tag = f"a{len(far.requests)}"
        more = f'</v2/app/tags/list?n=1&last={tag}>; rel="next"'
        return await listing(tag, link=more)(asked, stream)

    far.always("GET", "/tags/list", endless)

    reply = live.stranger.get(f"/v2/{proxy}/app/tags/list")

    assert len(far.requests) == PAGES
    assert len(reply.json()["tags"]) == PAGES


def test_a_list_whose_next_page_is_itself_ends(live, far, proxy):
    again = '</v2/app/tags/list?n=1&last=a>; rel="next"'
    far.always("GET", "/tags/list", listing("a", link=again))

    assert live.stranger.get(f"/v2/{proxy}/app/tags/list").json()["tags"] == ["a"]
    assert len(far.requests) <= PAGES


@pytest.mark.parametrize("host", ["http://127.0.0.3:1", "http://169.254.169.254", "//evil.invalid"])
def test_the_next_page_is_asked_for_where_the_first_one_was(live, far, proxy, host):
    elsewhere = f'<{host}/v2/app/tags/list?n=1&last=a>; rel="next"'
    far.misbehave("GET", "/tags/list", listing("a", link=elsewhere), listing("b"))

    reply = live.stranger.get(f"/v2/{proxy}/app/tags/list")

    assert set(reply.json()["tags"]) <= {"a", "b"}
    assert "Link" not in reply.headers
    assert all(each.target.startswith("/v2/app/tags/list") for each in far.requests)


def test_what_is_no_tag_is_left_out(live, far, proxy):
    far.always("GET", "/tags/list", listing("a", "../x", "", "b" * 200, "a b", "<script>", "c"))

    assert live.stranger.get(f"/v2/{proxy}/app/tags/list").json()["tags"] == ["a", "c"]


def test_referrers_that_are_none_are_left_out(live, far, proxy):
    subject = digest_of(b"subject")
    good = {"mediaType": "a/b", "digest": digest_of(b"1"), "size": 1, "artifactType": "x/y"}
    bad = [{}, {"mediaType": 1}, good | {"digest": "sha256:xyz"}, good | {"artifactType": 7}]
    body = json.dumps({"schemaVersion": 2, "manifests": [*bad, good]}).encode()
    far.always("GET", f"/referrers/{subject}", saying(answer(200, body), keeps=True))

    listed = live.stranger.get(f"/v2/{proxy}/app/referrers/{subject}").json()["manifests"]

    assert listed == [good]
