"""`orlop backup` and `orlop restore`: words, exit codes, and beside a server under load."""

import contextlib
import itertools
import json
import os
import pty
import random
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import trio

from cas import layout
from frontend.main import main
from tests.cas.backups import KIB, Site, assert_serves, damage
from tests.cas.pushing import IMAGE, noise
from tests.frontend.live import ADMIN, digest_of
from tests.frontend.process import ROOT, Process, process

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
LANES = 4
SIZES = (5, 40 * KIB, 200 * KIB, 1024 * KIB, 5 * 1024 * KIB, 24 * 1024 * KIB)


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    code = 0
    try:
        main([str(each) for each in arguments])
    except SystemExit as end:
        code = end.code
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def site(tmp_path):
    """A store that nobody serves."""
    made = Site(tmp_path)
    trio.run(made.fill)
    return made


# --- words and exit codes ------------------------------------------------------------------------


def test_a_backup_and_its_restore_say_what_they_did(site, tmp_path, capsys):
    place = tmp_path / "restored"

    backed = run(capsys, "backup", site.folder, "--data", site.data)
    restored = run(capsys, "restore", site.folder, "--data", place)

    assert (backed[0], backed[2]) == (0, "")
    assert backed[1].startswith(f"backed up {site.data} to {site.folder}\npacks  1, ")
    assert (restored[0], restored[2]) == (0, "")
    assert f"start it with `orlop serve --data {place}`" in restored[1]
    trio.run(assert_serves, place, site.kept)


def test_the_numbers_are_there_for_programs(site, tmp_path, capsys):
    first = run(capsys, "backup", site.folder, "--data", site.data, "--json")
    second = run(capsys, "backup", site.folder, "--data", site.data, "--json", "--verify")
    restored = run(capsys, "restore", site.folder, "--data", tmp_path / "r", "--json")

    size = json.loads(first[1])["bytes_copied"]
    assert json.loads(first[1])["bytes_kept"] == 0
    assert json.loads(second[1])["bytes_copied"] == 0
    assert json.loads(second[1])["bytes_kept"] == size
    assert json.loads(restored[1])["bytes_chunks"] == size
    assert json.loads(restored[1])["damaged"] == []


def test_damage_is_1_and_names_the_images(site, tmp_path, capsys):
    path = max((site.data / layout.PACKS).iterdir(), key=lambda path: path.stat().st_size)
    damage(path, 300_000)

    words = run(capsys, "backup", site.folder, "--data", site.data)
    numbers = run(capsys, "backup", site.folder, "--data", site.data, "--json")
    refused = run(capsys, "restore", site.folder, "--data", tmp_path / "r")
    allowed = run(capsys, "restore", site.folder, "--data", tmp_path / "r", "--allow-damage")

    assert words[0] == numbers[0] == refused[0] == 1
    assert f"damaged, and not in the backup: pack {path.name}, bytes" in words[1]
    (damaged,) = json.loads(numbers[1])["damaged"]
    assert set(damaged["images"]) <= {f"{IMAGE}:first", f"{IMAGE}:second"}
    assert "nothing was restored" in refused[2]
    assert damaged["what"] in refused[2]
    assert allowed[0] == 0
    assert f"damaged, and not restored: {damaged['what']}" in allowed[1]


def test_what_cannot_be_done_is_1_and_says_what_to_do(site, tmp_path, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter").touch()
    (tmp_path / "file").touch()
    wrong = [
        ("backup", site.folder, "--data", tmp_path / "nothing"),
        ("backup", site.data / "inside", "--data", site.data),
        ("backup", tmp_path / "full", "--data", site.data),
        ("backup", tmp_path / "file", "--data", site.data),
        ("restore", tmp_path / "nothing", "--data", tmp_path / "r"),
        ("restore", site.folder, "--data", site.data),
    ]
    for arguments in wrong:
        code, out, err = run(capsys, *arguments)

        assert (code, out) == (1, "")
        assert err.startswith("orlop: ")
        assert "Traceback" not in err


@pytest.mark.parametrize("arguments", [["backup"], ["restore"], ["backup", "x", "--verfy"]])
def test_a_mistake_of_usage_is_2(arguments, capsys):
    assert run(capsys, *arguments)[0] == 2


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "frontend.main", *map(str, arguments)]


