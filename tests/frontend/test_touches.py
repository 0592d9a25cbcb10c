"""`frontend.touches`: times gather in memory and are written each minute; pulls, over the wire."""

import pytest
import trio

from frontend import touches
from frontend.touches import Touches, flushing
from index.changes import Touch
from index.errors import WriterBusy
from tests.frontend.live import digest_of
from tests.frontend.world import image_bytes

OWNER = b"owner"


class Memory:
    """What of a store is needed; `rows` of the table "token" are there, `commits` were made."""

    def __init__(self):
        self.rows = {OWNER: b"x"}
        self.commits = []
        self.is_busy = False

    def read(self, look):
        return look(self)

    def get(self, table, key):
        return self.rows.get(key)

    async def commit(self, changes, expectations=()):
        await trio.lowlevel.checkpoint()
        if self.is_busy:
            raise WriterBusy(1)
        self.commits.append([(change.key, change.at) for change in changes])


class Clock:
    def __init__(self):
        self.now = 10_000.5

    def __call__(self):
        return self.now


def find(view, key, at):
    return None if key == "gone" else Touch("token", key.encode(), OWNER, at)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def noted(clock):
    return Touches(find, clock)


async def test_what_was_used_is_written_once_with_its_last_time(noted, clock):
    store = Memory()
    noted.note("a")
    clock.now += 5
    noted.note("a")
    noted.note("b")
    noted.note("gone")

    await noted.flush(store)
    await noted.flush(store)

    assert store.commits == [[(b"a", 10_005), (b"b", 10_005)]]


async def test_what_was_written_within_the_hour_asks_for_no_commit(noted):
    store = Memory()
    store.rows[b"a"] = (9_000).to_bytes(8)
    noted.note("a")

    await noted.flush(store)

    assert store.commits == []


async def test_many_times_are_several_commits_and_there_is_an_end_to_them(noted, monkeypatch):
    monkeypatch.setattr(touches, "MOST", touches.AT_ONCE + 1)
    store = Memory()
    for number in range(touches.AT_ONCE + 9):
        noted.note(str(number))

    await noted.flush(store)

    assert [len(changes) for changes in store.commits] == [touches.AT_ONCE, 1]


async def test_what_cannot_be_written_is_kept_and_written_with_what_came_meanwhile(noted, clock):
    store = Memory()
    store.is_busy = True
    noted.note("a")
    noted.note("b")
    with pytest.raises(WriterBusy):
        await noted.flush(store)
    clock.now += 60
    noted.note("a")
    store.is_busy = False

    await noted.flush(store)

    assert store.commits == [[(b"a", 10_060), (b"b", 10_000)]]


async def test_times_are_written_each_minute_whatever_fails_and_at_the_end(noted, monkeypatch):
    store, ticks = Memory(), []
    real, ours = trio.sleep, trio.lowlevel.current_trio_token()

    async def sleep(seconds):
        if trio.lowlevel.current_trio_token() is not ours:  # a server's, in another thread
            await real(seconds)
            return
        ticks.append(seconds)
        store.is_busy = len(ticks) == 1
        if len(ticks) > 3:
            await trio.sleep_forever()

    monkeypatch.setattr(touches.trio, "sleep", sleep)
    noted.note("a")
    async with flushing(store, [noted]):
        with trio.fail_after(5):
            while len(ticks) < 4:
                await trio.lowlevel.checkpoint()
        assert [name for changes in store.commits for name, _ in changes] == [b"a"]
        noted.note("b")

    assert [name for changes in store.commits for name, _ in changes] == [b"a", b"b"]
    assert set(ticks) == {60.0}


# --- pulls ---


@pytest.fixture
def pushed(live):
    """An image, and the digest of a manifest that has the tags v1 and v2 in it."""
    name = live.image()
    live.push(name, b"{}")
    content = image_bytes()
    answer = live.client.put(
        f"/v2/{name}/manifests/v1",
        content=content,
        headers={"Content-Type": "application/vnd.oci.image.manifest.v1+json"},
    )
    assert answer.status_code == 201
    return name, digest_of(content)


def pulled_at(live, name):
    live.run(live.registry.pulls.flush, live.registry.store)
    repository, image = "/".join(name.split("/")[:2]), name.split("/", 2)[2]
    answer = live.client.get(f"/api/v1/repositories/{repository}/packages", params={"image": image})
    (item,) = answer.json()["items"]
    return item["pulled_at"]


def test_a_head_is_no_pull_and_neither_is_what_has_not_changed(live, pushed):
    name, digest = pushed

    live.client.head(f"/v2/{name}/manifests/v1")
    live.client.head(f"/v2/{name}/manifests/{digest}")
    headers = {"If-None-Match": f'"{digest}"'}
    assert live.client.get(f"/v2/{name}/manifests/v1", headers=headers).status_code == 304
    live.client.get(f"/v2/{name}/blobs/{digest_of(b'{}')}")
    live.client.get(f"/v2/{name}/manifests/absent")

    assert pulled_at(live, name) is None


@pytest.mark.parametrize("by", ["tag", "digest"])
@pytest.mark.parametrize("way", ["hot", "application"])
def test_a_get_is_a_pull_by_tag_and_by_digest_whoever_answers_it(
    live, pushed, by, way, monkeypatch
):
    name, digest = pushed
    if way == "application":
        monkeypatch.setattr("frontend.registry.hot._hot_route", lambda head: None)

    answer = live.client.get(f"/v2/{name}/manifests/{'v1' if by == 'tag' else digest}")

    assert answer.status_code == 200
    assert pulled_at(live, name).endswith("Z")


def test_an_answer_that_is_remembered_is_a_pull_each_time(live, pushed):
    name, digest = pushed
    for _ in range(3):
        assert live.client.get(f"/v2/{name}/manifests/v1").status_code == 200
    key = f"{name}@{digest}"
    assert live.registry.pulls._noted.pop(key)

    live.client.get(f"/v2/{name}/manifests/v1")

    assert key in live.registry.pulls._noted


def test_who_may_not_pull_has_pulled_nothing(live, pushed):
    name, _ = pushed

    assert live.stranger.get(f"/v2/{name}/manifests/v1").status_code == 401

    assert pulled_at(live, name) is None
