"""Proxy repositories that may hold so much: what was pulled longest ago goes."""

import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest

from cas.digest import Digest
from frontend.domain.manifests import OCI_INDEX, OCI_MANIFEST
from index.changes import ImageName, Touch
from tests.frontend.live import digest_of, wait_until
from tests.frontend.proxying import new_proxy, push, put
from tests.frontend.world import image_bytes, index_bytes

KIB = 1 << 10
SIZE = 100 * KIB  # of a layer


class Cache:
    """A proxy repository of `room` images of one layer, and what it holds."""

    def __init__(self, live, upstream, most: int) -> None:
        self.live, self.upstream, self.most = live, upstream, most
        self.name = new_proxy(live, upstream, max_bytes=most)
        self.image = f"i{secrets.token_hex(4)}"

    def push(self, tag: str, layer: bytes = b"") -> tuple[str, bytes]:
        """An image upstream, of a layer of its own if none is given."""
        layer = layer or secrets.token_bytes(SIZE)
        return push(self.upstream, self.image, tag, layer), layer

    def pull(self, reference: str, *layers: bytes) -> None:
        path = f"/v2/{self.name}/{self.image}"
        got = self.live.client.get(f"{path}/manifests/{reference}")
        assert got.status_code == 200, got.text
        for layer in layers:
            blob = self.live.client.get(f"{path}/blobs/{digest_of(layer)}")
            assert blob.content == layer
        self.settle()

    def age(self, digest: str, at: int) -> None:
        """Let a manifest have been pulled at a time in the future: times are whole seconds."""
        key = self.look(lambda view, image: image.id) + Digest.parse(digest).key
        touch = Touch("pulled", key, key, at, every=1)
        self.live.run(self.live.registry.store.commit, [touch])

    def look(self, ask):
        name = ImageName(self.name, self.image)
        return self.live.registry.store.read(lambda view: ask(view, view.image(name)))

    def tags(self) -> list[str]:
        return self.look(lambda view, image: [tag for tag, _ in view.iter_tags(image.id)])

    def has(self, content_or_digest: bytes | str) -> bool:
        said = content_or_digest
        digest = Digest.parse(said if isinstance(said, str) else digest_of(said))
        return self.look(lambda view, image: view.link(image.id, digest.key)) is not None

    def size(self) -> int:
        return self.look(lambda view, _: view.usage(view.repository(self.name).id).linked)

    def limit(self, most: int) -> None:
        self.most = most
        path, body = f"/api/v1/repositories/{self.name}", {"upstream": {"max_bytes": most}}
        assert self.live.client.patch(path, json=body).status_code == 200
        self.settle()

    def settle(self) -> None:
        """Wait until all that was fetched is kept, and room was made for it."""
        proxy = self.live.registry.proxy
        wait_until(lambda: not proxy.transfers._running)
        wait_until(lambda: self.name not in proxy.eviction._running)


@pytest.fixture
def cache(live, upstream):
    yield (made := Cache(live, upstream, 3 * SIZE + 10 * KIB))
    assert live.client.post("/api/v1/fsck").json()["drift"] == []
    assert made.size() >= 0


def test_what_was_pulled_longest_ago_goes_and_its_layers_with_it(cache):
    pushed = {tag: cache.push(tag) for tag in ("a", "b", "c", "d")}
    for at, tag in enumerate("abc"):
        cache.pull(tag, pushed[tag][1])
        cache.age(pushed[tag][0], (1 << 32) + at)
    cache.age(pushed["a"][0], (1 << 32) + 9)  # pulled again, after all others

    cache.pull("d", pushed["d"][1])

    assert cache.size() <= cache.most
    assert cache.tags() == ["a", "c", "d"]
    assert not cache.has(pushed["b"][0])
    assert not cache.has(pushed["b"][1])
    cache.age(pushed["d"][0], (1 << 32) + 10)
    cache.pull("b", pushed["b"][1])  # it comes again
    assert cache.tags() == ["a", "b", "d"]


