"""Reads answered by the connection itself: what they cost, and that they answer the same."""

import base64
import http.client
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

from cas.digest import Digest
from cas.local import open_store
from frontend.access.accounts import claims_of, proven_user
from frontend.access.users import User, put, with_password
from frontend.bootstrap import prepare
from frontend.domain.message import Client, Realm
from frontend.registry.hot import HotRegistry
from frontend.server.heads import parse_head
from frontend.service import build_registry
from frontend.settings import Settings, Storage
from index.changes import ImageName
from tests.frontend.live import BASIC, digest_of
from tests.frontend.spoiling import (
    blob_path,
    document,
    layer,
    put as put_manifest,
    scrub,
    spoil,
    spoil_in_index,
)
from tests.frontend.world import World, image_bytes

IMAGE = ImageName("local/images", "app")
PASSWORD = "correct horse"  # noqa: S105 - of a user that lives for one test
CLIENT = Client("127.0.0.1", Realm("http://orlop.test/v2/token", "orlop"))
GOOD = "Basic " + base64.b64encode(f"admin:{PASSWORD}".encode()).decode()
HERE = "192.0.2.1"
TAGGED = "/v2/local/images/app/manifests/t"


class Counted:
    """A store that counts its snapshots."""

    def __init__(self, store):
        self._store = store
        self.reads = 0

    def read(self, look):
        self.reads += 1
        return self._store.read(look)

    def __getattr__(self, name):
        return getattr(self._store, name)


class Hot:
    """A registry with one image, and a way to ask its hot path."""

    def __init__(self, store, registry, blob):
        self.store = store
        self.registry = replace(registry, store=Counted(store))
        self.blob = f"/v2/{IMAGE}/blobs/{blob}"
        self.hot = HotRegistry(self.registry)

    @property
    def reads(self):
        return self.registry.store.reads

    def ask(self, path=TAGGED, method="GET", credentials=GOOD, fields=""):
        if credentials:
            fields += f"Authorization: {credentials}\r\n"
        block = f"{method} {path} HTTP/1.1\r\nHost: x\r\n{fields}\r\n".encode()
        return self.hot.recall(block, HERE) or self.hot.find(block, parse_head(block), HERE)

    async def prove(self, credentials=GOOD):
        await self.registry.authenticator.authenticate({"authorization": credentials}, CLIENT)


@pytest.fixture
async def hot(tmp_path):
    data = tmp_path / "data"
    async with open_store(data) as store:
        await prepare(store, data, {"ORLOP_ADMIN_PASSWORD": PASSWORD}, is_terminal=False)
        settings = Settings(storage=Storage(data=str(data)))
        registry = build_registry(store, settings, "http://orlop.test")
        world = World(store)
        await world.put_blob(IMAGE, b"{}")
        blob = await world.put_blob(IMAGE, bytes(range(256)) * 1024)
        await world.put_manifest(IMAGE, image_bytes(), "t")
        yield Hot(store, registry, blob)


async def test_a_warm_get_is_one_snapshot_and_waits_for_nothing(hot):
    await hot.prove()
    before = hot.reads

    first = hot.ask()
    second = hot.ask()

    assert b" 200 OK\r\n" in first.beginning
    assert b"".join(first.body) == image_bytes()
    assert hot.reads - before == 2  # and it is sync: no thread, no task
    assert second.beginning is first.beginning  # the same snapshot: not even made again


async def test_a_commit_ends_what_was_remembered(hot):
    await hot.prove()
    first = hot.ask()

    moved = await World(hot.store).put_manifest(IMAGE, image_bytes(annotations={"a": "b"}), "t")

    assert str(moved).encode() in hot.ask().beginning
    assert str(moved).encode() not in first.beginning


async def test_whoever_was_not_proven_is_left_to_the_application(hot):
    assert hot.ask() is None
    assert hot.ask(credentials="Basic eDp5") is None
    assert hot.ask(credentials="Bearer nonsense") is None
    assert hot.ask(credentials="Basic " + "x" * 5000) is None


async def prove(hot, credentials, path=TAGGED, method="GET"):
    fields = f"Authorization: {credentials}\r\n" if credentials else ""
    block = f"{method} {path} HTTP/1.1\r\nHost: x\r\n{fields}\r\n".encode()
    return await hot.hot.prove(block, parse_head(block), HERE)


async def test_somebody_new_is_proven_and_answered(hot):
    assert b" 200 OK" in (await prove(hot, GOOD)).beginning
    assert b" 200 OK" in hot.ask().beginning