def test_progress_is_for_terminals(site):
    ours, theirs = pty.openpty()
    ended = subprocess.run(  # noqa: S603 - our own program
        command("backup", site.folder, "--data", site.data, "--json"),
        cwd=ROOT, stderr=theirs, stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    os.close(theirs)
    with contextlib.suppress(OSError):  # how a terminal says that all others closed it
        shown = os.read(ours, 1 << 16)
    os.close(ours)

    assert b"packs  1.1 MiB of 1.1 MiB" in shown
    assert json.loads(ended.stdout)["packs"] == 1


# --- beside a server -----------------------------------------------------------------------------


class Load:
    """Clients that push images, retag and delete, and what was acknowledged."""

    def __init__(self, server: Process) -> None:
        self.server = server
        self.kept: dict[str, bytes] = {}  # path under /v2/ → what it serves; never deleted
        self.is_over = threading.Event()
        self.pushes = 0

    def push_on(self, lane: int) -> None:
        """Push until it is over; every third image is deleted again."""
        dice = random.Random(lane)  # noqa: S311 - a test's
        with httpx.Client(
            base_url=self.server.url, auth=ADMIN, timeout=60, trust_env=False
        ) as client:
            for number in itertools.count():
                if self.is_over.is_set():
                    return
                image = f"/v2/local/images/lane-{lane}-{number}"
                found = self._push(client, image, dice)
                if number % 3 == 2:
                    for path in found:
                        if "/manifests/" in path:
                            assert client.delete(path).status_code == 202
                else:
                    self.kept |= found
                self.pushes += 1

    def _push(self, client: httpx.Client, image: str, dice: random.Random) -> dict[str, bytes]:
        base = noise(100 * KIB, "shared by all")
        layers = [base + dice.randbytes(dice.choice(SIZES)) for _ in range(2)]
        found: dict[str, bytes] = {}
        descriptors = []
        for content in (b"{}", *layers):
            digest = digest_of(content)
            answer = client.post(
                f"{image}/blobs/uploads/", params={"digest": digest}, content=content
            )
            assert answer.status_code == 201, answer.text
            found[f"{image}/blobs/{digest}"] = content
            descriptors.append(
                {
                    "mediaType": "application/octet-stream",
                    "digest": digest,
                    "size": len(content),
                }
            )
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": descriptors[0],
                "layers": descriptors[1:],
            }
        ).encode()
        path = f"{image}/manifests/{digest_of(manifest)}"
        for where in (path, f"{image}/manifests/v1"):
            answer = client.put(where, content=manifest, headers={"Content-Type": MANIFEST})
            assert answer.status_code == 201, answer.text
        return found | {path: manifest}


def back_up(server: Process, folder: Path) -> dict:
    ended = subprocess.run(  # noqa: S603 - our own program
        command("backup", folder, "--data", server.data, "--json"),
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr + ended.stdout
    return json.loads(ended.stdout)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("workers", [1, 2])
def test_a_backup_under_load_has_all_that_was_acknowledged_before_it_began(tmp_path, workers):
    (tmp_path / "first").mkdir()
    folder = tmp_path / "backup"
    with process(tmp_path / "first", http__workers=workers) as server:
        load = Load(server)
        with ThreadPoolExecutor(LANES) as pool:
            lanes = [pool.submit(load.push_on, lane) for lane in range(LANES)]
            try:
                reports = []
                for _ in range(5):
                    before = dict(load.kept)
                    pushes = load.pushes
                    reports.append(back_up(server, folder))
                during = load.pushes - pushes
            finally:
                load.is_over.set()
            for lane in lanes:
                lane.result()
    assert during > 0
    assert reports[-1]["bytes_kept"] > 0

    (tmp_path / "second").mkdir()
    data = tmp_path / "second" / "data"
    assert _run("restore", folder, "--data", data) == 0
    shutil.rmtree(tmp_path / "first")
    with process(tmp_path / "second") as server:
        assert len(before) > 10
        for path, content in before.items():
            answer = server.client.get(path)
            assert answer.status_code == 200, path
            assert answer.content == content
        assert _run("fsck", "--data", data) == 0
    shutil.rmtree(tmp_path)


def _run(*arguments: object) -> int:
    ended = subprocess.run(  # noqa: S603 - our own program
        command(*arguments), cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    sys.stdout.write(ended.stdout + ended.stderr)
    return ended.returncode