def test_a_layer_that_another_image_needs_stays(cache):
    shared = secrets.token_bytes(SIZE)
    first, _ = cache.push("first", shared)
    described = {"mediaType": "x/y", "digest": digest_of(shared), "size": SIZE}
    image = f"local/images/{cache.image}"
    second = image_bytes(layers=[described], annotations={"which": "second"})
    put(cache.upstream, image, "second", second)
    layers = {tag: cache.push(tag)[1] for tag in ("t0", "t1", "t2")}
    layers |= {"first": shared, "second": shared}
    for at, tag in enumerate(("first", "t0", "second", "t1")):
        cache.pull(tag, layers[tag])
        digest = cache.look(lambda view, image, tag=tag: view.tag(image.id, tag).digest)
        cache.age(str(Digest(digest)), (1 << 32) + at)

    cache.pull("t2", layers["t2"])

    assert not cache.has(first)
    assert cache.tags() == ["second", "t1", "t2"]
    assert cache.has(shared)


def test_an_index_goes_with_its_manifests(cache):
    child, layer = cache.push("child")
    index = index_bytes({"digest": child, "size": 10, "mediaType": OCI_MANIFEST})
    image = f"local/images/{cache.image}"
    put(cache.upstream, image, "index", index, OCI_INDEX)
    cache.pull("index")
    cache.pull(child, layer)
    cache.age(child, 1 << 32)
    others = [cache.push(f"t{number}") for number in range(3)]
    for number, (digest, content) in enumerate(others):
        cache.pull(f"t{number}", content)
        cache.age(digest, (1 << 32) + 1 + number)

    assert not cache.has(digest_of(index))
    assert not cache.has(child)
    assert not cache.has(layer)
    assert cache.tags() == ["t0", "t1", "t2"]


def test_an_image_that_alone_is_too_large_is_served_and_kept_and_told_once(cache, caplog):
    large = secrets.token_bytes(4 * SIZE)
    digest, _ = cache.push("large", large)
    small, layer = cache.push("small")
    cache.pull("small", layer)

    cache.pull("large", large)
    cache.pull("large", b"{}")  # is fetched too

    assert not cache.has(small)
    assert cache.has(digest)
    assert cache.has(large)
    told = [record for record in caplog.records if "alone is larger" in record.getMessage()]
    assert len(told) == 1


def test_a_smaller_limit_holds_at_once(cache):
    for number in range(3):
        cache.pull(f"t{number}", cache.push(f"t{number}")[1])
        digest = cache.look(lambda view, image, tag=f"t{number}": view.tag(image.id, tag).digest)
        cache.age(str(Digest(digest)), (1 << 32) + number)

    cache.limit(SIZE + 10 * KIB)

    assert cache.tags() == ["t2"]
    cache.limit(KIB)
    assert cache.tags() == ["t2"]  # alone, it stays


def test_a_repository_is_looked_over_once_for_many_that_go(cache, monkeypatch):
    looks = []
    eviction = cache.live.registry.proxy.eviction
    look = eviction._look

    async def counted(repository):
        looks.append(repository)
        return await look(repository)

    small = [cache.push(f"s{number}", secrets.token_bytes(20 * KIB)) for number in range(15)]
    for number, (_, layer) in enumerate(small):
        cache.pull(f"s{number}", layer)
    monkeypatch.setattr(eviction, "_look", counted)
    large = [cache.push(f"l{number}", secrets.token_bytes(40 * KIB)) for number in range(5)]

    for number, (_, layer) in enumerate(large):
        cache.pull(f"l{number}", layer)
        cache.age(large[number][0], (1 << 32) + number)

    assert len(looks) == 1
    assert cache.size() <= cache.most
    assert {f"l{number}" for number in range(5)} <= set(cache.tags())


def test_what_is_to_go_next_and_is_pulled_stays(cache):
    pushed = {tag: cache.push(tag) for tag in ("a", "b", "c", "d", "e")}
    for at, tag in enumerate("abc"):
        cache.pull(tag, pushed[tag][1])
        cache.age(pushed[tag][0], (1 << 32) + at)
    cache.pull("d", pushed["d"][1])  # a goes, and b would be next
    cache.age(pushed["d"][0], (1 << 32) + 4)
    cache.age(pushed["b"][0], (1 << 32) + 9)

    cache.pull("e", pushed["e"][1])

    assert cache.tags() == ["b", "d", "e"]


def test_pulls_go_on_while_room_is_made(cache):
    pushed = [(f"t{number}", cache.push(f"t{number}")[1]) for number in range(8)]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda each: cache.pull(*each), pushed * 2))
    cache.pull(*pushed[0])

    assert cache.size() <= cache.most
    assert "t0" in cache.tags()