async def test_a_wrong_password_is_refused_and_not_passed_on_to_be_verified_again(hot):
    wrong = "Basic " + base64.b64encode(b"admin:wrong").decode()

    refused = await prove(hot, wrong)

    assert b" 401 Unauthorized\r\n" in refused.beginning
    assert b'scope="repository:local/images/app:pull"' in refused.beginning
    assert hot.ask(credentials=wrong) is None


async def test_proof_is_not_asked_for_what_the_application_answers_anyway(hot):
    assert await prove(hot, "") is None
    assert await prove(hot, GOOD, "/v2/_catalog") is None
    assert await prove(hot, GOOD, method="PUT") is None
    await hot.prove()
    assert await prove(hot, GOOD, hot.blob, "HEAD") is None


async def test_the_anonymous_are_answered_without_proof(hot):
    assert b" 401 Unauthorized\r\n" in hot.ask(credentials="").beginning
    assert b" 401 Unauthorized\r\n" in hot.ask("/v2/", credentials="").beginning


async def test_what_one_may_read_another_may_not(hot):
    await hot.prove()

    assert b" 200 OK" in hot.ask().beginning
    assert b" 401 Unauthorized" in hot.ask(credentials="").beginning


async def test_a_changed_account_is_not_recalled(hot):
    await hot.prove()
    assert hot.ask() is not None

    await hot.store.commit([put("admin", User(hash="another", role="admin"))])

    assert hot.ask() is None


async def test_a_token_is_recalled_until_its_account_changes(hot):
    admin = await hot.registry.authenticator.authenticate({"authorization": GOOD}, CLIENT)
    token = hot.registry.signer.issue(claims_of(admin, {str(IMAGE): ["pull"]})).token
    await hot.prove(f"Bearer {token}")

    assert b" 200 OK" in hot.ask(credentials=f"Bearer {token}").beginning
    await hot.store.commit([put("admin", with_password(proven_user(admin), "x"))])
    assert hot.ask(credentials=f"Bearer {token}") is None


@pytest.mark.parametrize(
    ("method", "path", "fields"),
    [
        ("PUT", TAGGED, "Content-Length: 0\r\n"),
        ("DELETE", TAGGED, ""),
        ("OPTIONS", TAGGED, ""),
        ("GET", TAGGED, "Content-Length: 3\r\n"),
        ("GET", TAGGED, "Transfer-Encoding: chunked\r\n"),
        ("GET", "/v2/local/images/app/tags/list", ""),
        ("GET", "/v2/_catalog", ""),
        ("GET", "/v2/token", ""),
        ("GET", "/healthz", ""),
        ("GET", "/v2/A/B/C/manifests/t", ""),
        ("GET", TAGGED + "x" * 600, ""),
    ],
)
async def test_everything_else_is_left_to_the_application(hot, method, path, fields):
    await hot.prove()

    assert hot.ask(path, method, fields=fields) is None


async def test_a_lease_that_must_be_renewed_is_left_to_the_application(hot):
    await hot.prove()
    assert hot.ask(hot.blob, "HEAD") is None  # nothing refers to it, and its lease is over
    assert hot.ask(hot.blob, "GET") is not None


async def test_blobs_are_let_go_when_the_answer_is_out(hot):
    await hot.prove()

    read = hot.ask(hot.blob)
    (part,) = read.body
    held = list(part.blob._held.values())
    read.finish(0)

    assert [descriptor.users for descriptor in held] == [0]


# --- both adapters answer the same ---------------------------------------------------------

SMALL, LARGE = b"small", bytes(range(256)) * 2000
OURS = frozenset(("date", "server", "connection", "transfer-encoding"))  # the servers' own


@pytest.fixture(scope="module")
def corpus(live):
    """Paths of an image in a private and in a public repository, by what they are."""
    paths = ["/v2/", "/v2", "/v2/x", "/v2/local/images/none/manifests/t"]
    for repository in ("local/images", "local/public"):
        image = live.image(repository)
        digests = [live.push(image, SMALL), live.push(image, LARGE), digest_of(b"nothing")]
        manifest = image_bytes(config={"mediaType": "a/b", "digest": digests[0], "size": 5})
        put_to = f"/v2/{image}/manifests/t"
        kind = {"Content-Type": "application/vnd.oci.image.manifest.v1+json"}
        assert live.client.put(put_to, content=manifest, headers=kind).status_code == 201
        named = [*digests, "sha256:x", digests[0].replace(":", "%3A")]
        paths += [f"/v2/{image}/blobs/{digest}" for digest in named]
        references = ["t", "none", "-x", str(Digest.of(manifest)), digests[0]]
        paths += [f"/v2/{image}/manifests/{reference}" for reference in references]
        paths += [f"/v2/{image}/tags/list?n=1", f"/v2/{image}/referrers/{digests[0]}"]
    damaged = live.image("local/public")
    contents = [layer(), layer(100)]
    paths += _damage(live, damaged, contents)
    scope = {"scope": "repository:local/public/image-1:pull"}
    token = live.client.get("/v2/token", params=scope).json()["token"]
    yield paths, ["", BASIC, "Basic Og==", "Basic x", f"Bearer {token}", "Bearer x", "Digest x"]
    for content in contents:  # others use this server too
        live.push(damaged, content)
    assert scrub(live)["standing"] == 0


