"""`orlop fsck --repair`, and what the command line says of an index that is damaged."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from cas import layout
from cas.checks import fsck
from frontend.main import main
from index.environment import open_environment
from index.errors import IndexDamaged
from tests.cas.damage import drop, plant, populate

ROOT = Path(__file__).parents[2]
CLEAN = "everything is as it must be\n"


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A populated data directory that nobody serves."""
    monkeypatch.chdir(tmp_path)
    trio.run(populate, tmp_path / "data")
    return tmp_path / "data"


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    code = 0
    try:
        main(list(arguments))
    except SystemExit as end:
        code = end.code
    out, err = capsys.readouterr()
    return code, out, err


def repair(capsys, data: Path, *more: str) -> tuple[int, str, str]:
    return run(capsys, "fsck", "--repair", "--data", str(data), *more)


def test_a_clean_store_is_said_to_be_so(data, capsys):
    assert repair(capsys, data) == (0, CLEAN, "")


def test_what_was_mended_is_said(data, capsys):
    plant(data, drop("usage"))

    code, out, _ = repair(capsys, data)

    assert code == 0
    assert out.startswith("mended: repository local/images: usage (0, 0, 0)")
    assert repair(capsys, data) == (0, CLEAN, "")


def test_what_is_lost_fails_and_says_what_it_hurts(data, capsys):
    path = max((data / layout.PACKS).iterdir(), key=lambda each: each.stat().st_size)
    path.unlink()

    code, out, _ = repair(capsys, data, "--json")

    found = json.loads(out)
    assert code == 1
    assert found["mended"] == []
    assert any("it hurts local/images/a:all" in each for each in found["left"])


def test_a_directory_that_is_served_is_refused(live, capsys):
    code, out, err = repair(capsys, live.server.data)

    assert (code, out) == (1, "")
    assert f"process {os.getpid()}" in err


def test_where_there_is_no_index_nothing_is_made(tmp_path, capsys):
    code, out, err = repair(capsys, tmp_path)

    assert (code, out) == (1, "")
    assert "no index to repair" in err
    assert list(tmp_path.iterdir()) == []


# --- a damaged data.mdb ---


def cut_off(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 4096)


def cut_to_nearly_nothing(path: Path) -> None:
    os.truncate(path, 2 * 4096)


def flip_a_meta_page(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(16)
        file.write(b"\xff")


def overwrite(path: Path) -> None:
    path.write_bytes(b"no index" * 8192)


def blank_the_rest(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(2 * 4096)
        file.write(bytes(path.stat().st_size - 2 * 4096))


DAMAGE = [cut_off, cut_to_nearly_nothing, flip_a_meta_page, overwrite]


@pytest.mark.parametrize("damage", [*DAMAGE, blank_the_rest])
def test_repair_says_to_put_a_damaged_index_back_and_keeps_it(data, capsys, damage):
    path = data / "index" / "data.mdb"
    damage(path)
    before = path.read_bytes()

    code, out, err = repair(capsys, data)

    assert (code, out) == (1, "")
    assert "orlop restore" in err
    assert err.count("\n") == 1
    assert path.read_bytes() == before


def test_a_page_that_is_none_is_found_before_lmdb_meets_it(data, capsys):
    blank_the_rest(data / "index" / "data.mdb")

    assert re.search(r"data\.mdb: page \d+ is none, or another", repair(capsys, data)[2])


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_server_says_what_to_run_and_ends(data, damage, workers):
    damage(data / "index" / "data.mdb")
    command = [sys.executable, "-m", "frontend.main", "serve", "--workers", workers]
    command += ["--data", str(data), "--listen", "127.0.0.1:0"]

    ended = subprocess.run(  # noqa: S603 - our own program
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=30
    )

    assert ended.returncode == 1
    assert "orlop fsck --repair" in ended.stderr
    assert "orlop restore" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_fsck_of_a_running_server_passes_on_what_to_run(live, capsys, monkeypatch):
    def fail(environment, root):
        raise IndexDamaged("data.mdb: page 7 is none")

    monkeypatch.setattr(fsck, "run", fail)

    code, out, err = run(capsys, "fsck", "--data", str(live.server.data))

    assert (code, out) == (1, "")
    assert "orlop fsck --repair" in err
    assert live.client.get("/v2/").status_code == 200


def test_a_repaired_directory_can_be_opened(data, capsys):
    plant(data, drop("image_by_id"))
    repair(capsys, data)

    with open_environment(data / layout.INDEX) as environment:
        assert fsck.run(environment, data).drift == []
