"""A disk that is really full, under a real server: uploads wait for room, all else goes on."""

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cas.pushing import noise
from tests.faults.small_disk import MIB, fill, small_disk
from tests.frontend.live import digest_of
from tests.frontend.process import Process, process

SIZE = 80  # MiB, of which the index reserves 16
# KiB. The first is adopted: its pack goes as a whole, which needs no room. The others share the
# active pack: to rewrite that one there must be room for what stays of it.
LAYERS = (17 << 10, 900, 1500)
TYPE = "application/vnd.oci.image.manifest.v1+json"
IMAGE = "local/images/full"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@contextmanager
def served(folder, watermark: int) -> Iterator[Process]:
    """A server on the disk; collection happens when it is asked for, and has no grace."""
    with process(
        folder,
        storage__min_free_bytes=watermark,
        gc__grace_seconds=0,
        gc__lease_seconds=0,
        gc__interval_seconds=0,
    ) as server:
        yield server


class Pushed:
    """What was acknowledged: manifest → its bytes and its layer."""

    def __init__(self) -> None:
        self.images: dict[str, tuple[bytes, bytes]] = {}
        self._tried = 0

    def push(self, server: Process) -> int:
        """Push an image with a layer that nobody else has; returns the status that ended it."""
        self._tried += 1
        layer = noise(LAYERS[self._tried % 3] << 10, f"layer {self._tried}")
        blob = digest_of(layer)
        answer = server.client.post(
            f"/v2/{IMAGE}/blobs/uploads/", params={"digest": blob}, content=layer
        )
        if answer.status_code != 201:
            return answer.status_code
        manifest = _manifest(blob, len(layer))
        answer = server.client.put(
            f"/v2/{IMAGE}/manifests/t{self._tried}",
            content=manifest,
            headers={"Content-Type": TYPE},
        )
        if answer.status_code == 201:
            self.images[digest_of(manifest)] = manifest, layer
        return answer.status_code

    def push_until_full(self, server: Process) -> None:
        """Until no size fits any more; nothing but 201 and 507 is answered."""
        last: list[int] = []
        while last[-3:] != [507] * 3:
            last.append(self.push(server))
            assert len(last) < SIZE, "the disk does not fill"
        assert set(last) <= {201, 507}

    def assert_pulled(self, server: Process) -> None:
        """Everything is there, and byte-equal."""
        for digest, (manifest, layer) in self.images.items():
            found = server.client.get(f"/v2/{IMAGE}/manifests/{digest}", headers={"Accept": TYPE})
            assert (found.status_code, found.content) == (200, manifest)
            found = server.client.get(f"/v2/{IMAGE}/blobs/{digest_of(layer)}")
            assert (found.status_code, found.content == layer) == (200, True)

    def delete(self, server: Process, count: int) -> None:
        for digest in list(self.images)[:count]:
            answer = server.client.delete(f"/v2/{IMAGE}/manifests/{digest}")
            assert answer.status_code == 202, answer.text
            del self.images[digest]


def _manifest(layer: str, size: int) -> bytes:
    descriptor = {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer}
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": TYPE,
            "config": descriptor | {"size": size},
            "layers": [descriptor | {"size": size}],
        }
    ).encode()


def fill_up(disk: Path) -> None:
    """Take what is left, once the bytes of refused uploads are given back."""
    deadline = time.monotonic() + 10
    while any((disk / "uploads").iterdir()):
        assert time.monotonic() < deadline, "the bytes of refused uploads stay"
        time.sleep(0.02)
    fill(disk / "filler")


def collect(server: Process) -> dict:
    answer = server.client.post("/api/v1/gc")
    assert answer.status_code == 200, answer.text
    return answer.json()


def assert_sound(server: Process) -> None:
    answer = server.client.post("/api/v1/fsck")
    assert answer.status_code == 200
    assert answer.json()["drift"] == []


@pytest.mark.parametrize("watermark", [8 * MIB, 0], ids=["a watermark", "the last page"])
def test_a_full_disk_refuses_uploads_only_and_recovers_by_itself(tmp_path, watermark):
    with small_disk(tmp_path / "data", SIZE) as disk, served(tmp_path, watermark) as server:
        pushed = Pushed()
        pushed.push_until_full(server)
        if not watermark:
            fill_up(disk)

        assert [pushed.push(server) for _ in range(5)] == [507] * 5
        pushed.assert_pulled(server)
        held = len(pushed.images)
        pushed.delete(server, held // 2)
        freed = collect(server)

        assert freed["bytes_freed"] > LAYERS[0] << 10
        assert freed["manifests"] == held // 2
        assert pushed.push(server) == 201
        (disk / "filler").unlink(missing_ok=True)
        pushed.push_until_full(server)
        pushed.assert_pulled(server)
        assert_sound(server)


def test_a_server_killed_on_a_full_disk_starts_on_it_with_everything(tmp_path):
    with small_disk(tmp_path / "data", SIZE) as disk:
        pushed = Pushed()
        with served(tmp_path, 0) as server:
            pushed.push_until_full(server)
            fill_up(disk)
            pushed.push(server)
            server.popen.send_signal(signal.SIGKILL)
            server.popen.wait()

        with served(tmp_path, 0) as server:
            pushed.assert_pulled(server)
            pushed.push_until_full(server)  # recovery may have found what nobody needed
            assert_sound(server)

            pushed.delete(server, len(pushed.images) - 1)
            collect(server)
            assert pushed.push(server) == 201
            pushed.assert_pulled(server)
            assert_sound(server)