def _damage(live, image, contents):
    """Push an image and spoil its layer, and its config in the index; its paths, all unknown."""
    live.errors.expect("damaged: ")
    for content in contents:
        live.push(image, content)
    manifest = document(contents[1], contents[0])
    assert put_manifest(live, image, manifest, "damaged").status_code == 201
    spoil(live, contents[0])
    spoil_in_index(live, contents[1])
    assert scrub(live)["standing"] == 2
    references = ["damaged", digest_of(manifest)]
    found = [f"/v2/{blob_path(image, content)}" for content in contents]
    found += [f"/v2/{image}/manifests/{each}" for each in references]
    assert {live.stranger.get(path).status_code for path in found} == {404}
    return found


FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "Range": st.sampled_from(
            ["bytes=0-0", "bytes=3-", "bytes=-3", "bytes=0-1,3-4", "bytes=9999999-", "bytes=5-1",
             "items=0-1", "bytes=0-0" + ",1-1" * 20, "x"]
        ),
        "If-None-Match": st.sampled_from(["*", '"x"', "DIGEST", '"DIGEST"', 'W/"DIGEST"']),
        "If-Range": st.sampled_from(['"DIGEST"', '"x"', "Mon, 01 Jan 2024 00:00:00 GMT"]),
        "Accept": st.sampled_from(["*/*", "text/plain"]),
        "Accept-Encoding": st.just("gzip"),
        "X-Forwarded-For": st.just("1.2.3.4"),
    },
)  # fmt: skip


def ask(connection, method, path, headers):
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    fields = sorted((name.lower(), value) for name, value in answer.getheaders())
    return (
        answer.status,
        [field for field in fields if field[0] not in OURS],
        answer.read(),
    )


def compare(connections, corpus, asked):
    method, path, credentials, fields = asked
    paths, known = corpus
    path = paths[path % len(paths)]
    headers = {n: v.replace("DIGEST", path.rpartition("/")[2]) for n, v in fields.items()}
    if known[credentials % len(known)]:
        headers["Authorization"] = known[credentials % len(known)]

    connection, theirs = connections
    ours = ask(connection, method, path, headers)
    again = ask(connection, method, path, headers)  # it may be remembered now

    assert ours == again == ask(theirs, method, path, headers)


@pytest.fixture(scope="module")
def connections(live, stock):
    """One kept connection to our server and one to Hypercorn's own, over the same registry."""
    ours = http.client.HTTPConnection(*live.address, timeout=20)
    theirs = http.client.HTTPConnection(stock.base_url.host, stock.base_url.port, timeout=20)
    yield ours, theirs
    ours.close()
    theirs.close()


ASKED = st.tuples(
    st.sampled_from(["GET", "HEAD", "OPTIONS"]), st.integers(0, 99), st.integers(0, 6), FIELDS
)
_keep = partial(settings, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_keep(max_examples=40)
@given(ASKED)
@example(("GET", 5, 1, {"Range": "bytes=0-1,3-4"}))
@example(("GET", -1, 0, {"If-None-Match": "*"}))  # damaged
@example(("HEAD", -3, 1, {"Range": "bytes=0-0"}))
@example(("GET", -4, 1, {}))
def test_the_connection_and_the_application_answer_the_same(connections, corpus, asked):
    compare(connections, corpus, asked)


@pytest.mark.slow
@pytest.mark.timeout(300)
@_keep(max_examples=3000)
@given(ASKED)
def test_they_do_so_for_thousands_of_requests(connections, corpus, asked):
    compare(connections, corpus, asked)


@pytest.mark.slow
def test_they_do_so_for_every_path_by_every_method_and_credential(connections, corpus):
    paths, known = corpus
    for path in range(len(paths)):
        for credentials in range(len(known)):
            compare(connections, corpus, ("GET", path, credentials, {}))
        compare(connections, corpus, ("HEAD", path, 1, {}))
