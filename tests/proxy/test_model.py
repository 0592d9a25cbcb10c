"""A proxy repository under pulls, moved tags, failing upstreams and passing time, against a model.

What is answered is never older than the last move that was seen, never other bytes than the
digest's, and never an error when it is here.
"""

import re

import pytest
from hypothesis import HealthCheck, Phase, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from frontend.proxy import lists, manifests
from index.changes import PutRecord
from tests.frontend.live import digest_of, running
from tests.frontend.sources import saying
from tests.proxy.pulling import layer, proxy_of, settings_in
from tests.upstream.faulty import answer

TTL = 100
TAGS = ("a", "b")
NUMBERS = range(3)
CLIENTS_FAULTS = (429, 502, 503, 504)
FAULTS = {
    "unavailable": saying(answer(503), keeps=True),
    "limited": saying(answer(429, b"", "Retry-After: 1"), keeps=True),
    "unauthorized": saying(answer(403), keeps=True),
    "gone": saying(),
    "garbage": saying(b"SSH-2.0-x\r\n"),
    "redirected": saying(answer(302, b"", "Location: http://169.254.169.254/"), keeps=True),
}
tags, numbers = st.sampled_from(TAGS), st.sampled_from(NUMBERS)


class Clock:
    """The server's, as far as tags are concerned."""

    def __init__(self) -> None:
        self.now = 1_900_000_000

    def __call__(self) -> int:
        return self.now


class Pulls(RuleBasedStateMachine):
    """`seen` is what each tag was the last time that the upstream said so, and when."""

    def __init__(self, live, far, clock) -> None:
        super().__init__()
        self.live, self.far, self.clock = live, far, clock
        far.well()
        self.seen: dict[str, tuple[str, int]] = {}
        self.here: set[str] = set()  # digests that were pulled
        self.is_up = True

    @initialize()
    def begin(self) -> None:
        self.far.manifests.clear()
        self.far.blobs.clear()
        self.base = f"/v2/{proxy_of(self.live, self.far, tag_ttl_seconds=TTL)}/app"
        self.layers = [layer(5000) for _ in NUMBERS]
        self.images = [self.far.image(each, tag="") for each in self.layers]
        self.far.manifests.pop("")

    # --- upstream ---

    @rule(tag=tags, number=numbers)
    def push(self, tag, number) -> None:
        self.far.manifests[tag] = self.far.manifests[self.images[number]]

    @rule(tag=tags)
    def delete(self, tag) -> None:
        self.far.manifests.pop(tag, None)

    @rule(fault=st.sampled_from(sorted(FAULTS)))
    def fail(self, fault) -> None:
        self.far.well()
        for method in ("GET", "HEAD"):
            self.far.always(method, "", FAULTS[fault])
        self.is_up = False

    @rule()
    def recover(self) -> None:
        """The upstream answers again, and this process knows nothing of how it was."""
        self.far.well()
        self.is_up = True
        self.live.run(self._forget)

    async def _forget(self) -> None:
        await self.live.registry.proxy.sources.aclose()

    # --- here ---

    @rule(seconds=st.sampled_from([1, TTL // 2, TTL, 3 * TTL]))
    def wait(self, seconds) -> None:
        self.clock.now += seconds
        # Answers are remembered by the real clock, but for no longer than the index is as it was.
        change = PutRecord("setting", b"test:waited", b"%d" % self.clock.now)
        self.live.run(self.live.registry.store.commit, [change])

    @rule(tag=tags, method=st.sampled_from(["GET", "HEAD"]))
    def pull_tag(self, tag, method) -> None:
        reply = self.live.stranger.request(method, f"{self.base}/manifests/{tag}")
        digest, at = self.seen.get(tag, ("", 0))
        if digest and self.clock.now - at < TTL:
            self._is(reply, digest, is_stale=False)
        elif not self.is_up:
            if digest:
                self._is(reply, digest, is_stale=True)
            else:
                assert reply.status_code in (*CLIENTS_FAULTS, 404)
        elif tag in self.far.manifests:
            digest = digest_of(self.far.manifests[tag][0])
            self._is(reply, digest, is_stale=False)
            self.seen[tag] = (digest, self.clock.now)
            self.here.add(digest)
        else:
            assert reply.status_code == 404
            self.seen.pop(tag, None)

    @rule(number=numbers, method=st.sampled_from(["GET", "HEAD"]))
    def pull_digest(self, number, method) -> None:
        digest = self.images[number]
        before = len(self.far.requests)
        reply = self.live.stranger.request(method, f"{self.base}/manifests/{digest}")
        if digest in self.here:
            self._is(reply, digest, is_stale=False)
            assert len(self.far.requests) == before
        elif self.is_up:
            self._is(reply, digest, is_stale=False)
            self.here.add(digest)
        else:
            assert reply.status_code in (*CLIENTS_FAULTS, 404)

    @rule(number=numbers, has_range=st.booleans())
    def pull_layer(self, number, has_range) -> None:
        content = self.layers[number]
        headers = {"Range": "bytes=100-199"} if has_range else {}
        reply = self.live.stranger.get(f"{self.base}/blobs/{digest_of(content)}", headers=headers)
        if digest_of(content) in self.here or self.is_up:
            assert reply.content == (content[100:200] if has_range else content)
            self.here.add(digest_of(content))
        else:
            assert reply.status_code in (*CLIENTS_FAULTS, 404)

    @rule()
    def list_tags(self) -> None:
        reply = self.live.stranger.get(f"{self.base}/tags/list")
        if self.seen:
            assert set(reply.json()["tags"]) >= set(self.seen)

    @invariant()
    def nothing_of_wrong_bytes_is_here(self) -> None:
        assert self.live.errors.unprovoked == []

    def _is(self, reply, digest, *, is_stale) -> None:
        assert (reply.status_code, reply.headers["Docker-Content-Digest"]) == (200, digest)
        assert re.search("stale", reply.headers.get("Warning", "")) is not None or not is_stale
        assert "Warning" not in reply.headers or is_stale
        if reply.request.method == "GET":
            assert digest_of(reply.content) == digest


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server that remembers no failure for a while, with a clock of the test's."""
    for module in (manifests, lists):
        monkeypatch.setattr(module, "FAILED_SECONDS", 0.0)
    monkeypatch.setattr(manifests, "MISSING_SECONDS", 0.0)
    clock = Clock()
    with running(tmp_path / "data", settings_in(tmp_path)) as live:
        object.__setattr__(live.registry.site, "now", clock)
        live.registry.store.now = clock
        yield live, clock
        assert live.client.post("/api/v1/fsck").json()["drift"] == []


def check(server, far, examples, steps):
    live, clock = server
    run_state_machine_as_test(
        lambda: Pulls(live, far, clock),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            phases=(Phase.explicit, Phase.reuse, Phase.generate),  # to make it small takes minutes
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_pulls_are_what_the_model_allows(server, far):
    check(server, far, 10, 25)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_many_pulls_are_what_the_model_allows(server, far):
    check(server, far, 150, 50)
