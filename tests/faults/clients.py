"""Clients of the soak: each does one thing after the other, and judges every answer at once."""

import random
import time
from collections.abc import Callable

from tests.faults.known import IMAGES, LAYERS, TAGS, TYPE, Known, Manifest
from tests.faults.mortal import Away, Connection, Mortal
from tests.faults.register import Cleared, Dropped, Got, Put
from tests.workers.servers import PATIENCE, digest_of

LEASE = 10  # seconds of a blob nobody refers to; HEAD may leave half of it
SURE = LEASE / 2 - 1.5  # seconds in which what was pushed or seen must still be there
MOUNTS = 0.3  # of layers are asked for from another image, be they there or not
LINGERS = 0.1  # of pushes wait between their layers and their manifest
PIECE = 400_000  # bytes of a PATCH
DAMAGED = b"was damaged"  # says why it is not there, and a push helps
OCTETS = {"Content-Type": "application/octet-stream"}


class Client:
    """One of several; `name` makes its manifests its own."""

    def __init__(self, server: Mortal, known: Known, name: str, seed: str) -> None:
        self._known = known
        self._name = name
        self._dice = random.Random(f"{seed} {name}")  # noqa: S311 - a test's
        self._wire = Connection(server)
        self._number = 0

    def run(self, is_over: Callable[[], bool]) -> None:
        """Work until it is over."""
        deeds = [self.push] * 5 + [self.pull] * 6 + [self.read_tag] * 6
        deeds += [self.retag, self.clear_tag, self.delete] * 2 + [self.pull_gone]
        try:
            while not is_over():
                deed = self._dice.choice(deeds)
                try:
                    deed()
                    self._known.count(deed.__name__)
                except Away as away:
                    self._known.count("lost answers" if away.is_sent else "waits for a server")
                    time.sleep(0.2)
        finally:
            self.close()

    def close(self) -> None:
        self._wire.close()

    # --- push ---

    def push(self) -> None:
        """An image, layer by layer, then its manifest under a tag."""
        self._number += 1
        manifest = self._known.make(self._dice, f"{self._name} {self._number}")
        began = time.monotonic()
        for digest in manifest.layers:
            self._bring(manifest.image, digest)
        if self._dice.random() < LINGERS:  # meanwhile others delete what refers to them
            time.sleep(self._dice.uniform(0, SURE - 1))
        self._put(manifest, self._dice.choice(TAGS), began)

    def _bring(self, image: str, digest: str) -> None:
        """See to it that the image has a layer, one way or another."""
        if self._dice.random() < MOUNTS:
            self._mount(image, digest)
            return
        status, _, _ = self._wire.ask("HEAD", f"/v2/{image}/blobs/{digest}")
        assert status in (200, 404), status
        if status == 404:
            self._dice.choice([self._post, self._patch])(image, digest)

    def _post(self, image: str, digest: str) -> None:
        path = f"/v2/{image}/blobs/uploads/?digest={digest}"
        status, _, body = self._wire.ask("POST", path, LAYERS[digest], **OCTETS)
        assert status == 201, (status, body)

    def _patch(self, image: str, digest: str) -> None:
        status, headers, body = self._wire.ask("POST", f"/v2/{image}/blobs/uploads/")
        assert status == 202, (status, body)
        self._finish(headers["Location"], digest)

    def _mount(self, image: str, digest: str) -> None:
        source = self._dice.choice([each for each in IMAGES if each != image])
        path = f"/v2/{image}/blobs/uploads/?mount={digest}&from={source}"
        status, headers, body = self._wire.ask("POST", path)
        assert status in (201, 202), (status, body)
        if status == 202:
            self._finish(headers["Location"], digest)
        else:
            self._known.count("mounts")

    def _finish(self, location: str, digest: str) -> None:
        content = LAYERS[digest]
        for start in range(0, len(content), PIECE):
            piece = content[start : start + PIECE]
            status, headers, body = self._wire.ask("PATCH", location, piece, **OCTETS)
            assert status == 202, (status, body)
            location = headers["Location"]
        mark = "&" if "?" in location else "?"
        status, _, body = self._wire.ask("PUT", f"{location}{mark}digest={digest}", b"", **OCTETS)
        assert status == 201, (status, body)

    def _put(self, manifest: Manifest, tag: str, began: float) -> None:
        """Its PUT; `began` is when the first of its layers was seen to be there."""
        place, begin = (manifest.image, tag), time.monotonic()
        path = f"/v2/{manifest.image}/manifests/{tag}"
        try:
            status, _, body = self._wire.ask(
                "PUT", path, manifest.content, **{"Content-Type": TYPE}
            )
        except Away as away:
            if away.is_sent:
                self._known.note(place, begin, Put(manifest.digest), is_lost=True)
            raise
        if status == 400 and self._known.is_disk_bad:
            # A layer was damaged after we had seen it, and is as good as unknown.
            assert b"MANIFEST_BLOB_UNKNOWN" in body, body
            self._known.count("manifests refused for their layers")
            return
        if status != 201:
            # Only what nobody held long enough may have been collected.
            late = time.monotonic() - began
            assert late > SURE, (status, body, late)
            self._known.count("leases that ran out")
            return
        self._known.note(place, begin, Put(manifest.digest))
        manifest.is_there = True

    def retag(self) -> None:
        """Another tag for a manifest that is there."""
        manifest = self._known.choose(self._dice)
        if manifest is None or not self._known.use(manifest):
            return
        # Should the answer be lost, it stays in use: nobody deletes it before it has happened.
        self._put(manifest, self._dice.choice(TAGS), time.monotonic())
        self._known.let_go(manifest)

    # --- pull ---

    def pull(self) -> None:
        """A manifest that must be there, and one of its layers."""
        manifest = self._known.choose(self._dice)
        if manifest is None:
            return
        path = f"/v2/{manifest.image}/manifests/{manifest.digest}"
        status, _, body = self._wire.ask("GET", path, Accept=TYPE)
        if self._is_hurt(status, body):  # by a layer: all that are damaged come again
            for layer in manifest.layers:
                self.pull_layer(manifest, layer)
            return
        self._judge(manifest, status, body, manifest.content)
        self.pull_layer(manifest, self._dice.choice(manifest.layers))

    def pull_layer(self, manifest: Manifest, layer: str) -> None:
        """Its bytes; or, if the disk has changed them, push them again, as clients do."""
        status, _, body = self._wire.ask("GET", f"/v2/{manifest.image}/blobs/{layer}")
        if self._is_hurt(status, body):
            self._dice.choice([self._post, self._patch])(manifest.image, layer)
            self._known.count("mended")
        else:
            self._judge(manifest, status, body, LAYERS[layer])

    def insist(self, deed: Callable[[], None]) -> None:
        """Do it until nobody is in the way."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return deed()
            except Away:
                assert time.monotonic() < deadline, f"{deed} is not answered"
                time.sleep(0.2)

    def pull_gone(self) -> None:
        """A manifest whose deletion was acknowledged is not there."""
        manifest = self._known.gone(self._dice)
        if manifest is not None:
            path = f"/v2/{manifest.image}/manifests/{manifest.digest}"
            status, _, body = self._wire.ask("GET", path, Accept=TYPE)
            assert status == 404, (status, body)

    def _is_hurt(self, status: int, body: bytes) -> bool:
        return status == 404 and self._known.is_disk_bad and DAMAGED in body

    def _judge(self, manifest: Manifest, status: int, body: bytes, expected: bytes) -> None:
        if status == 200:
            assert body == expected, f"wrong bytes of {manifest.digest}"
        else:
            assert status == 404, (status, body)
            is_promised = manifest.is_there and not manifest.is_going
            assert not is_promised, f"lost: {manifest.image} {manifest.digest} {body!r}"

    def read_tag(self) -> None:
        """What a tag names now."""
        place, begin = self._place(), time.monotonic()
        status, _, body = self._wire.ask("GET", _path(place), Accept=TYPE)
        assert status in (200, 404), (status, body)
        if self._is_hurt(status, body):  # it names something, but nobody is told what
            return
        self._known.note(place, begin, Got(digest_of(body) if status == 200 else None))

    # --- delete ---

    def clear_tag(self) -> None:
        """A tag goes; its manifest stays."""
        place, begin = self._place(), time.monotonic()
        try:
            status, _, body = self._wire.ask("DELETE", _path(place))
        except Away as away:
            if away.is_sent:
                self._known.note(place, begin, Cleared(was_there=True), is_lost=True)
            raise
        assert status in (202, 404), (status, body)
        self._known.note(place, begin, Cleared(was_there=status == 202))

    def delete(self) -> None:
        """A manifest goes, with its tags."""
        manifest = self._known.choose(self._dice)
        if manifest is None or not self._known.doom(manifest):
            return
        places = [(manifest.image, tag) for tag in TAGS]
        begin = time.monotonic()
        path = f"/v2/{manifest.image}/manifests/{manifest.digest}"
        try:
            status, _, body = self._wire.ask("DELETE", path)
        except Away:
            for place in places:  # sent or not: it makes no difference for who may be pulled
                self._known.note(place, begin, Dropped(manifest.digest), is_lost=True)
            raise
        assert status == 202, (status, body)
        for place in places:
            self._known.note(place, begin, Dropped(manifest.digest))
        manifest.is_gone = True

    def _place(self) -> tuple[str, str]:
        return self._dice.choice(IMAGES), self._dice.choice(TAGS)


def _path(place: tuple[str, str]) -> str:
    return f"/v2/{place[0]}/manifests/{place[1]}"
