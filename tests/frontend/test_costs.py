"""What a request costs, in counts: system calls, hops to threads, commits, syncs.

A warm server process under strace, one client on one connection. A count that changes is a change
of the product: update the table, and say why in the commit. Run with -s to see all of them.
"""

import hashlib
import http.client
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.frontend.live import BASIC, digest_of
from tests.frontend.process import process
from tests.frontend.tracing import Cost, read_calls, split, traced

KIB, MIB = 1 << 10, 1 << 20
IMAGE = "/v2/local/images/app"
UPLOADS = f"{IMAGE}/blobs/uploads/"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = b"{}"
LAYER = hashlib.shake_128(b"layer").digest(100 * KIB)  # the kernel takes it in one call
LARGE = hashlib.shake_128(b"large").digest(MIB)
REPEATS = 5

WAIT = {"read": 1, "epoll_ctl": 1, "epoll_wait": 1}  # a request comes; trio arms, waits, and reads
IN_PLACE = {**WAIT, "write": 1}
SENT = {**IN_PLACE, "cachestat": 1, "sendfile": 1}  # asks what is in memory, and sends from there
HASHED = ["_read_cut", "take_all"]  # of what has come


class Client:
    """One connection, and names that no other request used."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._number = 0
        self.asked = 0

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.asked += 1
        self._connection.request(method, path, body, {"Authorization": BASIC, **named})
        answer = self._connection.getresponse()
        answer.read()
        assert answer.status < 400, (method, path, answer.status)
        return answer

    def content(self, size: int) -> bytes:
        """Bytes that were never pushed before."""
        self._number += 1
        return hashlib.shake_128(f"{size}-{self._number}".encode()).digest(size)

    def close(self) -> None:
        self._connection.close()


def manifest(note: str = "") -> bytes:
    config = {"mediaType": "application/vnd.oci.image.config.v1+json"}
    config |= {"digest": digest_of(CONFIG), "size": len(CONFIG)}
    body = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": []}
    return json.dumps(body | {"annotations": {"note": note}}).encode()


def push_whole(client: Client, content: bytes) -> None:
    client.ask("POST", f"{UPLOADS}?digest={digest_of(content)}", content)


def push_in_two(client: Client, content: bytes) -> None:
    place = client.ask("POST", UPLOADS).headers["Location"]
    client.ask("PUT", f"{place}?digest={digest_of(content)}", content)


def append(client: Client, content: bytes) -> None:
    place = client.ask("POST", UPLOADS).headers["Location"]
    client.ask("PATCH", place, content, Content_Type="application/octet-stream")


def push_manifest(client: Client, content: bytes) -> None:
    tag = hashlib.sha256(content).hexdigest()[:12]
    client.ask("PUT", f"{IMAGE}/manifests/{tag}", content, Content_Type=MANIFEST)


@dataclass(frozen=True)
class Read:
    """A read that is answered in place: all of its calls, and so no thread, file or commit."""

    what: str
    ask: Callable[[Client], object]
    calls: dict[str, int]


@dataclass(frozen=True)
class Write:
    """A push: what is durable when it is answered, and what that took."""

    what: str
    ask: Callable[[Client], object]
    commits: int  # each is one sync of the index
    synced: dict[str, int]
    opened: dict[str, int]
    hops: list[str]


LAYER_PLACE = f"{IMAGE}/blobs/{digest_of(LAYER)}"
LARGE_PLACE = f"{IMAGE}/blobs/{digest_of(LARGE)}"

READS = [
    Read("GET of the base", lambda c: c.ask("GET", "/v2/"), IN_PLACE),
    Read("GET of a manifest by tag", lambda c: c.ask("GET", f"{IMAGE}/manifests/v1"), IN_PLACE),
    Read(
        "GET of a manifest by digest",
        lambda c: c.ask("GET", f"{IMAGE}/manifests/{digest_of(manifest())}"),
        IN_PLACE,
    ),
    Read("HEAD of a manifest", lambda c: c.ask("HEAD", f"{IMAGE}/manifests/v1"), IN_PLACE),
    Read(
        "GET of a manifest that the client has",
        lambda c: c.ask("GET", f"{IMAGE}/manifests/v1", If_None_Match="*"),
        IN_PLACE,
    ),
    Read(
        "GET of a small blob",
        lambda c: c.ask("GET", f"{IMAGE}/blobs/{digest_of(CONFIG)}"),
        IN_PLACE,
    ),
    Read("GET of a blob of 100 KiB", lambda c: c.ask("GET", LAYER_PLACE), SENT),
    Read("HEAD of a blob", lambda c: c.ask("HEAD", LARGE_PLACE), IN_PLACE),
    Read(
        "GET of a blob that the client has",
        lambda c: c.ask("GET", LARGE_PLACE, If_None_Match="*"),
        IN_PLACE,
    ),
    Read(
        "GET of a range of a blob",
        lambda c: c.ask("GET", LARGE_PLACE, Range="bytes=5000-10000"),
        SENT,
    ),
]

MANY = Read("GET of a blob of 1 MiB", lambda c: c.ask("GET", LARGE_PLACE), SENT)

WRITES = [
    Write(
        "POST of a blob of 1 KiB",
        lambda c: push_whole(c, c.content(KIB)),
        commits=1,
        synced={},
        opened={},
        hops=[],
    ),
    Write(
        "POST of a blob of 64 KiB",
        lambda c: push_whole(c, c.content(64 * KIB)),
        commits=1,
        synced={},
        opened={},
        hops=[],
    ),
    Write(
        "POST and PUT of a blob of 1 KiB",
        lambda c: push_in_two(c, c.content(KIB)),
        commits=1,
        synced={},
        opened={"uploads": 1},
        hops=[],
    ),
    Write(
        "POST and PUT of a blob of 1 MiB",
        lambda c: push_in_two(c, c.content(MIB)),
        commits=1,
        synced={"uploads": 1, "packs": 1},
        opened={"uploads": 6, "packs": 1},
        # `read` asks which chunks are new, and `_write` copies those into the active pack.
        hops=sorted([*HASHED, "append", "seal", "sync", "read", "_write"]),
    ),
    Write(
        "POST and PATCH of 3 MiB, two blocks",
        lambda c: append(c, c.content(3 * MIB)),
        commits=0,
        synced={},
        opened={"uploads": 3},
        hops=["append", "append"],
    ),
    Write(
        "PUT of a manifest",
        lambda c: push_manifest(c, manifest(c.content(8).hex())),
        commits=1,
        synced={},
        opened={},
        hops=[],
    ),
]


@pytest.fixture(scope="module")
def costs(tmp_path_factory) -> dict[str, list[Cost]]:
    """What each row of the tables cost, each time."""
    folder = tmp_path_factory.mktemp("costs")
    log, counts = folder / "strace", {}
    with process(folder) as server:
        client = Client(server.port)
        push_in_two(client, LAYER)
        push_in_two(client, LARGE)
        push_whole(client, CONFIG)
        client.ask("PUT", f"{IMAGE}/manifests/v1", manifest(), Content_Type=MANIFEST)
        for row in (*READS, MANY, *WRITES):
            row.ask(client)  # warm: proven, verified, remembered, threads started
        with traced(server.pid, log):
            for row in (*READS, MANY, *WRITES):
                for _ in range(REPEATS):
                    before = client.asked
                    row.ask(client)
                    counts.setdefault(row.what, []).append(client.asked - before)
            client.ask("GET", "/v2/")  # ends the last one
        client.close()
    each = iter(split(read_calls(log)))
    return {
        what: [Cost([call for _ in range(n) for call in next(each).calls]) for n in numbers]
        for what, numbers in counts.items()
    }


def usual(found: list):
    """What most of the repeats cost: a timer or a thread that ends may fall into one of them."""
    most = max(found, key=found.count)
    assert found.count(most) > REPEATS // 2, found
    return most


@pytest.mark.parametrize("row", READS, ids=lambda row: row.what)
def test_a_read_costs_these_calls_and_no_thread_file_or_commit(costs, row):
    calls = usual([cost.names for cost in costs[row.what]])

    sys.stdout.write(f"\n{row.what}: {calls}")
    assert calls == row.calls


@pytest.mark.parametrize("row", WRITES, ids=lambda row: row.what)
def test_a_push_costs_these_commits_syncs_and_hops(costs, row):
    found = costs[row.what]

    commits = usual([cost.commits for cost in found])
    synced = usual([cost.synced for cost in found])
    opened = usual([cost.opened for cost in found])
    hops = usual([cost.hops for cost in found])

    sys.stdout.write(f"\n{row.what}: {commits=} {synced=} {opened=} {len(hops)} {hops=}")
    assert (commits, synced, opened) == (row.commits, row.synced, row.opened)
    assert hops == row.hops


def test_what_the_kernel_takes_in_parts_costs_one_look_and_one_wait_a_part(costs):
    found = [cost.names for cost in costs[MANY.what]]

    sys.stdout.write(f"\n{MANY.what}: {found}")
    # How many parts it is depends on how fast the client reads; each is looked at before.
    assert usual([names["cachestat"] <= names["sendfile"] for names in found])
    assert usual([names["epoll_wait"] <= names["sendfile"] for names in found])
    assert usual([(names["read"], names["write"]) for names in found]) == (1, 1)
    # `ioctl` asks what the client has taken, when it has to be waited for.
    assert usual([sorted({*names} - {"ioctl"}) for names in found]) == sorted(MANY.calls)


def test_in_place_nobody_else_is_woken(costs):
    for row in (*READS, MANY):
        threads = usual([len({call.thread for call in cost.calls}) for cost in costs[row.what]])
        woken = usual([sum(c.name == "futex" for c in cost.calls) for cost in costs[row.what]])

        assert (threads, woken) == (1, 0), row.what
